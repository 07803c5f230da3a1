-- Removes a user's messages from a room.
-- KEYS[1]  room, HASH (see append.lua)
-- KEYS[2]  messages, ZSET by offset (see append.lua)
-- ARGV[1]  "user":"<user>", as it stands in the JSON of the user's messages; quotes in
--          texts have a backslash before them
-- returns  how many
local room, list = KEYS[1], KEYS[2]
local found, members = {}, {}
for _, entry in ipairs(redis.call('ZRANGE', list, 0, -1)) do
  local off, weight, member, cid, body = string.match(entry, '^(%d+)\n%d+\n(%d+)\n([^/\n]+)/([^\n]+)\n(.*)$')
  local own = off and string.find(body, ARGV[1], 1, true)
  if own then
    members[member] = true
  end
  if own or off and string.find(body, '"user":""', 1, true) then
    found[#found + 1] = {entry, off, weight, member, member .. '/' .. cid, own}
  end
end
local removed, bytes = 0, 0
for _, m in ipairs(found) do
  if m[6] or members[m[4]] then
    redis.call('ZREM', list, m[1])
    if redis.call('HGET', room, m[5]) == m[2] then
      redis.call('HDEL', room, m[5])
    end
    removed, bytes = removed + 1, bytes + m[3]
  end
end
if removed > 0 and redis.call('EXISTS', room) == 1 then
  redis.call('HINCRBY', room, 'bytes', -bytes)
end
return removed
