-- What was used at a path and below it.
CREATE TABLE meters (
    path TEXT PRIMARY KEY,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost REAL NOT NULL,
    tool_calls INTEGER NOT NULL,
    wall_s REAL NOT NULL,
    cpu_s REAL NOT NULL,
    processes INTEGER NOT NULL,
    restarts INTEGER NOT NULL,
    turns INTEGER NOT NULL
) WITHOUT ROWID;

-- How far the latest incarnation of a path has come: what it has said in all (MessagePack, the journal's own), and what
-- was used in its turn in hand (MessagePack, the columns of meters in order).
CREATE TABLE spending (
    path TEXT PRIMARY KEY,
    boot INTEGER NOT NULL,
    n INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    in_turn BLOB NOT NULL,
    said BLOB NOT NULL
) WITHOUT ROWID;

-- What was used for a message, by all of its attempts (MessagePack, as above).
CREATE TABLE spent (
    message INTEGER PRIMARY KEY,
    used BLOB NOT NULL
);

-- Beyond the bounds of the config. With a message: in its turns alone.
CREATE TABLE grants (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    message INTEGER NOT NULL,
    meter TEXT NOT NULL,
    amount REAL NOT NULL,
    granted_by TEXT NOT NULL,
    at_ms INTEGER NOT NULL
);
CREATE INDEX grants_of ON grants (path);
CREATE INDEX grants_of_message ON grants (message) WHERE message > 0;

-- The last word of the host on what was used, in each boot.
CREATE TABLE counted (
    boot INTEGER PRIMARY KEY,
    number INTEGER NOT NULL
);
