-- Replaces a room's record if nobody was faster.
-- KEYS[1]  room, HASH: v = revision, d = record, g = the server's replication id
--          when it was written
-- ARGV[1]  revision that must be stored; "0": nothing may be stored
-- ARGV[2]  new revision
-- ARGV[3]  new record; "": remove
-- ARGV[4]  time to live, ms
-- ARGV[5]  1 if the new record follows from the stored one alone
-- returns  1 if it was replaced, else 0; 2 if it was not because the server is
--          another one now, which may have missed newer records
local stored = redis.call('HMGET', KEYS[1], 'v', 'g')
if (stored[1] or '0') ~= ARGV[1] then
  return 0
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
  return 1
end
local info = redis.pcall('INFO', 'replication')
local gen = type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or '-'
if ARGV[5] == '1' and stored[2] ~= gen then
  return 2
end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'd', ARGV[3], 'g', gen)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
