-- What a turn in hand has told, should nobody say any more of it: entries (MessagePack), by the incarnation whose turn it
-- is.
CREATE TABLE stash (
    path TEXT PRIMARY KEY,
    boot INTEGER NOT NULL,
    n INTEGER NOT NULL,
    entries BLOB NOT NULL
) WITHOUT ROWID;
