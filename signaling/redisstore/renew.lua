-- Prolongs a session's record if it belongs to the node.
-- KEYS[1]  session, HASH: n = node, m = moves, r = revision
-- ARGV[1]  node
-- ARGV[2]  time to live, ms
-- ARGV[3]  moves of the node's own record
-- ARGV[4]  revision that was stored
-- returns  0 prolonged, 1 not there or older, 2 belongs to another one
local old = redis.call('HMGET', KEYS[1], 'n', 'm', 'r')
if not old[1] then
  return 1
end
if old[1] ~= ARGV[1] then
  return tonumber(old[2]) >= tonumber(ARGV[3]) and 2 or 1
end
if tonumber(old[3]) < tonumber(ARGV[4]) then
  return 1
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 0
