-- name: box
-- What the writer remembers of a path.
SELECT
    (SELECT count(*) FROM mail WHERE receiver = :path AND closed_ms IS NULL),
    EXISTS (SELECT 1 FROM tombstones WHERE path = :path),
    EXISTS (SELECT 1 FROM intents WHERE path = :path),
    EXISTS (SELECT 1 FROM stash WHERE path = :path),
    owners.boot, owners.n, coalesce(owners.turn, 0), sessions.id, sessions.last_seq,
    leased.id, leased.attempt, leased.boot, leased.n, leased.lane
FROM (SELECT 1)
    LEFT JOIN owners ON owners.path = :path
    LEFT JOIN sessions ON sessions.path = :path
    LEFT JOIN mail AS leased ON leased.receiver = :path AND leased.status = 2;

-- name: own
INSERT INTO owners (path, boot, n) VALUES (:path, :boot, :n)
ON CONFLICT (path) DO UPDATE SET boot = excluded.boot, n = excluded.n, turn = 0;

-- name: own_turn
UPDATE owners SET turn = :turn WHERE path = :path;

-- name: key
SELECT id FROM mail WHERE sender = :sender AND key = :key;

-- name: cancellable
SELECT id, status, attempt FROM mail WHERE sender = :sender AND key = :key;

-- name: free_key
UPDATE mail SET key = NULL WHERE id = :id;

-- What each durable message needs has its values by position: that is looked up faster than by name.

-- name: accept
-- It is ready if nobody is before it in its lane: of this receiver and lane.
INSERT INTO mail (id, place, receiver, sender, lane, status, accepted_ms, key, meta, body, ready)
VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, NOT EXISTS (
    SELECT 1 FROM mail WHERE receiver = ? AND lane = ? AND closed_ms IS NULL AND place IS NOT NULL
));

-- name: accept_first
-- Into a mailbox that is empty.
INSERT INTO mail (id, place, receiver, sender, lane, status, ready, accepted_ms, key, meta, body)
VALUES (?, ?, ?, ?, ?, 1, 1, ?, ?, ?, ?);

-- name: accept_delayed
INSERT INTO mail (id, receiver, sender, lane, status, ready, due_ms, by_clock, accepted_ms, key, meta, body)
VALUES (:id, :receiver, :sender, :lane, 0, 0, :due_ms, :by_clock, :now_ms, :key, :meta, :body);

-- name: accept_dead
INSERT INTO mail (id, receiver, sender, lane, status, ready, accepted_ms, closed_ms, key, meta, body)
VALUES (:id, :receiver, :sender, :lane, 6, 0, :now_ms, :now_ms, :key, :meta, :body);

-- name: oldest
-- Who goes first where a mailbox drops its oldest.
SELECT id FROM mail WHERE receiver = :receiver AND closed_ms IS NULL AND status <> 2 ORDER BY id LIMIT :limit;

-- name: first_ready
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE receiver = :path AND ready = 1 ORDER BY coalesce(rank, place) LIMIT 1;

-- name: first_after
-- The first that is ready, or the first of this lane, which is not marked so yet: whichever has waited longer.
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE id = (
    SELECT id FROM (
        SELECT id, min(rank) FROM (
            SELECT id, rank FROM (
                SELECT id, coalesce(rank, place) AS rank FROM mail
                WHERE receiver = ? AND ready = 1 ORDER BY coalesce(rank, place) LIMIT 1
            )
            UNION ALL
            SELECT id, rank FROM (
                SELECT id, coalesce(rank, place) AS rank FROM mail
                WHERE receiver = ? AND lane = ? AND closed_ms IS NULL AND place IS NOT NULL
                ORDER BY place LIMIT 1
            )
        )
    )
);

-- name: message
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE id = :id;

-- name: lease
UPDATE mail SET status = 2, ready = 0, attempt = attempt + 1, boot = ?, n = ?, until_ms = ? WHERE id = ?;

-- name: extend
UPDATE mail SET until_ms = :until_ms WHERE id = :id;

-- name: brief
SELECT receiver, lane, status, ready, attempt, boot, n FROM mail WHERE id = :id;

-- name: wait
-- It is the first of its lane.
UPDATE mail SET status = 1, ready = 1, due_ms = NULL WHERE id = :id;

