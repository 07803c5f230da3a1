-- How the pool stands.
-- KEYS[1]  tickets    KEYS[2]  waits
-- ARGV[1]  how many waits
-- returns  {time, number of tickets, {"<time>:<microseconds waited>"…}}
return {clock(), redis.call('HLEN', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, ARGV[1] - 1)}
