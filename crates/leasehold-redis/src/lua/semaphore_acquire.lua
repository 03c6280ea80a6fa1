-- KEYS: semaphore. ARGV: holder, size, ttl in seconds, 'acquire' or 'renew'.
-- Answers {1 or 0, count, ms left}; the count is -1 under a system lock, -2 if the slot to renew is gone.
local t = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, python_float(t))
local system = redis.call('ZSCORE', KEYS[1], 'SYSTEM_LOCK')
if system then return {0, -1, milliseconds(tonumber(system) - t) + 1} end
local ttl = tonumber(ARGV[3])
local mine = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ARGV[4] == 'renew' and not mine then return {0, -2, 0} end
redis.call('EXPIRE', KEYS[1], string.format('%.0f', math.ceil(ttl * 2)))
local count = redis.call('ZCARD', KEYS[1])
local wanted = count
if not mine then wanted = count + 1 end
if wanted > tonumber(ARGV[2]) and ARGV[4] ~= 'renew' then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return {0, count, milliseconds(tonumber(first[2]) - t) + 1}
end
redis.call('ZADD', KEYS[1], string.format('%.17g', t + ttl), ARGV[1])
return {1, wanted, milliseconds(ttl)}
