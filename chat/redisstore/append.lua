-- Stores a message under the room's next offset, or finds the first one that
-- the same member sent under the same client id.
-- KEYS[1]  room, HASH: last = newest offset, at = its time, bytes = weight of
--          all kept, and for each kept message "<member>/<cid>" = its offset
-- KEYS[2]  messages, LIST, oldest first, offsets without gaps up to last:
--          "<offset>\n<at>\n<weight>\n<member>/<cid>\n<message as JSON>"
-- ARGV[1]  <member>/<cid>
-- ARGV[2]  at, Unix ms
-- ARGV[3]  weight
-- ARGV[4]  message as JSON
-- ARGV[5]  how many messages to keep
-- ARGV[6]  how much weight to keep; the newest message stays in any case
-- ARGV[7]  time to live, ms
-- returns  {0, entry} if it was stored, {1, entry} if it was there
local room, list = KEYS[1], KEYS[2]
local meta = redis.call('HMGET', room, 'last', 'at', 'bytes', ARGV[1])
local last = tonumber(meta[1] or 0)
local at = math.max(tonumber(meta[2] or 0), tonumber(ARGV[2]))
local bytes = tonumber(meta[3] or 0)
if last == 0 then
  redis.call('DEL', list) -- its counter is lost, so it means nothing
end
local kept = redis.call('LLEN', list)

if meta[4] then
  local index = tonumber(meta[4]) - (last - kept + 1)
  local entry = index >= 0 and redis.call('LINDEX', list, index)
  if entry then
    redis.call('PEXPIRE', room, ARGV[7])
    redis.call('PEXPIRE', list, ARGV[7])
    return {1, entry}
  end
end

last = last + 1
bytes = bytes + ARGV[3]
local entry = table.concat({string.format('%.0f', last), string.format('%.0f', at), ARGV[3], ARGV[1], ARGV[4]}, '\n')
redis.call('RPUSH', list, entry)
kept = kept + 1
while kept > 1 and (kept > tonumber(ARGV[5]) or bytes > tonumber(ARGV[6])) do
  local weight, origin = string.match(redis.call('LPOP', list), '^%d+\n%d+\n(%d+)\n([^\n]+)\n')
  redis.call('HDEL', room, origin)
  bytes = bytes - weight
  kept = kept - 1
end
redis.call('HSET', room, 'last', string.format('%.0f', last), 'at', string.format('%.0f', at),
  'bytes', string.format('%.0f', bytes), ARGV[1], string.format('%.0f', last))
redis.call('PEXPIRE', room, ARGV[7])
redis.call('PEXPIRE', list, ARGV[7])
return {0, entry}
