-- Of a message: status is its index in values.Status. place: NULL until it enters its lane.
-- ready: 1 if it is the first of its lane and waits. lane: 's' and its session, or 'f' and its sender.
CREATE TABLE mail (
    id INTEGER PRIMARY KEY,
    place INTEGER,
    receiver TEXT NOT NULL,
    sender TEXT NOT NULL,
    lane TEXT NOT NULL,
    status INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    boot INTEGER,
    n INTEGER,
    until_ms INTEGER,
    due_ms INTEGER,
    accepted_ms INTEGER NOT NULL,
    closed_ms INTEGER,
    key TEXT,
    outcome BLOB,
    meta BLOB,
    body BLOB NOT NULL
);
CREATE INDEX mail_box ON mail (receiver, id) WHERE closed_ms IS NULL;
CREATE INDEX mail_lane ON mail (receiver, lane, place) WHERE closed_ms IS NULL AND place IS NOT NULL;
CREATE INDEX mail_ready ON mail (receiver, place) WHERE ready = 1;
CREATE INDEX mail_due ON mail (due_ms, id) WHERE due_ms IS NOT NULL;
CREATE INDEX mail_leased ON mail (receiver) WHERE status = 2;
CREATE UNIQUE INDEX mail_key ON mail (sender, key) WHERE key IS NOT NULL;
CREATE INDEX mail_dead ON mail (id) WHERE status = 6;
CREATE INDEX mail_closed ON mail (status, closed_ms) WHERE closed_ms IS NOT NULL;

CREATE TABLE failures (
    message INTEGER NOT NULL,
    line INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    what TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (message, line)
) WITHOUT ROWID;

CREATE TABLE crons (
    name TEXT PRIMARY KEY,
    receiver TEXT NOT NULL,
    sender TEXT NOT NULL,
    session TEXT NOT NULL,
    cron TEXT NOT NULL,
    due_ms INTEGER NOT NULL,
    meta BLOB NOT NULL,
    body BLOB NOT NULL
);

CREATE TABLE owners (
    path TEXT PRIMARY KEY,
    boot INTEGER NOT NULL,
    n INTEGER NOT NULL
) WITHOUT ROWID;

-- digest: CRC-32 of the state, for SQLite's pages have no checksums. The state is last: a list need not read it.
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    state_version INTEGER NOT NULL,
    state_bytes INTEGER NOT NULL,
    digest INTEGER,
    state BLOB
);
CREATE INDEX sessions_ended ON sessions (ended_ms) WHERE ended_ms IS NOT NULL;

CREATE TABLE tombstones (
    path TEXT PRIMARY KEY,
    removed_ms INTEGER NOT NULL,
    last_seq INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tombstones_removed ON tombstones (removed_ms);

CREATE TABLE log (
    session INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    type TEXT NOT NULL,
    message INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    broken INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (session, seq)
) WITHOUT ROWID;

CREATE TABLE checkpoints (
    session INTEGER NOT NULL,
    name TEXT NOT NULL,
    made INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    state_version INTEGER NOT NULL,
    digest INTEGER,
    state BLOB,
    PRIMARY KEY (session, name)
);

CREATE TABLE intents (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    message INTEGER NOT NULL,
    call TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    tool TEXT NOT NULL,
    idempotent INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    outcome_ms INTEGER,
    outcome BLOB,
    arguments BLOB NOT NULL
);
CREATE UNIQUE INDEX intents_call ON intents (path, message, call, attempt);

-- what: 0 an event, 1 a gap from number to until, 2 a snapshot after either.
CREATE TABLE core (
    boot INTEGER NOT NULL,
    number INTEGER NOT NULL,
    what INTEGER NOT NULL,
    until INTEGER NOT NULL,
    now_s REAL NOT NULL,
    at_ms INTEGER NOT NULL,
    chance BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (boot, number, what)
) WITHOUT ROWID;
CREATE INDEX core_snapshots ON core (boot, number) WHERE what = 2;

-- The largest number ever given (ids and places of messages, order of checkpoints): retention cannot make one come back.
CREATE TABLE counter (value INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
