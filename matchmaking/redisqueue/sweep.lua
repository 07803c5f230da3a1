-- Undoes what is past its deadline, forgets what was decided long ago, and takes out the tickets
-- of nodes whose lease has ended.
-- KEYS[1]  index      KEYS[2]  tickets    KEYS[3]  matches    KEYS[4]  due    KEYS[5]  nodes
-- ARGV[1]  limit for matches and for tickets, at most 1,000
-- ARGV[2]  how long a decided match is remembered, us
-- returns  {expired, forgotten, reaped, nodes}
local index, tickets, matches, due, nodes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local limit, now = tonumber(ARGV[1]), clock()
local expired, forgotten, reaped, gone = 0, {}, 0, 0

for _, match in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit)) do
  local record = redis.call('HGET', matches, match)
  if record and string.sub(record, 1, 1) == 'P' then
    local _, session0, _, session1 = sides(record)
    decide(tickets, matches, due, match, 'X', session0, session1, moved(now, ARGV[2]))
    expired = expired + 1
  else
    forgotten[#forgotten + 1] = match
  end
end
if #forgotten > 0 then
  redis.call('HDEL', matches, unpack(forgotten))
  redis.call('ZREM', due, unpack(forgotten))
end

for _, node in ipairs(redis.call('ZRANGEBYSCORE', nodes, '-inf', now, 'LIMIT', 0, 16)) do
  local term = '@' .. node
  local n = limit - reaped
  if n <= 0 then
    break
  end
  local page = redis.call('ZRANGEBYLEX', index, '[' .. term .. '\0', '(' .. term .. '\1', 'LIMIT', 0, n)
  for i = 1, #page do
    local entry = string.sub(page[i], #term + 2)
    local session = string.sub(entry, 18, string.find(entry, '\0', 18, true) - 1)
    local ticket = redis.call('HGET', tickets, session)
    if is_ticket(ticket) and string.sub(ticket, 18, 33) == string.sub(entry, 1, 16) then
      redis.call('ZREM', index, unpack(entries(session, ticket)))
      redis.call('HDEL', tickets, session)
    end
    redis.call('ZREM', index, page[i])
    reaped = reaped + 1
  end
  if #page < n then
    redis.call('ZREM', nodes, node)
    gone = gone + 1
  end
end
return {expired, #forgotten, reaped, gone}