-- name: wait_behind
-- As wait, behind those that wait already in other lanes.
UPDATE mail SET status = 1, ready = 1, due_ms = NULL, rank = :rank WHERE id = :id;

-- name: hold
UPDATE mail SET status = :status, ready = 0, due_ms = :due_ms WHERE id = :id;

-- name: close
UPDATE mail SET status = :status, ready = 0, due_ms = NULL, closed_ms = :now_ms WHERE id = :id;

-- name: finish
UPDATE mail SET status = 5, closed_ms = ?, outcome = ? WHERE id = ?;

-- name: finish_at_once
-- As finish, of one whose lease was not written yet.
UPDATE mail SET status = 5, ready = 0, attempt = ?, boot = ?, n = ?, until_ms = ?, closed_ms = ?, outcome = ?
WHERE id = ?;

-- name: behind
-- In its lane, as far as no other lane comes between.
SELECT id, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, until_ms,
    closed_ms, outcome
FROM mail WHERE receiver = ? AND lane = ? AND closed_ms IS NULL AND place > ? AND place < coalesce((
    SELECT coalesce(rank, place) FROM mail WHERE receiver = ? AND ready = 1 AND id <> ?
    ORDER BY coalesce(rank, place) LIMIT 1
), 1 << 62)
ORDER BY place LIMIT ?;

-- name: promote
-- The lane goes on: who is first in it now is ready. Only the first was ever anything but waiting.
UPDATE mail SET ready = 1 WHERE id = (
    SELECT id FROM mail WHERE receiver = :receiver AND lane = :lane AND closed_ms IS NULL AND place IS NOT NULL
    ORDER BY place LIMIT 1
);

-- name: enter
-- Into its lane, at the end: one that was delayed, or a dead letter.
UPDATE mail SET status = 1, place = :place, rank = NULL, due_ms = NULL, closed_ms = NULL, ready = NOT EXISTS (
    SELECT 1 FROM mail WHERE receiver = :receiver AND lane = :lane AND closed_ms IS NULL AND place IS NOT NULL
) WHERE id = :id;

-- name: ripe
-- Of a parked message its due time means that nobody has answered.
SELECT id, receiver, lane, status FROM mail WHERE due_ms <= :now_ms AND status <> 4 ORDER BY due_ms, id LIMIT :limit;

-- name: shift
UPDATE mail SET due_ms = max(1, due_ms + :by_ms) WHERE due_ms IS NOT NULL AND by_clock = 0;

-- name: fail
INSERT INTO failures (message, line, attempt, at_ms, what, reason, fingerprint, rung, remedy)
VALUES (
    :id, (SELECT coalesce(max(line), 0) + 1 FROM failures WHERE message = :id), :attempt, :now_ms, :what, :reason,
    :fingerprint, :rung, :remedy
);

-- name: move
-- Out of its lane, until it enters the other.
UPDATE mail SET receiver = :receiver, place = NULL, rank = NULL, ready = 0, due_ms = NULL WHERE id = :id;

-- name: move_intents
UPDATE intents SET path = :receiver WHERE path = :path AND message = :id;

-- name: open_box
SELECT id, attempt FROM mail WHERE receiver = :path AND closed_ms IS NULL ORDER BY id;

-- name: strand_box
UPDATE mail SET status = 6, ready = 0, due_ms = NULL, closed_ms = :now_ms
WHERE receiver = :path AND closed_ms IS NULL;

-- name: drop_box
UPDATE mail SET status = 7, ready = 0, due_ms = NULL, closed_ms = :now_ms
WHERE receiver = :path AND closed_ms IS NULL;

-- name: schedule
INSERT OR REPLACE INTO crons (name, receiver, sender, session, cron, due_ms, meta, body)
VALUES (:name, :receiver, :sender, :session, :cron, :due_ms, :meta, :body);

-- name: unschedule
DELETE FROM crons WHERE name = :name;

-- name: unschedule_all
DELETE FROM crons WHERE receiver = :path;

-- name: cron
SELECT name, receiver, sender, cron, body, due_ms, session, meta FROM crons WHERE name = :name;

-- name: cron_due
UPDATE crons SET due_ms = :due_ms WHERE name = :name;
