-- What the agent of a path has counted of what it repeats; what that means is the agent's.
CREATE TABLE repeats (
    path TEXT PRIMARY KEY,
    counts BLOB NOT NULL
) WITHOUT ROWID;
