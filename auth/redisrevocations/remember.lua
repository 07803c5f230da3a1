-- Adds a revocation.
-- KEYS[1]  revocations, ZSET by the time at which they were added, us
-- ARGV[1]  "<until, Unix seconds> <session>"
-- ARGV[2]  how long they are kept, ms
-- returns  nothing
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
-- No two have the same time: readers go on behind the last that they read.
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if last and tonumber(last) >= now then
  now = tonumber(last) + 1
end
redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2] * 1000))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
