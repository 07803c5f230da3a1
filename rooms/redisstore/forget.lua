-- Takes a node off the list if its lease is over, by the server's clock.
-- KEYS[1]  nodes, ZSET: node by end of its lease, Unix ms
-- ARGV[1]  node
-- returns  1 if it was taken off, else 0
local lease = redis.call('ZSCORE', KEYS[1], ARGV[1])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if not lease or tonumber(lease) > now then
  return 0
end
return redis.call('ZREM', KEYS[1], ARGV[1])
