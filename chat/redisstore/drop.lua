-- Removes a room's messages and marks it as gone for a while.
-- KEYS[1]  room, HASH (see append.lua)
-- KEYS[2]  messages
-- ARGV[1]  for how long, ms
-- returns  nothing
redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'gone', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
