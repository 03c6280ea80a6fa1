-- KEYS: semaphore. ARGV: ttl in seconds. Nobody acquires or renews until it has run out.
local ttl = tonumber(ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.17g', now() + ttl), 'SYSTEM_LOCK')
redis.call('EXPIRE', KEYS[1], string.format('%.0f', math.ceil(ttl) + 10))
return 1
