-- Takes a session's ticket out and undoes its proposal, unless its epoch is greater.
-- KEYS[1]  index      KEYS[2]  tickets    KEYS[3]  matches    KEYS[4]  due
-- ARGV[1]  session    ARGV[2]  epoch
-- ARGV[3]  how long a decided match is remembered, us
-- returns  {} or, if a proposal was undone, {match, session0, ticket0, session1, ticket1}
local own = redis.call('HGET', KEYS[2], ARGV[1])
if not own then
  return {}
end
if string.sub(own, 1, 1) == '#' then
  local match = string.sub(own, 2)
  local record = redis.call('HGET', KEYS[3], match)
  if not record or string.sub(record, 1, 1) ~= 'P' then
    redis.call('HDEL', KEYS[2], ARGV[1])
    return {}
  end
  local _, session0, ticket0, session1, ticket1 = sides(record)
  if string.sub(session0 == ARGV[1] and ticket0 or ticket1, 1, 16) > ARGV[2] then
    return {}
  end
  decide(KEYS[2], KEYS[3], KEYS[4], match, 'X', session0, session1, moved(clock(), ARGV[3]))
  return {match, session0, ticket0, session1, ticket1}
end
if not is_ticket(own) then
  redis.call('HDEL', KEYS[2], ARGV[1])
elseif string.sub(own, 1, 16) <= ARGV[2] then
  redis.call('ZREM', KEYS[1], unpack(entries(ARGV[1], own)))
  redis.call('HDEL', KEYS[2], ARGV[1])
end
return {}
