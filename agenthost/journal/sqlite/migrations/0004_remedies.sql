-- What failed, as a fingerprint; the rung that was taken then, and its parameters.
ALTER TABLE failures ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE failures ADD COLUMN rung TEXT NOT NULL DEFAULT '';
ALTER TABLE failures ADD COLUMN remedy BLOB NOT NULL DEFAULT x'';
CREATE INDEX mail_parked ON mail (id) WHERE status = 4;
