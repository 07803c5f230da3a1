-- Replaces a room's record if nobody was faster.
-- KEYS[1]  room, HASH: v = revision, d = record
-- ARGV[1]  revision that must be stored; "0": nothing may be stored
-- ARGV[2]  new revision
-- ARGV[3]  new record; "": remove
-- ARGV[4]  time to live, ms
-- returns  1 if it was replaced, else 0
local stored = redis.call('HGET', KEYS[1], 'v') or '0'
if stored ~= ARGV[1] then
  return 0
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
  return 1
end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'd', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
