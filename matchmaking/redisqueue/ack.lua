-- Decides a proposal: a yes of the one who waited, a question of the one who searched.
-- KEYS[1]  tickets    KEYS[2]  matches    KEYS[3]  due    KEYS[4]  waits
-- ARGV[1]  match      ARGV[2]  session    ARGV[3]  epoch
-- ARGV[4]  how long a decided match is remembered, us
-- ARGV[5]  how many waits are kept
-- returns  "LIVE", "PENDING" or "GONE"
local record = redis.call('HGET', KEYS[2], ARGV[1])
local state = record and string.sub(record, 1, 1)
if state == 'L' then
  return 'LIVE'
elseif state ~= 'P' then
  return 'GONE'
end
local deadline, session0, ticket0, session1, ticket1 = sides(record)
local now = clock()
if session0 == ARGV[2] and string.sub(ticket0, 1, 16) == ARGV[3] then
  decide(KEYS[1], KEYS[2], KEYS[3], ARGV[1], 'L', session0, session1, moved(now, ARGV[4]))
  local waited = math.max(0, tonumber(now) - tonumber(string.sub(ticket0, 18, 33)))
  -- Cut down now and then, not each time.
  if redis.call('LPUSH', KEYS[4], now .. ':' .. string.format('%.0f', waited)) > 2 * tonumber(ARGV[5]) then
    redis.call('LTRIM', KEYS[4], 0, ARGV[5] - 1)
  end
  return 'LIVE'
elseif session1 == ARGV[2] and string.sub(ticket1, 1, 16) == ARGV[3] then
  if now < deadline then
    return 'PENDING'
  end
  decide(KEYS[1], KEYS[2], KEYS[3], ARGV[1], 'X', session0, session1, moved(now, ARGV[4]))
end
return 'GONE'
