-- name: repeat
INSERT OR REPLACE INTO repeats (path, counts) VALUES (:path, :counts);

-- name: remove_repeats
DELETE FROM repeats WHERE path = :path;

-- name: read_repeats
SELECT counts FROM repeats WHERE path = :path;

-- name: export_repeats
SELECT path, counts FROM repeats ORDER BY path;
