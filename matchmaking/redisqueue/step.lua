-- Enters searches and decides proposals, one after another, as if each were a call of its own.
-- Everything is read and decided first and written at the end, once for all.
-- KEYS[1]  index      KEYS[2]  tickets    KEYS[3]  matches    KEYS[4]  due    KEYS[5]  nodes    KEYS[6]  waits
-- ARGV[1]  how far back a place may be, us, negative
-- ARGV[2]  how long a node's first lease lasts, us
-- ARGV[3]  how long a decided match is remembered, us
-- ARGV[4]  how many waits are kept
-- ARGV     and then for each step either
--   "ack", match, session, epoch: a yes of the one who waited, a question of the one who searched; or
--   "enter", session, epoch, since ("": now or as it is), user, node, the ticket from the user on, offered terms, sought terms
--   (with "\n" between them), users to exclude (with "\n" before and behind each), match (if there is one),
--   deadline of a proposal (us from now), how many entries to look at per term: proposes the oldest listed
--   ticket that fits, or lists this one
-- returns  for each step, of ack
--          "LIVE", "PENDING" or "GONE"; of enter
--          {"LISTED", since, number of tickets, rejected, strays}
--          {"PROPOSED", match, session0, ticket0, session1, ticket1, rejected, strays}; 0 is the one who waited
--          {"STALE"}: a ticket with a greater epoch is there      {"USED"}: the match's id was used before
local index, tickets, matches, due, nodes, waits = unpack(KEYS)
local sub, find, gmatch = string.sub, string.find, string.gmatch
local start = clock()
local began, forget = tonumber(start), moved(start, ARGV[3])

-- What is stored, as far as it was looked at, and then as it will be.
local ticket, record = {}, {} -- by session, by match; false: none
local changed, sessions = {}, {} -- sessions whose ticket is not as it is stored: as a set and a list
local settled, dues = {}, {} -- changed matches: names and records, deadlines and names
local listed, removed = {}, {} -- tickets to be listed, by session; entries to be removed
local lines, fresh = {}, {} -- by term: what is stored in the index, as far as it is known; what will be
local none = {passed = 0, whole = true} -- passed: so many are gone; whole: there are no more than are known
local leases, leased = {}, {} -- of nodes with listed tickets
local deadlines = {} -- by how far from now
local waited = {}

-- stored returns a field of a hash, through what is known of it.
local function stored(known, hash, field)
  local v = known[field]
  if v == nil then
    v = redis.call('HGET', hash, field)
    known[field] = v
  end
  return v
end

-- preload reads the fields that the steps will surely ask for.
local function preload(known, hash, fields)
  if #fields > 0 then
    local values = redis.call('HMGET', hash, unpack(fields))
    for i = 1, #fields do
      known[fields[i]] = values[i]
    end
  end
end

