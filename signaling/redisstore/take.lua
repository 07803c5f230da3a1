-- Gives a session's record to another node.
-- KEYS[1]  session, HASH: n = node, g = generation, k = spoken, m = moves, r = revision, d = base, c = rest
-- ARGV[1]  node that must have it
-- ARGV[2]  generation of the token
-- ARGV[3]  node that gets it
-- ARGV[4]  time to live, ms
-- returns  generation, moves, revision, base and rest ("": none); nothing if it was not taken
local old = redis.call('HMGET', KEYS[1], 'n', 'g', 'k', 'r', 'd', 'c', 'm')
if not old[1] or old[1] ~= ARGV[1] then
  return {}
end
local gen, token = tonumber(old[2]), tonumber(ARGV[2])
if token ~= gen and not (token + 1 == gen and old[3] == '0') then
  return {}
end
local function more(n) return string.format('%.0f', tonumber(n) + 1) end
local g, r, m = more(token), more(old[4]), more(old[7])
redis.call('HSET', KEYS[1], 'n', ARGV[3], 'g', g, 'k', '0', 'm', m, 'r', r)
redis.call('HDEL', KEYS[1], 'c')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {g, m, r, old[5], old[6] or ''}
