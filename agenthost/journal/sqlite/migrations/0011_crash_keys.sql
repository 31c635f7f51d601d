-- number: of the host's word within its boot, by which it can be said again; 0 for what the journal has noted by itself.
ALTER TABLE crashes ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX crashes_words ON crashes (boot, number) WHERE number > 0;
CREATE INDEX mail_dead_of ON mail (receiver) WHERE status = 6;
