-- Reads a page of a room's messages, all as of one instant.
-- KEYS[1]  room, HASH: last = newest offset (see append.lua)
-- KEYS[2]  messages, LIST, oldest first, offsets without gaps up to last
-- ARGV[1]  "f": the first with an offset above the bound; "b": the last with one
--          below it
-- ARGV[2]  bound, at most 2^53; "b" and 0: none
-- ARGV[3]  how many messages at most
-- returns  {last, more, entry, entry, …}; more is 1 if kept messages fit beyond
local last = tonumber(redis.call('HGET', KEYS[1], 'last') or 0)
local first = last - redis.call('LLEN', KEYS[2]) + 1
local bound, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local from, to, more = first, last, 0
if last == 0 then
  return {0, 0}
end
if ARGV[1] == 'f' then
  from = math.max(first, bound + 1)
elseif bound > 0 then
  to = math.min(last, bound - 1)
end
if to - from + 1 > limit then
  more = 1
  if ARGV[1] == 'f' then
    to = from + limit - 1
  else
    from = to - limit + 1
  end
end
local page = {last, more}
if from <= to then
  for _, entry in ipairs(redis.call('LRANGE', KEYS[2], from - first, to - first)) do
    page[#page + 1] = entry
  end
end
return page
