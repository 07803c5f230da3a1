-- Takes rooms off the list of empty rooms whose time has come.
-- KEYS[1]  due, ZSET: room by its last instant, Unix ms
-- ARGV[1]  now, Unix ms
-- ARGV[2]  how many rooms at most; up to 1000
-- returns  the rooms
local rooms = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #rooms > 0 then
  redis.call('ZREM', KEYS[1], unpack(rooms))
end
return rooms
