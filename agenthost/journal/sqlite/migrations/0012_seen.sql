-- What the host has seen of a turn, beside what its agent says: each counts turns by itself. x'90' is an empty array.
ALTER TABLE spending ADD COLUMN seen_turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spending ADD COLUMN seen BLOB NOT NULL DEFAULT x'90';
