-- Renews a node's lease, and lets the pool's keys go when nobody renews any more.
-- KEYS[1]  nodes      KEYS[2]…  the pool's other keys
-- ARGV[1]  node       ARGV[2]  us from now      ARGV[3]  time to live of the keys, ms
-- returns  1
redis.call('ZADD', KEYS[1], moved(clock(), ARGV[2]), ARGV[1])
for i = 1, #KEYS do
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return 1
