-- name: core_last
SELECT until FROM core WHERE boot = :boot ORDER BY number DESC, what DESC LIMIT 1;

-- name: core_note
INSERT INTO core (boot, number, what, until, now_s, at_ms, chance, body, effects)
VALUES (:boot, :number, 0, :number, :now_s, :now_ms, :chance, :body, :effects);

-- name: core_picture
INSERT OR REPLACE INTO core (boot, number, what, until, now_s, at_ms, chance, body)
VALUES (:boot, :number, 2, :number, :now_s, :now_ms, x'', :body);

-- name: core_missed
INSERT INTO core (boot, number, what, until, now_s, at_ms, chance, body)
VALUES (:boot, :number, 1, :until, 0, :now_ms, x'', :body);
