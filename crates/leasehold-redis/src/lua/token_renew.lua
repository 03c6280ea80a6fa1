-- KEYS: lock, [phase]. ARGV: token, ttl in milliseconds, allowed phases.
-- Answers {1, token, ms left}, {0} if the lock is no longer ours, or {-1, phase}.
local moved = phase_in_the_way(KEYS[2], ARGV[3])
if moved then return {-1, moved} end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, ARGV[1], tonumber(ARGV[2])}