local function set_ticket(session, v)
  ticket[session] = v
  if not changed[session] then
    changed[session] = true
    sessions[#sessions + 1] = session
  end
end

local function set_record(match, v, deadline)
  record[match] = v
  settled[#settled + 1] = match
  settled[#settled + 1] = v
  dues[#dues + 1] = deadline
  dues[#dues + 1] = match
end

-- settle decides an undecided match, as "L" or "X".
local function settle(match, state, session0, session1)
  set_record(match, state, forget)
  set_ticket(session0, false)
  set_ticket(session1, false)
end

-- unlist takes a listed ticket out of the index.
local function unlist(session, v)
  if listed[session] then
    listed[session] = nil
    return
  end
  local list = entries(session, v)
  for i = 1, #list do
    removed[#removed + 1] = list[i]
  end
end

-- list puts a ticket into the index. tail is what its entries have behind the term.
local function list(session, v, tail, user, node, offers)
  local new = {tail = tail, session = session, user = '\n' .. user .. '\n', node = node, offers = offers}
  set_ticket(session, v)
  listed[session] = new
  for term in gmatch(offers, '[^\n]+') do
    local line = fresh[term]
    if not line then
      fresh[term] = {passed = 0, new}
    else
      local i = #line
      while i > line.passed and line[i].tail > tail do
        i = i - 1
      end
      table.insert(line, i + 1, new)
    end
  end
  if not leased[node] then
    leased[node] = true
    leases[#leases + 1] = moved(start, ARGV[2])
    leases[#leases + 1] = node
  end
end

-- read adds to a line what is stored next.
local function read(term, line, limit)
  local n = #line
  local size = math.min(n == 0 and 1 or n == 1 and 7 or n == 8 and 24 or 128, limit - n)
  local page = redis.call('ZRANGEBYLEX', index, '[' .. term .. '\0', '(' .. term .. '\1', 'LIMIT', n, size)
  if n == 0 and #page == 0 then
    lines[term] = none
    return none
  end
  for j = 1, #page do
    line[n + j] = sub(page[j], #term + 2)
  end
  line.whole = #page < size
  return line
end

-- oldest_stored returns the entry, session and place of the oldest that fits of those that
-- are stored under a term, if it is older than found; and how many did not.
local function oldest_stored(term, line, found, session, exclude, look)
  local i, limit, rejected = line.passed, line.passed + look, 0
  while i < limit do
    i = i + 1
    if i > #line and not line.whole then
      read(term, line, limit)
    end
    local entry = line[i]
    if not entry or found and entry >= found then
      break
    end
    local cut = find(entry, '\0', 18, true)
    local other = cut and sub(entry, 18, cut - 1)
    if not cut or changed[other] then -- a stray, or taken just now
      limit = limit + 1
      if i == line.passed + 1 then
        line.passed = i
      end
    elseif other ~= session then
      if not find(exclude, '\n' .. sub(entry, cut + 1) .. '\n', 1, true) then
        return entry, other, i, rejected
      end
      rejected = rejected + 1
    end
  end
  return nil, nil, nil, rejected
end

-- oldest_fresh is the same of those that will be stored.
local function oldest_fresh(line, found, session, exclude)
  local i, rejected = line.passed, 0
  while i < #line do
    i = i + 1
    local new = line[i]
    if found and new.tail >= found then
      break
    elseif listed[new.session] ~= new then -- taken just now
      if i == line.passed + 1 then
        line.passed = i
      end
    elseif new.session ~= session then
      if not find(exclude, new.user, 1, true) then
        return new.tail, new.session, rejected
      end
      rejected = rejected + 1
    end
  end
  return nil, nil, rejected
end

-- oldest returns "<since>\0<session>\0<user>" and session of the oldest that fits, the term and
-- place where it is stored, if it is, and how many did not fit.
local function oldest(session, seeks, exclude, look)
  local found, who, at, place
  local rejected = 0
  for term in gmatch(seeks, '[^\n]+') do
    local line = lines[term]
    if not line then
      line = {passed = 0}
      lines[term] = line
      line = read(term, line, look)
    end
    if line ~= none then
      local entry, other, i, n = oldest_stored(term, line, found, session, exclude, look)
      if entry then
        found, who, at, place = entry, other, term, i
      end
      rejected = rejected + n
    end
    line = fresh[term]
    if line then
      local tail, other, n = oldest_fresh(line, found, session, exclude)
      if tail then
        found, who, at, place = tail, other, nil, nil
      end
      rejected = rejected + n
    end
  end
  return found, who, at, place, rejected
end

-- deadline is so far from now.
local function deadline(us)
  local d = deadlines[us]
  if not d then
    d = moved(start, us)
    deadlines[us] = d
  end
  return d
end

local function enter(k, session, epoch, since, user, node, rest, offers, seeks, exclude, match, hold, look)
  local own, undo, undo0, undo1 = stored(ticket, tickets, session), nil, nil, nil
  if own and sub(own, 1, 1) == '#' then
    undo = sub(own, 2)
    local r = stored(record, matches, undo)
    if r and sub(r, 1, 1) == 'P' then
      local _, session0, ticket0, session1, ticket1 = sides(r)
      local had = sub(session0 == session and ticket0 or ticket1, 1, 16)
      if had > epoch then
        return {'STALE'}
      elseif had == epoch then
        return {'PROPOSED', undo, session0, ticket0, session1, ticket1, 0, 0}
      end
      undo0, undo1 = session0, session1
    end
    own = false
  elseif is_ticket(own) then
    if sub(own, 1, 16) > epoch then
      return {'STALE'}
    end
    if since == '' and sub(own, 1, 16) == epoch then
      since = sub(own, 18, 33)
    end
  else
    own = false
  end
  local now = string.format('%d', began + k - 1) -- who come at once keep their order
  if since == '' or since > now then
    since = now
  else
    local least = deadline(ARGV[1])
    if since < least then
      since = least
    end
  end

  local found, who, at, place, rejected, v
  local strays = 0
  repeat
    found, who, at, place, rejected = oldest(session, seeks, exclude, look)
    v = found and stored(ticket, tickets, who)
    if at and (not is_ticket(v) or sub(v, 18, 33) ~= sub(found, 1, 16)) then
      -- An entry without its ticket; there should be none. It goes, and the search begins anew.
      removed[#removed + 1] = at .. '\0' .. found
      lines[at][place] = '-'
      strays, v = strays + 1, nil
    end
  until not found or v or strays == 16
  local mine = epoch .. '\n' .. since .. '\n' .. rest
  if v and stored(record, matches, match) then
    return {'USED'}
  end
  if undo0 then
    settle(undo, 'X', undo0, undo1)
  end
  if own then
    unlist(session, own)
  end
  if not v then
    list(session, mine, since .. '\0' .. session .. '\0' .. user, user, node, offers)
    return {'LISTED', since, 0, rejected, strays}
  end
  unlist(who, v)
  local late = deadline(hold)
  set_record(match, 'P' .. late .. '\1' .. who .. '\1' .. v .. '\1' .. session .. '\1' .. mine, late)
  set_ticket(session, '#' .. match)
  set_ticket(who, '#' .. match)
  return {'PROPOSED', match, who, v, session, mine, rejected, strays}
end

local function ack(match, session, epoch)
  local r = stored(record, matches, match)
  local state = r and sub(r, 1, 1)
  if state == 'L' then
    return 'LIVE'
  elseif state ~= 'P' then
    return 'GONE'
  end
  local deadline, session0, ticket0, session1, ticket1 = sides(r)
  if session0 == session and sub(ticket0, 1, 16) == epoch then
    settle(match, 'L', session0, session1)
    local wait = math.max(0, began - tonumber(sub(ticket0, 18, 33)))
    waited[#waited + 1] = start .. ':' .. string.format('%d', wait)
    return 'LIVE'
  elseif session1 == session and sub(ticket1, 1, 16) == epoch then
    if start < deadline then
      return 'PENDING'
    end
    settle(match, 'X', session0, session1)
  end
  return 'GONE'
end

-- write calls a command with a long list.
local function write(command, key, list)
  for from = 1, #list, 1000 do
    redis.call(command, key, unpack(list, from, math.min(from + 999, #list)))
  end
end

local asked, judged, i = {}, {}, 5
while i <= #ARGV do
  if ARGV[i] == 'ack' then
    judged[#judged + 1] = ARGV[i + 1]
    i = i + 4
  else
    asked[#asked + 1] = ARGV[i + 1]
    judged[#judged + 1] = ARGV[i + 10]
    i = i + 13
  end
end
preload(ticket, tickets, asked)
preload(record, matches, judged)

local replies, k = {}, 0
i = 5
while i <= #ARGV do
  k = k + 1
  if ARGV[i] == 'ack' then
    replies[k] = ack(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
    i = i + 4
  else
    replies[k] = enter(k, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7],
      ARGV[i + 8], ARGV[i + 9], ARGV[i + 10], ARGV[i + 11], tonumber(ARGV[i + 12]))
    i = i + 13
  end
end

-- All is decided. What Redis may refuse comes first.
local keep, drop, add = {}, {}, {}
for _, session in ipairs(sessions) do
  local v = ticket[session]
  if not v then
    drop[#drop + 1] = session
  else
    keep[#keep + 1] = session
    keep[#keep + 1] = v
    local new = listed[session]
    if new then
      local tail = '\0' .. new.tail
      add[#add + 1] = '0'
      add[#add + 1] = '@' .. new.node .. tail
      for term in gmatch(new.offers, '[^\n]+') do
        add[#add + 1] = '0'
        add[#add + 1] = term .. tail
      end
    end
  end
end
write('HSET', matches, settled)
write('ZADD', due, dues)
write('HSET', tickets, keep)
if #leases > 0 then
  redis.call('ZADD', nodes, 'NX', unpack(leases))
end
write('HDEL', tickets, drop)
write('ZREM', index, removed)
write('ZADD', index, add)
if #waited > 0 and redis.call('LPUSH', waits, unpack(waited)) > 2 * tonumber(ARGV[4]) then
  redis.call('LTRIM', waits, 0, ARGV[4] - 1) -- not each time
end
local count
for _, reply in ipairs(replies) do
  if reply[1] == 'LISTED' then
    count = count or redis.call('HLEN', tickets)
    reply[3] = count
  end
end
return replies
