-- KEYS: lock, [phase]. ARGV: token, ttl in milliseconds or '', allowed phases.
-- Answers {1, token, ms left} or {0, value in the way, ms that it has left} or {-1, phase}. Asked again with the same
-- token, because the first answer got lost, it says yes again.
local moved = phase_in_the_way(KEYS[2], ARGV[3])
if moved then return {-1, moved} end
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[1] then
  return {0, current, redis.call('PTTL', KEYS[1])}
end
if ARGV[2] == '' then
  redis.call('SET', KEYS[1], ARGV[1])
  return {1, ARGV[1], -1}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, ARGV[1], tonumber(ARGV[2])}
