-- KEYS: semaphore. ARGV: ttl in seconds. It stops every acquire and every renewal until it expires.
local ttl = tonumber(ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.17g', now() + ttl), 'SYSTEM_LOCK')
redis.call('EXPIRE', KEYS[1], string.format('%.0f', math.ceil(ttl) + 10))
return 1
