-- KEYS: lock, [phase]. ARGV: the value we wrote, ttl in seconds, allowed phases.
-- Answers {1, value, ms left} or {0} if the lock is no longer ours or has expired, or {-1, phase}.
local moved = phase_in_the_way(KEYS[2], ARGV[3])
if moved then return {-1, moved} end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0} end
local t = now()
local current = expiry_of(ARGV[1])
if current < t then return {0} end
local ttl = tonumber(ARGV[2])
-- Whole seconds, as the peers write a renewal, unless rounding down would eat up a short lease.
local expiry = math.floor(t) + ttl
local value
if expiry - t < ttl * 2 / 3 then
  expiry = t + ttl
  value = python_float(expiry)
elseif ttl == math.floor(ttl) then
  value = string.format('%.0f', expiry)
else
  value = python_float(expiry)
end
if expiry <= current then
  expiry = current
  value = ARGV[1]
else
  redis.call('SET', KEYS[1], value)
end
return {1, value, milliseconds(expiry - t)}
