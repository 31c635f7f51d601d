-- name: crash_failed
-- Whether that attempt is noted as failed.
SELECT 1 FROM failures WHERE message = :message AND attempt = :attempt LIMIT 1;

-- name: crash_said
-- What that word has said before.
SELECT id FROM crashes WHERE boot = :boot AND number = :number AND number > 0;

-- name: crash_of_attempt
SELECT id FROM crashes WHERE message > 0 AND message = :message AND attempt = :attempt ORDER BY id DESC LIMIT 1;

-- name: crash_of_end
-- The end of that incarnation, without an attempt so far.
SELECT id FROM crashes WHERE path = :path AND boot = :boot AND n = :n AND ended != '' AND message = 0
ORDER BY id DESC LIMIT 1;

-- name: crash_to_end
-- What is known of the end of that incarnation, or of what it ended of.
SELECT id FROM crashes WHERE path = :path AND boot = :boot AND n = :n AND (ended != '' OR fatal = 1)
ORDER BY id DESC LIMIT 1;

-- name: crash_insert
INSERT INTO crashes
    (path, boot, n, at_ms, cause, reason, fingerprint, message, attempt, remedy, why, ended, fatal, details, number)
VALUES (:path, :boot, :n, :at_ms, :cause, :reason, :fingerprint, :message, :attempt, :remedy, :why, :ended, :fatal,
    :details, :number);

-- name: crash_attempt
UPDATE crashes SET cause = :cause, reason = :reason, fingerprint = :fingerprint, message = :message, attempt = :attempt,
    remedy = :remedy, why = :why, fatal = max(fatal, :fatal), details = iif(length(:details), :details, details)
WHERE id = :id;

-- name: crash_details
UPDATE crashes SET details = iif(length(:details), :details, details) WHERE id = :id;

-- name: crash_end
UPDATE crashes SET ended = :ended, details = iif(length(:details), :details, details),
    number = iif(number, number, :number)
WHERE id = :id;

-- name: read_crash
SELECT id, path, boot, n, at_ms, cause, reason, fingerprint, message, attempt, remedy, why, ended, fatal, details, number
FROM crashes WHERE id = :id;

-- name: read_crashes
-- '0' is the character after '/'.
SELECT id, path, boot, n, at_ms, cause, reason, fingerprint, message, attempt, remedy, why, ended, fatal, x'', number
FROM crashes
WHERE (:before = 0 OR id < :before) AND at_ms >= :since_ms
    AND (:path = '' OR path = :path OR (:below AND path > :path || '/' AND path < :path || '0'))
ORDER BY id DESC LIMIT :limit;

-- name: export_crashes
SELECT id, path, boot, n, at_ms, cause, reason, fingerprint, message, attempt, remedy, why, ended, fatal, details, number
FROM crashes ORDER BY id;

-- name: old_crashes
DELETE FROM crashes WHERE id IN (SELECT id FROM crashes WHERE at_ms <= :until_ms ORDER BY at_ms, id LIMIT :limit);

-- name: surplus_crashes
-- All but the newest.
DELETE FROM crashes WHERE id IN (
    SELECT id FROM crashes ORDER BY id LIMIT min(:limit, max(0, (SELECT count(*) FROM crashes) - :most))
);

-- name: heavy_crashes
-- All but the newest whose details take so many bytes together. length() of a blob reads none of it.
DELETE FROM crashes WHERE id IN (
    SELECT id FROM (SELECT id, sum(length(details)) OVER (ORDER BY id DESC) AS total FROM crashes)
    WHERE total > :most_bytes ORDER BY id LIMIT :limit
);
