-- Proposes the oldest listed ticket that fits, or lists this one: a search that comes alone.
-- KEYS and ARGV are those of step.lua, with one step.
-- returns  {"LISTED", since, number of tickets, rejected, strays}
--          {"PROPOSED", match, session0, ticket0, session1, ticket1, rejected, strays}; 0 is the one who waited
--          {"STALE"}: a ticket with a greater epoch is there      {"USED"}: the match's id was used before
local index, tickets, matches, due, nodes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local session, epoch, since = ARGV[6], ARGV[7], ARGV[8]
local match, look, exclude = ARGV[15], tonumber(ARGV[17]), ARGV[14]
local now = clock()

-- What is there of this session?
local own, undo0, undo1 = redis.call('HGET', tickets, session), nil, nil
local undo
if own and string.sub(own, 1, 1) == '#' then
  undo = string.sub(own, 2)
  local record = redis.call('HGET', matches, undo)
  if record and string.sub(record, 1, 1) == 'P' then
    local _, session0, ticket0, session1, ticket1 = sides(record)
    local had = string.sub(session0 == session and ticket0 or ticket1, 1, 16)
    if had > epoch then
      return {'STALE'}
    elseif had == epoch then
      return {'PROPOSED', undo, session0, ticket0, session1, ticket1, 0, 0}
    end
    undo0, undo1 = session0, session1
  end
  own = false
elseif is_ticket(own) then
  if string.sub(own, 1, 16) > epoch then
    return {'STALE'}
  end
  if since == '' and string.sub(own, 1, 16) == epoch then
    since = string.sub(own, 18, 33)
  end
else
  own = false
end
if since == '' or since > now then
  since = now
else
  local oldest = moved(now, ARGV[1])
  if since < oldest then
    since = oldest
  end
end

-- The oldest that fits: the least "<since>\0<session>\0<user>" of all terms.
local found, found_session, found_ticket
local rejected, strays = 0, 0
repeat
  found = nil
  local found_term
  for term in string.gmatch(ARGV[13], '[^\n]+') do
    local low, high, from = '[' .. term .. '\0', '(' .. term .. '\1', #term + 2
    local at, n, done = 0, 1, false
    repeat
      local page = redis.call('ZRANGEBYLEX', index, low, high, 'LIMIT', at, n)
      done = #page < n
      for i = 1, #page do
        local entry = string.sub(page[i], from)
        if found and entry >= found then
          done = true
          break
        end
        local cut = string.find(entry, '\0', 18, true)
        local who = string.sub(entry, 18, cut - 1)
        if who ~= session then
          if string.find(exclude, '\n' .. string.sub(entry, cut + 1) .. '\n', 1, true) then
            rejected = rejected + 1
          else
            found, found_session, found_term, done = entry, who, term, true
            break
          end
        end
      end
      at = at + n
      n = math.min(at == 1 and 7 or at == 8 and 24 or 128, look - at)
    until done or n <= 0
  end
  if found then
    found_ticket = redis.call('HGET', tickets, found_session)
    if not is_ticket(found_ticket) or string.sub(found_ticket, 18, 33) ~= string.sub(found, 1, 16) then
      -- An entry without its ticket; there should be none. It goes, and the search begins anew.
      redis.call('ZREM', index, found_term .. '\0' .. found)
      strays = strays + 1
      found_ticket = nil
    end
  end
until not found or found_ticket or strays == 16
local ticket = epoch .. '\n' .. since .. '\n' .. ARGV[11]

-- Nothing is written above this line but the removal of strays.
if found_ticket then
  local deadline = moved(now, ARGV[16])
  local record = 'P' .. deadline .. '\1' .. found_session .. '\1' .. found_ticket .. '\1' .. session .. '\1' .. ticket
  if redis.call('HSETNX', matches, match, record) == 0 then
    return {'USED'}
  end
  if undo0 then
    decide(tickets, matches, due, undo, 'X', undo0, undo1, moved(now, ARGV[3]))
  end
  if own then
    redis.call('ZREM', index, unpack(entries(session, own)))
  end
  redis.call('ZREM', index, unpack(entries(found_session, found_ticket)))
  redis.call('HSET', tickets, session, '#' .. match, found_session, '#' .. match)
  redis.call('ZADD', due, deadline, match)
  return {'PROPOSED', match, found_session, found_ticket, session, ticket, rejected, strays}
end

if undo0 then
  decide(tickets, matches, due, undo, 'X', undo0, undo1, moved(now, ARGV[3]))
end
if own then
  redis.call('ZREM', index, unpack(entries(session, own)))
end
local list, args = entries(session, ticket), {}
for i = 1, #list do
  args[2 * i - 1], args[2 * i] = '0', list[i]
end
redis.call('HSET', tickets, session, ticket)
redis.call('ZADD', index, unpack(args))
redis.call('ZADD', nodes, 'NX', moved(now, ARGV[2]), ARGV[10])
return {'LISTED', since, redis.call('HLEN', tickets), rejected, strays}
