-- Prolongs a session's record if it belongs to the node.
-- KEYS[1]  session, HASH: n = node
-- ARGV[1]  node
-- ARGV[2]  time to live, ms
-- returns  0 prolonged, 1 not there, 2 belongs to another one
local node = redis.call('HGET', KEYS[1], 'n')
if not node then
  return 1
end
if node ~= ARGV[1] then
  return 2
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 0
