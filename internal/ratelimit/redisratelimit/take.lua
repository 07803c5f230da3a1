-- Takes tokens from a bucket (the generic cell rate algorithm).
-- KEYS[1]  when the bucket is full again, us of Redis' clock; gone when it is
-- ARGV[1]  the time that the tokens take to flow in, us
-- ARGV[2]  the time that an empty bucket takes to fill, us
-- returns  0 if they were taken, else how long until they are there, us
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local cost, depth = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or 0)
if full - now > depth then -- the clock stepped back; see ratelimit.Bucket
  full = now
end
local lack = math.max(full - now, 0)
if lack + cost > depth then
  return math.max(math.min(lack + cost - depth, lack), 1)
end
redis.call('SET', KEYS[1], string.format('%.0f', now + lack + cost), 'PX', math.ceil((lack + cost) / 1000))
return 0
