-- Removes a session's record if it belongs to the node.
-- KEYS[1]  session, HASH: n = node
-- ARGV[1]  node
-- returns  1, or 0 if it belongs to another one
local node = redis.call('HGET', KEYS[1], 'n')
if node and node ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
