-- Puts messages back that a room has lost, each at its own offset.
-- KEYS[1]  room, HASH (see append.lua)
-- KEYS[2]  messages, ZSET by offset (see append.lua)
-- ARGV[1]  the newest offset that the caller knows
-- ARGV[2]  how many offsets to skip if something was lost
-- ARGV[3]  how many messages to keep
-- ARGV[4]  how much weight to keep; the newest message stays in any case
-- ARGV[5]  time to live, ms
-- ARGV[6]  the epoch that the room gets if something was lost
-- ARGV[7…] for each message: offset, at, weight, <member>/<cid>, message as JSON
-- returns  {newest offset, gen, epoch}, or {} if the room is gone
local room, list = KEYS[1], KEYS[2]
local meta = redis.call('HMGET', room, 'last', 'at', 'bytes', 'gen', 'gone', 'epoch')
if meta[5] then
  return {}
end
local last = tonumber(meta[1] or 0)
local at = tonumber(meta[2] or 0)
local bytes = tonumber(meta[3] or 0)
if last == 0 then
  redis.call('DEL', list)
  bytes = 0
end
local info = redis.pcall('INFO', 'replication')
local gen = type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or '-'
local behind = meta[4] ~= gen or last < tonumber(ARGV[1])

last = math.max(last, tonumber(ARGV[1]))
for i = 7, #ARGV, 5 do
  local off = ARGV[i]
  last = math.max(last, tonumber(off))
  at = math.max(at, tonumber(ARGV[i + 1]))
  if redis.call('ZCOUNT', list, off, off) == 0 then
    redis.call('ZADD', list, off, table.concat({off, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]}, '\n'))
    redis.call('HSETNX', room, ARGV[i + 3], off)
    bytes = bytes + ARGV[i + 2]
  end
end
local kept = redis.call('ZCARD', list)
while kept > 1 and (kept > tonumber(ARGV[3]) or bytes > tonumber(ARGV[4])) do
  local old, weight, origin = string.match(redis.call('ZPOPMIN', list)[1], '^(%d+)\n%d+\n(%d+)\n([^\n]+)\n')
  if redis.call('HGET', room, origin) == old then
    redis.call('HDEL', room, origin)
  end
  bytes = bytes - weight
  kept = kept - 1
end
local epoch = meta[6]
if behind then
  last = last + ARGV[2]
  epoch = ARGV[6]
end
redis.call('HSET', room, 'last', string.format('%.0f', last), 'at', string.format('%.0f', at),
  'bytes', string.format('%.0f', bytes), 'gen', gen, 'epoch', epoch)
redis.call('PEXPIRE', room, ARGV[5])
redis.call('PEXPIRE', list, ARGV[5])
return {last, gen, epoch}
