-- KEYS: lock. ARGV: the value we wrote. Deletes the lock only while it is ours. Answers 1 or 0.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
