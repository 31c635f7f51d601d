-- rank: where a message stands among the first of all lanes, if not at its place. One that comes again stands behind
-- those that wait already, so that what fails again and again passes nobody twice.
ALTER TABLE mail ADD COLUMN rank INTEGER;
DROP INDEX mail_ready;
CREATE INDEX mail_ready ON mail (receiver, coalesce(rank, place)) WHERE ready = 1;
