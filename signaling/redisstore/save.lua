-- Stores a session's record unless it belongs to another node; one that arrives
-- late changes nothing.
-- KEYS[1]  session, HASH: n = node, g = generation, k = spoken, m = moves, r = revision, d = base, c = rest
-- ARGV[1]  node
-- ARGV[2]  generation
-- ARGV[3]  spoken, "0" or "1"
-- ARGV[4]  revision
-- ARGV[5]  base, JSON
-- ARGV[6]  rest, JSON; "": none
-- ARGV[7]  time to live, ms
-- ARGV[8]  moves
-- returns  1, or 0 if it belongs to another node
local old = redis.call('HMGET', KEYS[1], 'n', 'g', 'r', 'm')
if old[1] and old[1] ~= ARGV[1] then
  if tonumber(old[4]) >= tonumber(ARGV[8]) then
    return 0
  end
elseif old[1] then
  local was, is = tonumber(old[2]), tonumber(ARGV[2])
  if was > is or was == is and tonumber(old[3]) >= tonumber(ARGV[4]) then
    return 1
  end
end
redis.call('HSET', KEYS[1], 'n', ARGV[1], 'g', ARGV[2], 'k', ARGV[3], 'm', ARGV[8], 'r', ARGV[4], 'd', ARGV[5])
if ARGV[6] == '' then
  redis.call('HDEL', KEYS[1], 'c')
else
  redis.call('HSET', KEYS[1], 'c', ARGV[6])
end
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return 1
