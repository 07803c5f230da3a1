-- What the scripts share; it stands before each of them.
--
-- Keys of a pool, all with its hash tag:
--   index    ZSET score 0   "<term>\0<since>\0<session>\0<user>" for each offered term of a
--                           listed ticket, and the same with the term "@<node>"
--   tickets  HASH           session -> ticket while listed, "#<match>" while in an undecided proposal
--   matches  HASH           match -> "P<deadline>\1<session>\1<ticket>\1<session>\1<ticket>" (the one
--                           who waited first) while undecided, then "L" (live) or "X" (came to nothing)
--   due      ZSET           match by when it expires, or is forgotten
--   nodes    ZSET           node by when its tickets may be swept
--   waits    LIST           "<time>:<microseconds waited>", newest first
-- A ticket is "<epoch>\n<since>\n<user>\n<node>\n<data>\n<term>\n<term>…".
--
-- Times and epochs are strings of 16 digits (times: microseconds), compared as strings: Lua would
-- print such numbers with 14 digits. No script is undone when it fails halfway: each reads and
-- checks first and writes last.

local function clock()
  local t = redis.call('TIME')
  return t[1] .. string.format('%06d', t[2])
end

-- moved returns the time that lies us microseconds after (or, negative, before) time.
local function moved(time, us)
  return string.format('%.0f', tonumber(time) + tonumber(us))
end

-- entries returns the index entries of a ticket.
local function entries(session, ticket)
  local user, node, from = string.match(ticket, '^([^\n]*)\n([^\n]*)\n[^\n]*\n()', 35)
  local tail = '\0' .. string.sub(ticket, 18, 33) .. '\0' .. session .. '\0' .. user
  local list, n = {'@' .. node .. tail}, 1
  for term in string.gmatch(string.sub(ticket, from), '[^\n]+') do
    n = n + 1
    list[n] = term .. tail
  end
  return list
end

-- is_ticket says whether a value of tickets is one, and whole.
local function is_ticket(v)
  return v and string.find(v, '^%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d\n%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d\n[^\n]+\n[^\n]+\n[^\n]*\n[^\n]') ~= nil
end

-- sides returns the deadline and both sides of an undecided match.
local function sides(record)
  local a = string.find(record, '\1', 19, true)
  local b = string.find(record, '\1', a + 1, true)
  local c = string.find(record, '\1', b + 1, true)
  return string.sub(record, 2, 17), string.sub(record, 19, a - 1), string.sub(record, a + 1, b - 1),
    string.sub(record, b + 1, c - 1), string.sub(record, c + 1)
end

-- decide settles an undecided match, as "L" or "X", and keeps that for a while.
local function decide(tickets, matches, due, match, state, session0, session1, forget)
  redis.call('HSET', matches, match, state)
  redis.call('ZADD', due, forget, match)
  redis.call('HDEL', tickets, session0, session1)
end
