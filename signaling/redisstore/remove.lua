-- Removes a session's record, unless it belongs to another node that took it.
-- KEYS[1]  session, HASH: n = node, m = moves
-- ARGV[1]  node
-- ARGV[2]  moves of the node's own record
-- returns  1, or 0 if it belongs to another one
local old = redis.call('HMGET', KEYS[1], 'n', 'm')
if old[1] and old[1] ~= ARGV[1] and tonumber(old[2]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
