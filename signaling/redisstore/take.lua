-- Gives a session's record to another node.
-- KEYS[1]  session, HASH: n = node, g = generation, k = spoken, r = revision, d = base, c = rest
-- ARGV[1]  node that must have it
-- ARGV[2]  generation of the token
-- ARGV[3]  node that gets it
-- ARGV[4]  time to live, ms
-- returns  generation, revision, base and rest ("": none); nothing if it was not taken
local old = redis.call('HMGET', KEYS[1], 'n', 'g', 'k', 'r', 'd', 'c')
if not old[1] or old[1] ~= ARGV[1] then
  return {}
end
local gen, token = tonumber(old[2]), tonumber(ARGV[2])
if token ~= gen and not (token + 1 == gen and old[3] == '0') then
  return {}
end
local g, r = string.format('%.0f', token + 1), string.format('%.0f', tonumber(old[4]) + 1)
redis.call('HSET', KEYS[1], 'n', ARGV[3], 'g', g, 'k', '0', 'r', r)
redis.call('HDEL', KEYS[1], 'c')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {g, r, old[5], old[6] or ''}
