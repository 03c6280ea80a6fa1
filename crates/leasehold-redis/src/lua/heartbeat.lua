-- KEYS: processes, phase. ARGV: process id, ms until this heartbeat expires, confirmed epoch, description.
-- Answers {epoch, phase}. Forgets processes that have been silent for an hour.
local t = milliseconds(now())
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', t + tonumber(ARGV[2])) .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local deadline = tonumber(string.match(all[i + 1], '^(%d+) ') or '0')
  if deadline + 3600000 < t then redis.call('HDEL', KEYS[1], all[i]) end
end
local raw = redis.call('GET', KEYS[2])
if not raw then return {0, 'token'} end
local epoch, phase = string.match(raw, '^(%d+) (%l+)')
return {tonumber(epoch or '0'), phase or 'damaged'}
