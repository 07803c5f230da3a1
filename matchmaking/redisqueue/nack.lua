-- Undoes a proposal.
-- KEYS[1]  tickets    KEYS[2]  matches    KEYS[3]  due
-- ARGV[1]  match      ARGV[2]  session    ARGV[3]  epoch
-- ARGV[4]  how long a decided match is remembered, us
-- returns  "LIVE" for a match that is, else "GONE"
local record = redis.call('HGET', KEYS[2], ARGV[1])
local state = record and string.sub(record, 1, 1)
if state == 'L' then
  return 'LIVE'
elseif state == 'P' then
  local _, session0, ticket0, session1, ticket1 = sides(record)
  if session0 == ARGV[2] and string.sub(ticket0, 1, 16) == ARGV[3]
    or session1 == ARGV[2] and string.sub(ticket1, 1, 16) == ARGV[3] then
    decide(KEYS[1], KEYS[2], KEYS[3], ARGV[1], 'X', session0, session1, moved(clock(), ARGV[4]))
  end
end
return 'GONE'
