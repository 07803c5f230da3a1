-- Reads a value, or gives a lease to fill its place.
-- KEYS[1]  "=<value>", or "?<lease>"
-- ARGV[1]  the lease to give
-- ARGV[2]  how long it lasts, ms
-- returns  "=<value>", or ""
local there = redis.call('GET', KEYS[1])
if there and string.sub(there, 1, 1) == '=' then
  return there
end
redis.call('SET', KEYS[1], '?' .. ARGV[1], 'PX', ARGV[2])
return ''
