-- Stores a page that was read from the record, if the lease is still good and nothing newer is or was there.
-- KEYS[1]  page, HASH (see get.lua)
-- KEYS[2]  order, ZSET
-- KEYS[3]  messages, HASH
-- ARGV[1]  the lease
-- ARGV[2]  seq
-- ARGV[3]  whole, 1 or 0
-- ARGV[4]  missing, 1 or 0
-- ARGV[5]  time to live, ms
-- ARGV[6…] for each message: number, message as JSON
-- returns  nothing
local page, order, messages = KEYS[1], KEYS[2], KEYS[3]
local meta = redis.call('HMGET', page, 'gen', 'floor', 'seq') -- get looks at the id
local seq = tonumber(ARGV[2])
if not meta[1] or meta[1] ~= string.match(ARGV[1], '^[^/]*') or seq < tonumber(meta[2])
  or meta[3] and seq <= tonumber(meta[3]) then
  return
end
redis.call('UNLINK', order, messages)
local bytes = 0
for i = 6, #ARGV, 2 do
  redis.call('ZADD', order, ARGV[i], ARGV[i])
  redis.call('HSET', messages, ARGV[i], ARGV[i + 1])
  bytes = bytes + #ARGV[i + 1]
end
redis.call('HSET', page, 'seq', ARGV[2], 'whole', ARGV[3], 'missing', ARGV[4], 'n', (#ARGV - 5) / 2, 'bytes', bytes)
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ARGV[5])
end
