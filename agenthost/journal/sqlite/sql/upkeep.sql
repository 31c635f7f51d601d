-- name: old_mail
SELECT id FROM mail WHERE status = :status AND closed_ms <= :until_ms ORDER BY closed_ms LIMIT :limit;

-- name: remove_mail
DELETE FROM mail WHERE id = ?;

-- name: remove_intents_of_mail
DELETE FROM intents WHERE (path, message) = (SELECT receiver, id FROM mail WHERE id = ?);

-- name: remove_failures
DELETE FROM failures WHERE message = ?;

-- name: old_sessions
SELECT id, path FROM sessions WHERE ended_ms <= :until_ms ORDER BY ended_ms LIMIT :limit;

-- name: log_head
DELETE FROM log WHERE session = :session AND seq <= (
    SELECT max(seq) FROM (SELECT seq FROM log WHERE session = :session ORDER BY seq LIMIT :limit)
);

-- name: log_left
UPDATE sessions SET first_seq = coalesce((SELECT min(seq) FROM log WHERE session = :session), last_seq + 1)
WHERE id = :session;

-- name: old_tombstones
DELETE FROM tombstones WHERE path IN (SELECT path FROM tombstones WHERE removed_ms <= :until_ms LIMIT :limit);

-- name: cut_snapshot
-- The newest snapshot that is old enough: replay begins there, what is before it may go.
SELECT boot, number FROM core WHERE what = 2 AND at_ms <= :until_ms ORDER BY boot DESC, number DESC LIMIT 1;

-- name: cut_core
DELETE FROM core WHERE (boot, number, what) IN (
    SELECT boot, number, what FROM core WHERE (boot, number, what) < (:boot, :number, 2)
    ORDER BY boot, number, what LIMIT :limit
);
