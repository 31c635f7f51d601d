-- Children of run time that the next host starts again; what they are is the host's.
CREATE TABLE kept (
    path TEXT PRIMARY KEY,
    record BLOB NOT NULL,
    at_ms INTEGER NOT NULL
) WITHOUT ROWID;
