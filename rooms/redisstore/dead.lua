-- Lists the nodes whose lease is over, by the server's clock.
-- KEYS[1]  nodes, ZSET: node by end of its lease, Unix ms
-- returns  the nodes
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
