-- Reads the newest messages of a conversation, or gives a lease to fill them in.
-- KEYS[1]  page, HASH: gen = drawn when it was made, id = the server's replication id then,
--          floor = the highest number of apply and drop since; and if there is a page: seq, whole, missing
--          (1 or 0), n = how many messages, bytes = of all of them
-- KEYS[2]  order, ZSET: the messages' numbers by number
-- KEYS[3]  messages, HASH: number = message as JSON
-- ARGV[1]  how many messages at most, at least 1
-- ARGV[2]  gen, if one is to be drawn
-- ARGV[3]  how long a lease lasts, ms
-- returns  {seq, whole, missing, message, …}, or {lease}
local page, order, messages = KEYS[1], KEYS[2], KEYS[3]
local info = redis.pcall('INFO', 'replication')
local id = type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or '-'
local meta = redis.call('HMGET', page, 'gen', 'id', 'floor', 'seq', 'whole', 'missing', 'n')
local gen, floor, seq = meta[1], meta[3], meta[4]
-- Another id: a server started anew, or a replica that took over and may not have got everything.
if not gen or meta[2] ~= id then
  redis.call('UNLINK', page, order, messages)
  gen, floor, seq = ARGV[2], '0', false
  redis.call('HSET', page, 'gen', gen, 'id', id, 'floor', floor)
elseif seq and not (redis.call('ZCARD', order) == tonumber(meta[7]) and redis.call('HLEN', messages) == tonumber(meta[7])) then
  -- Redis may evict one of the keys.
  redis.call('UNLINK', order, messages)
  redis.call('HDEL', page, 'seq', 'whole', 'missing', 'n', 'bytes')
  seq = false
end
if not seq then
  redis.call('PEXPIRE', page, ARGV[3])
  return {gen .. '/' .. floor}
end
local answer = {seq, tonumber(meta[7]) <= tonumber(ARGV[1]) and meta[5] or '0', meta[6]}
local numbers = redis.call('ZRANGE', order, -tonumber(ARGV[1]), -1)
if #numbers > 0 then
  for i, m in ipairs(redis.call('HMGET', messages, unpack(numbers))) do
    if not m then
      return redis.error_reply('a cached page is damaged')
    end
    answer[3 + i] = m
  end
end
return answer
