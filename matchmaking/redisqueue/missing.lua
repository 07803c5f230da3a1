-- Says who is neither listed nor in an undecided proposal.
-- KEYS[1]  tickets    KEYS[2]  matches
-- ARGV     session, epoch, session, epoch… (at most 1,000 sessions)
-- returns  the positions of those who are missing, from 0
local sessions = {}
for i = 1, #ARGV, 2 do
  sessions[#sessions + 1] = ARGV[i]
end
local missing = {}
if #sessions == 0 then
  return missing
end
local values = redis.call('HMGET', KEYS[1], unpack(sessions))
for i = 1, #sessions do
  local v, epoch = values[i], ARGV[2 * i]
  if v and string.sub(v, 1, 1) == '#' then
    local record = redis.call('HGET', KEYS[2], string.sub(v, 2))
    v = false
    if record and string.sub(record, 1, 1) == 'P' then
      local _, session0, ticket0, _, ticket1 = sides(record)
      v = session0 == sessions[i] and ticket0 or ticket1
    end
  end
  if not v or string.sub(v, 1, 16) ~= epoch then
    missing[#missing + 1] = i - 1
  end
end
return missing
