-- Fills a place, if the lease is still good.
-- KEYS[1]  "=<value>", or "?<lease>"
-- ARGV[1]  the lease
-- ARGV[2]  "=<value>"
-- ARGV[3]  how long it lasts, ms
-- returns  nothing
if redis.call('GET', KEYS[1]) == '?' .. ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
