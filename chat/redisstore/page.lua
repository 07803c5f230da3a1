-- Reads a page of a room's messages, all as of one instant.
-- KEYS[1]  room, HASH: last = newest offset (see append.lua)
-- KEYS[2]  messages, ZSET by offset
-- ARGV[1]  "f": the first with an offset above the bound; "b": the last with one
--          below it
-- ARGV[2]  bound, at most 2^53; "b" and 0: none
-- ARGV[3]  how many messages at most
-- returns  {last, more, gen, epoch, entry, entry, …}; more is 1 if kept messages fit
--          beyond; {} if the room is gone
local meta = redis.call('HMGET', KEYS[1], 'last', 'gen', 'gone', 'epoch')
if meta[3] then
  return {}
end
if not meta[1] then
  local info = redis.pcall('INFO', 'replication')
  return {0, 0, type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or '-', ''}
end
local limit = tonumber(ARGV[3])
local found
if ARGV[1] == 'f' then
  found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[2], '+inf', 'LIMIT', 0, limit + 1)
else
  local bound = ARGV[2] == '0' and '+inf' or '(' .. ARGV[2]
  found = redis.call('ZREVRANGEBYSCORE', KEYS[2], bound, '-inf', 'LIMIT', 0, limit + 1)
end
local count = math.min(#found, limit)
local page = {tonumber(meta[1]), #found > limit and 1 or 0, meta[2] or '', meta[4] or ''}
for i = 1, count do
  page[#page + 1] = ARGV[1] == 'f' and found[i] or found[count + 1 - i]
end
return page
