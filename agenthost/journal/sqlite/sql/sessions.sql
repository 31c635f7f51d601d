-- name: session_new
INSERT INTO sessions (path, created_ms, changed_ms, first_seq, last_seq, state_version, state_bytes, digest, state)
VALUES (:path, :now_ms, :now_ms, :first_seq, :last_seq, :state_version, :state_bytes, :digest, :state);

-- name: session_grown
-- It goes on, also after it had ended.
UPDATE sessions SET changed_ms = :now_ms, last_seq = :last_seq, ended_ms = NULL WHERE id = :session;

-- name: session_changed
UPDATE sessions SET changed_ms = ?, last_seq = ?, ended_ms = NULL, state_version = ?, state_bytes = ?, digest = ?,
    state = ? WHERE id = ?;

-- name: session_end
UPDATE sessions SET ended_ms = coalesce(ended_ms, :now_ms) WHERE id = :session;

-- name: log
INSERT INTO log (session, seq, at_ms, type, message, attempt, broken, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: stash
INSERT OR REPLACE INTO stash (path, boot, n, entries) VALUES (:path, :boot, :n, :entries);

-- name: stashed
SELECT boot, n, entries FROM stash WHERE path = :path;

-- name: drop_stash
DELETE FROM stash WHERE path = :path;

-- name: checkpoint_count
SELECT count(*), sum(name = :name) FROM checkpoints WHERE session = :session;

-- name: checkpoint
INSERT OR REPLACE INTO checkpoints (session, name, made, at_ms, seq, state_version, digest, state)
SELECT id, :name, :made, :now_ms, last_seq, state_version, digest, state FROM sessions WHERE id = :session;

-- name: roll_back
UPDATE sessions SET (state_version, state_bytes, digest, state, changed_ms) = (
    SELECT state_version, coalesce(length(state), 0), digest, state, :now_ms FROM checkpoints
    WHERE session = :session AND name = :name
) WHERE id = :session AND EXISTS (SELECT 1 FROM checkpoints WHERE session = :session AND name = :name);

-- name: remove_log
DELETE FROM log WHERE session = :session;

-- name: remove_checkpoints
DELETE FROM checkpoints WHERE session = :session;

-- name: remove_session
DELETE FROM sessions WHERE id = :session;

-- name: remove_intents
DELETE FROM intents WHERE path = :path;

-- name: bury
INSERT INTO tombstones (path, removed_ms, last_seq) VALUES (:path, :now_ms, :last_seq);

-- name: dig_up
DELETE FROM tombstones WHERE path = :path;

-- name: tombstone
SELECT path, removed_ms, last_seq FROM tombstones WHERE path = :path;

-- name: fork_point
SELECT made, seq, state_version, digest, state FROM checkpoints WHERE session = :session AND name = :name;

-- name: fork_session
INSERT INTO sessions (path, created_ms, changed_ms, first_seq, last_seq, state_version, state_bytes, digest, state)
SELECT :target, :now_ms, :now_ms, min(first_seq, :seq + 1), :seq, :state_version, coalesce(length(:state), 0), :digest,
    :state
FROM sessions WHERE id = :source;

-- name: fork_now
INSERT INTO sessions (path, created_ms, changed_ms, first_seq, last_seq, state_version, state_bytes, digest, state)
SELECT :target, :now_ms, :now_ms, first_seq, last_seq, state_version, state_bytes, digest, state
FROM sessions WHERE id = :source;

-- name: fork_log
INSERT INTO log (session, seq, at_ms, type, message, attempt, broken, body)
SELECT :target, seq, at_ms, type, message, attempt, broken, body FROM log WHERE session = :source AND seq <= :seq;

-- name: fork_checkpoints
INSERT INTO checkpoints (session, name, made, at_ms, seq, state_version, digest, state)
SELECT :target, name, made, at_ms, seq, state_version, digest, state FROM checkpoints
WHERE session = :source AND made <= :made;

-- name: intend
INSERT INTO intents (path, message, call, attempt, tool, idempotent, at_ms, arguments)
VALUES (:path, :message, :call, :attempt, :tool, :idempotent, :now_ms, :arguments);

-- name: intent
SELECT 1 FROM intents WHERE path = :path AND message = :message AND call = :call AND attempt = :attempt;

-- name: open_intent
-- The latest attempt's: that is who reports.
SELECT id, outcome_ms FROM intents WHERE path = :path AND message = :message AND call = :call
ORDER BY attempt DESC LIMIT 1;

-- name: conclude
UPDATE intents SET outcome = :outcome, outcome_ms = :now_ms WHERE id = :id;

-- name: settle_intents
DELETE FROM intents WHERE path = :path AND message = :message;
