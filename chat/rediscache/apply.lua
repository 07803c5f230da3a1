-- Brings a page one change further, or drops it if it is not the one before.
-- KEYS[1]  page, HASH (see get.lua)
-- KEYS[2]  order, ZSET
-- KEYS[3]  messages, HASH
-- ARGV[1]  the number of the change
-- ARGV[2]  "message": one was sent or changed; "other": the messages stay as they are; "drop": drop what is older
-- ARGV[3]  the message's number
-- ARGV[4]  the message as JSON
-- ARGV[5]  how many messages to keep
-- ARGV[6]  how many bytes to keep; the newest message stays in any case
-- ARGV[7]  time to live, ms
-- returns  nothing
local page, order, messages = KEYS[1], KEYS[2], KEYS[3]
local meta = redis.call('HMGET', page, 'gen', 'floor', 'seq', 'whole', 'missing', 'n', 'bytes') -- get looks at the id
if not meta[1] then
  return
end
local number = tonumber(ARGV[1])
if tonumber(meta[2]) < number then
  redis.call('HSET', page, 'floor', ARGV[1])
end
if not meta[3] or tonumber(meta[3]) >= number then
  return
end
local n, bytes, whole = tonumber(meta[6]), tonumber(meta[7]), meta[4]
local known = ARGV[2] ~= 'drop' and meta[5] == '0' and tonumber(meta[3]) + 1 == number
  and redis.call('ZCARD', order) == n and redis.call('HLEN', messages) == n
if known and ARGV[2] == 'message' then
  local old = redis.call('HSTRLEN', messages, ARGV[3])
  if old > 0 or ARGV[3] == ARGV[1] then
    redis.call('ZADD', order, ARGV[3], ARGV[3])
    redis.call('HSET', messages, ARGV[3], ARGV[4])
    n, bytes = old > 0 and n or n + 1, bytes - old + #ARGV[4]
  else
    local first = redis.call('ZRANGE', order, 0, 0)[1]
    known = whole == '0' and first and tonumber(ARGV[3]) < tonumber(first) -- older than the page
  end
end
if not known then
  redis.call('UNLINK', order, messages)
  redis.call('HDEL', page, 'seq', 'whole', 'missing', 'n', 'bytes')
  return
end
while n > 1 and (n > tonumber(ARGV[5]) or bytes > tonumber(ARGV[6])) do
  local oldest = redis.call('ZPOPMIN', order)[1]
  bytes = bytes - redis.call('HSTRLEN', messages, oldest)
  redis.call('HDEL', messages, oldest)
  n, whole = n - 1, '0'
end
redis.call('HSET', page, 'seq', ARGV[1], 'whole', whole, 'n', n, 'bytes', bytes)
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ARGV[7])
end
