-- Decides a proposal: a yes of the one who waited, a question of the one who searched, that comes alone.
-- KEYS and ARGV are those of step.lua, with one step.
-- returns  "LIVE", "PENDING" or "GONE"
local record = redis.call('HGET', KEYS[3], ARGV[6])
local state = record and string.sub(record, 1, 1)
if state == 'L' then
  return 'LIVE'
elseif state ~= 'P' then
  return 'GONE'
end
local deadline, session0, ticket0, session1, ticket1 = sides(record)
local now = clock()
if session0 == ARGV[7] and string.sub(ticket0, 1, 16) == ARGV[8] then
  decide(KEYS[2], KEYS[3], KEYS[4], ARGV[6], 'L', session0, session1, moved(now, ARGV[3]))
  local waited = math.max(0, tonumber(now) - tonumber(string.sub(ticket0, 18, 33)))
  -- Cut down now and then, not each time.
  if redis.call('LPUSH', KEYS[6], now .. ':' .. string.format('%.0f', waited)) > 2 * tonumber(ARGV[4]) then
    redis.call('LTRIM', KEYS[6], 0, ARGV[4] - 1)
  end
  return 'LIVE'
elseif session1 == ARGV[7] and string.sub(ticket1, 1, 16) == ARGV[8] then
  if now < deadline then
    return 'PENDING'
  end
  decide(KEYS[2], KEYS[3], KEYS[4], ARGV[6], 'X', session0, session1, moved(now, ARGV[3]))
end
return 'GONE'
