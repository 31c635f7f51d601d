-- name: read_by_key
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE sender = :sender AND key = :key;

-- name: read_history
SELECT message, attempt, at_ms, what, reason, fingerprint, rung, remedy FROM failures WHERE message = :id ORDER BY line;

-- name: read_parked
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE status = 4 AND id > :after AND substr(receiver, 1, length(:prefix)) = :prefix ORDER BY id LIMIT :limit;

-- name: read_lapsed
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE status = 4 AND due_ms <= :now_ms ORDER BY due_ms, id LIMIT :limit;

-- name: read_mailbox
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE receiver = :receiver AND closed_ms IS NULL AND id > :after ORDER BY id LIMIT :limit;

-- name: read_glance
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, x'', x'', key, due_ms, boot, n, until_ms,
    closed_ms, x''
FROM mail WHERE receiver = :receiver AND closed_ms IS NULL ORDER BY id LIMIT :limit;

-- name: read_dead_count
SELECT count(*) FROM (SELECT 1 FROM mail WHERE status = 6 AND receiver = :receiver LIMIT :limit);

-- name: read_open_count
SELECT count(*) FROM mail WHERE receiver = :receiver AND closed_ms IS NULL;

-- name: read_mailboxes
SELECT receiver, count(*) FROM mail WHERE closed_ms IS NULL AND receiver > :after
GROUP BY receiver ORDER BY receiver LIMIT :limit;

-- name: read_next_receiver
-- From one to the next: as many steps as receivers, however long their mailboxes.
SELECT min(receiver) FROM mail WHERE ready = 1 AND receiver > :after;

-- name: read_receiver
SELECT receiver FROM mail WHERE id = :id;

-- name: read_held
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE receiver = :path AND status = 2;

-- name: read_overdue
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE status = 2 AND until_ms <= :now_ms ORDER BY until_ms, id LIMIT :limit;

-- name: read_holders
SELECT receiver FROM mail WHERE status = 2 AND receiver > :after ORDER BY receiver LIMIT :limit;

-- name: read_next_due
SELECT min(due_ms) FROM mail WHERE due_ms IS NOT NULL;

-- name: read_dead_letters
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE status = 6 AND id > :after AND substr(receiver, 1, length(:prefix)) = :prefix ORDER BY id LIMIT :limit;

-- name: read_delayed
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE due_ms >= :due_ms AND (due_ms > :due_ms OR id > :id) AND status = 0 ORDER BY due_ms, id LIMIT :limit;

-- name: read_crons
SELECT name, receiver, sender, cron, body, due_ms, session, meta FROM crons WHERE name > :after ORDER BY name LIMIT :limit;

-- name: read_owner
SELECT boot, n FROM owners WHERE path = :path;

-- name: read_session_count
SELECT count(*) FROM sessions WHERE path > :above AND path < :above || char(1114111)
    AND instr(substr(path, length(:above) + 1), '/') = 0;

-- name: read_sessions
-- No path holds the last character of Unicode.
SELECT path, created_ms, changed_ms, first_seq, last_seq, state_bytes, state_version, coalesce(ended_ms, 0)
FROM sessions WHERE path > :after AND path >= :prefix AND path < :prefix || char(1114111) ORDER BY path LIMIT :limit;

-- name: read_session
SELECT path, created_ms, changed_ms, first_seq, last_seq, state_bytes, state_version, coalesce(ended_ms, 0)
FROM sessions WHERE path = :path;

-- name: read_state
SELECT path, state, state_version, last_seq, '', changed_ms, digest FROM sessions WHERE path = :path;

-- name: read_checkpoint
SELECT path, checkpoints.state, checkpoints.state_version, seq, name, at_ms, checkpoints.digest
FROM sessions JOIN checkpoints ON checkpoints.session = sessions.id WHERE path = :path AND name = :name;

-- name: read_checkpoints
SELECT path, x'', checkpoints.state_version, seq, name, at_ms
FROM sessions JOIN checkpoints ON checkpoints.session = sessions.id WHERE path = :path ORDER BY made DESC;

-- name: read_log_ends
SELECT id, first_seq, last_seq FROM sessions WHERE path = :path;

-- name: read_log
SELECT :path, seq, at_ms, type, body, message, attempt, broken FROM log
WHERE session = :session AND seq > :after ORDER BY seq LIMIT :limit;

-- name: read_kept
SELECT path, record, at_ms FROM kept WHERE path > :after ORDER BY path LIMIT :limit;

-- name: read_intents
SELECT path, message, call, attempt, tool, arguments, idempotent, at_ms, outcome, coalesce(outcome_ms, 0) FROM intents
WHERE path = :path AND (:message IS NULL OR message = :message) ORDER BY id;

-- name: read_next_boot
SELECT min(boot) FROM core WHERE boot > :after;

-- name: read_core
SELECT boot, number, what, until, now_s, at_ms, chance, body, effects FROM core
WHERE boot = :boot AND number > :after ORDER BY number, what LIMIT :limit;

-- name: read_picture
SELECT boot, number, what, until, now_s, at_ms, chance, body, effects FROM core
WHERE boot = :boot AND number = :number AND what = 2;

-- name: read_last_picture
SELECT boot, number, what, until, now_s, at_ms, chance, body, effects FROM core
WHERE boot = :boot AND what = 2 ORDER BY number DESC LIMIT 1;

-- name: read_counts
SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM mail WHERE closed_ms IS NULL),
    (SELECT count(*) FROM mail WHERE status = 6);

-- name: export_mail
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail ORDER BY id;

-- name: export_failures
SELECT message, attempt, at_ms, what, reason, fingerprint, rung, remedy FROM failures ORDER BY message, line;

-- name: export_crons
SELECT name, receiver, sender, cron, body, due_ms, session, meta FROM crons ORDER BY name;

-- name: export_owners
SELECT path, boot, n, turn FROM owners ORDER BY path;

-- name: export_states
SELECT path, state, state_version, last_seq, '', changed_ms, digest FROM sessions WHERE state IS NOT NULL ORDER BY path;

-- name: export_checkpoints
SELECT path, checkpoints.state, checkpoints.state_version, seq, name, at_ms, checkpoints.digest
FROM sessions JOIN checkpoints ON checkpoints.session = sessions.id
WHERE checkpoints.state IS NOT NULL ORDER BY path, made;

-- name: read_stashes
SELECT path, boot, n FROM stash WHERE path > :after ORDER BY path LIMIT :limit;

-- name: export_stashes
SELECT path, boot, n, entries FROM stash ORDER BY path;

-- name: export_log
SELECT path, seq, at_ms, type, body, message, attempt, broken
FROM sessions JOIN log ON log.session = sessions.id ORDER BY path, seq;

-- name: export_sessions
SELECT path, created_ms, changed_ms, first_seq, last_seq, state_bytes, state_version, coalesce(ended_ms, 0)
FROM sessions ORDER BY path;

-- name: export_tombstones
SELECT path, removed_ms, last_seq FROM tombstones ORDER BY path;

-- name: export_kept
SELECT path, record, at_ms FROM kept ORDER BY path;

-- name: export_intents
SELECT path, message, call, attempt, tool, arguments, idempotent, at_ms, outcome, coalesce(outcome_ms, 0)
FROM intents ORDER BY id;

-- name: export_core
SELECT boot, number, what, until, now_s, at_ms, chance, body, effects FROM core ORDER BY boot, number, what;
