-- KEYS: lock, [phase]. ARGV: ttl in seconds or '', allowed phases.
-- Answers {1, value, ms left} or {0, value in the way, ms that it has left} or {-1, phase}.
local moved = phase_in_the_way(KEYS[2], ARGV[2])
if moved then return {-1, moved} end
local t = now()
local current = redis.call('GET', KEYS[1])
local held_until = expiry_of(current)
if current and held_until >= t then
  if held_until >= FOREVER then return {0, current, -1} end
  return {0, current, milliseconds(held_until - t) + 1}
end
if ARGV[1] == '' then
  redis.call('SET', KEYS[1], python_float(FOREVER))
  return {1, python_float(FOREVER), -1}
end
local expiry = t + tonumber(ARGV[1])
local value = python_float(expiry)
redis.call('SET', KEYS[1], value)
return {1, value, milliseconds(expiry - t)}
