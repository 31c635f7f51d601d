-- name: charge
INSERT INTO meters (path, tokens_in, tokens_out, cost, tool_calls, wall_s, cpu_s, processes, restarts, turns)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (path) DO UPDATE SET
    tokens_in = min(tokens_in + excluded.tokens_in, 9007199254740991),
    tokens_out = min(tokens_out + excluded.tokens_out, 9007199254740991),
    cost = min(cost + excluded.cost, 9007199254740991),
    tool_calls = min(tool_calls + excluded.tool_calls, 9007199254740991),
    wall_s = min(wall_s + excluded.wall_s, 9007199254740991),
    cpu_s = min(cpu_s + excluded.cpu_s, 9007199254740991),
    processes = min(processes + excluded.processes, 9007199254740991),
    restarts = min(restarts + excluded.restarts, 9007199254740991),
    turns = min(turns + excluded.turns, 9007199254740991);

-- name: spending
INSERT OR REPLACE INTO spending (path, boot, n, turn, in_turn, said, seen_turn, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: spent
SELECT used FROM spent WHERE message = ?;

-- name: spend
INSERT OR REPLACE INTO spent (message, used) VALUES (?, ?);

-- name: counted
INSERT INTO counted (boot, number) VALUES (?, ?)
ON CONFLICT (boot) DO UPDATE SET number = max(number, excluded.number);

-- name: grant
INSERT INTO grants (path, message, meter, amount, granted_by, at_ms) VALUES (?, ?, ?, ?, ?, ?);

-- name: remove_meters
DELETE FROM meters WHERE path = :path;

-- name: remove_spending
DELETE FROM spending WHERE path = :path;

-- name: remove_grants
DELETE FROM grants WHERE path = :path;

-- name: remove_spent
DELETE FROM spent WHERE message = ?;

-- name: remove_spent_of_nothing
DELETE FROM spent WHERE message IN (
    SELECT message FROM spent WHERE message < coalesce((SELECT min(id) FROM mail), 9223372036854775807)
    ORDER BY message LIMIT :limit
);

-- name: remove_grants_of_message
DELETE FROM grants WHERE message = ? AND message > 0;

-- name: read_metered
SELECT path, tokens_in, tokens_out, cost, tool_calls, wall_s, cpu_s, processes, restarts, turns FROM meters
WHERE path > :after AND path >= :prefix AND path < :prefix || char(0x10ffff) ORDER BY path LIMIT :limit;

-- name: read_used
SELECT path, tokens_in, tokens_out, cost, tool_calls, wall_s, cpu_s, processes, restarts, turns FROM meters
WHERE path = :path;

-- name: read_spending
SELECT path, boot, n, turn, in_turn, said, seen_turn, seen FROM spending WHERE path = :path;

-- name: read_grants
SELECT path, message, meter, amount, granted_by, at_ms FROM grants
WHERE path = :path ORDER BY id;

-- name: read_spent
SELECT used FROM spent WHERE message = :message;

-- name: read_counted
SELECT number FROM counted WHERE boot = :boot;

-- name: export_metered
SELECT path, tokens_in, tokens_out, cost, tool_calls, wall_s, cpu_s, processes, restarts, turns FROM meters
ORDER BY path;

-- name: export_spending
SELECT path, boot, n, turn, in_turn, said, seen_turn, seen FROM spending ORDER BY path;

-- name: export_spent
SELECT message, used FROM spent ORDER BY message;

-- name: export_grants
SELECT path, message, meter, amount, granted_by, at_ms FROM grants ORDER BY id;

-- name: export_counted
SELECT boot, number FROM counted ORDER BY boot;
