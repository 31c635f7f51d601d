-- name: charge
INSERT INTO meters (path, tokens_in, tokens_out, cost, tool_calls, wall_s, cpu_s, processes, restarts, turns)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (path) DO UPDATE SET
    tokens_in = tokens_in + excluded.tokens_in,
    tokens_out = tokens_out + excluded.tokens_out,
    cost = cost + excluded.cost,
    tool_calls = tool_calls + excluded.tool_calls,
    wall_s = wall_s + excluded.wall_s,
    cpu_s = cpu_s + excluded.cpu_s,
    processes = processes + excluded.processes,
    restarts = restarts + excluded.restarts,
    turns = turns + excluded.turns;

-- name: spending
INSERT OR REPLACE INTO spending (path, boot, n, turn, in_turn, said) VALUES (?, ?, ?, ?, ?, ?);

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

-- name: remove_grants_of_message
DELETE FROM grants WHERE message = ? AND message > 0;

-- name: read_metered
SELECT path, tokens_in, tokens_out, cost, tool_calls, wall_s, cpu_s, processes, restarts, turns FROM meters
WHERE path > :after AND path >= :prefix AND path < :prefix || char(0x10ffff) ORDER BY path LIMIT :limit;

-- name: read_used
SELECT path, tokens_in, tokens_out, cost, tool_calls, wall_s, cpu_s, processes, restarts, turns FROM meters
WHERE path = :path;

-- name: read_spending
SELECT path, boot, n, turn, in_turn, said FROM spending WHERE path = :path;

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
SELECT path, boot, n, turn, in_turn, said FROM spending ORDER BY path;

-- name: export_spent
SELECT message, used FROM spent ORDER BY message;

-- name: export_grants
SELECT path, message, meter, amount, granted_by, at_ms FROM grants ORDER BY id;

-- name: export_counted
SELECT boot, number FROM counted ORDER BY boot;
