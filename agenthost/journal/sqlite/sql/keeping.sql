-- name: keep
INSERT OR REPLACE INTO kept (path, record, at_ms) VALUES (:path, :record, :now_ms);

-- name: unkeep
DELETE FROM kept WHERE path = :path;
