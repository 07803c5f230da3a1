-- Stores a message under the room's next offset, or finds the first one that
-- the same member sent under the same client id.
-- KEYS[1]  room, HASH: last = newest offset, at = its time, bytes = weight of
--          all kept, gen = the server's replication id when it was written last,
--          epoch, and for each kept message "<member>/<cid>" = its offset; or gone = 1
-- KEYS[2]  messages, ZSET by offset:
--          "<offset>\n<at>\n<weight>\n<member>/<cid>\n<message as JSON>"
-- ARGV[1]  <member>/<cid>
-- ARGV[2]  at, Unix ms
-- ARGV[3]  weight
-- ARGV[4]  message as JSON
-- ARGV[5]  how many messages to keep
-- ARGV[6]  how much weight to keep; the newest message stays in any case
-- ARGV[7]  time to live, ms
-- ARGV[8]  the newest offset that the caller knows
-- ARGV[9]  the gen that the caller knows; "": none
-- ARGV[10] the epoch that the caller knows; "": none
-- ARGV[11] the epoch of a new room
-- returns  {0, entry, gen, epoch} if it was stored, {1, entry} if it was there,
--          {2} if messages were lost or may have been, {3} if the room is gone
local room, list = KEYS[1], KEYS[2]
local meta = redis.call('HMGET', room, 'last', 'at', 'bytes', 'gen', 'gone', ARGV[1], 'epoch')
if meta[5] then
  return {3}
end
local last = tonumber(meta[1] or 0)
local at = math.max(tonumber(meta[2] or 0), tonumber(ARGV[2]))
local bytes = tonumber(meta[3] or 0)
if last == 0 then
  redis.call('DEL', list) -- its counter is lost, so it means nothing
end

if meta[6] then
  local entry = redis.call('ZRANGEBYSCORE', list, meta[6], meta[6])[1]
  if entry then
    redis.call('PEXPIRE', room, ARGV[7])
    redis.call('PEXPIRE', list, ARGV[7])
    return {1, entry}
  end
end
-- What one sees as another id: a server started anew, or a replica that took
-- over and may not have got everything.
local info = redis.pcall('INFO', 'replication')
local gen = type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or '-'
if last < tonumber(ARGV[8]) or (meta[4] and meta[4] ~= gen) or (ARGV[9] ~= '' and ARGV[9] ~= gen)
  or (ARGV[10] ~= '' and ARGV[10] ~= meta[7]) then
  return {2}
end

local epoch = last > 0 and meta[7] or ARGV[11]
last = last + 1
bytes = bytes + ARGV[3]
local off = string.format('%.0f', last)
local entry = table.concat({off, string.format('%.0f', at), ARGV[3], ARGV[1], ARGV[4]}, '\n')
redis.call('ZADD', list, off, entry)
local kept = redis.call('ZCARD', list)
while kept > 1 and (kept > tonumber(ARGV[5]) or bytes > tonumber(ARGV[6])) do
  local old, weight, origin = string.match(redis.call('ZPOPMIN', list)[1], '^(%d+)\n%d+\n(%d+)\n([^\n]+)\n')
  if redis.call('HGET', room, origin) == old then
    redis.call('HDEL', room, origin)
  end
  bytes = bytes - weight
  kept = kept - 1
end
redis.call('HSET', room, 'last', off, 'at', string.format('%.0f', at),
  'bytes', string.format('%.0f', bytes), 'gen', gen, 'epoch', epoch, ARGV[1], off)
redis.call('PEXPIRE', room, ARGV[7])
redis.call('PEXPIRE', list, ARGV[7])
return {0, entry, gen, epoch}
