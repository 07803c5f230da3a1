-- Makes a node alive for a while, by the server's clock.
-- KEYS[1]  nodes, ZSET: node by end of its lease, Unix ms
-- ARGV[1]  node
-- ARGV[2]  lease, ms
-- ARGV[3]  time to live of the list, ms
-- returns  {"known" or "new", the server's replication id}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local added = redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local info = redis.pcall('INFO', 'replication')
return {added == 1 and 'new' or 'known', type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or '-'}
