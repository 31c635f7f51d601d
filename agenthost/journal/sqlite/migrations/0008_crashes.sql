-- What failed: an attempt at a message, the process of an incarnation, or the one of the other. ended: what its process
-- ended of, '' while it goes on. fatal: the attempt's failure ends its process. details: MessagePack, the host's.
CREATE TABLE crashes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL,
    boot INTEGER NOT NULL,
    n INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    cause TEXT NOT NULL,
    reason TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    message INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    remedy TEXT NOT NULL,
    why TEXT NOT NULL,
    ended TEXT NOT NULL,
    fatal INTEGER NOT NULL,
    details BLOB NOT NULL
);
CREATE INDEX crashes_of ON crashes (path, boot, n);
CREATE INDEX crashes_attempts ON crashes (message, attempt) WHERE message > 0;
CREATE INDEX crashes_at ON crashes (at_ms);
-- A CRC-32 of what was decided; 0 where that is not known.
ALTER TABLE core ADD COLUMN effects INTEGER NOT NULL DEFAULT 0;
