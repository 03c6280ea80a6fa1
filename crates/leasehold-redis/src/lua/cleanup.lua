-- KEYS: old locks. ARGV: ttl in seconds, 'dead' or 'force'. For each key what was done: 1 given
-- the TTL, 0 left alone because it is alive, -1 left alone because it has a TTL, -2 gone, -3 not a string.
local t = now()
local answers = {}
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key)
  if type(kind) == 'table' then kind = kind['ok'] end
  if kind == 'none' then
    answers[i] = -2
  elseif kind ~= 'string' then
    answers[i] = -3
  elseif redis.call('PTTL', key) ~= -1 then
    answers[i] = -1
  elseif ARGV[2] ~= 'force' and expiry_of(redis.call('GET', key)) >= t then
    answers[i] = 0
  else
    redis.call('EXPIRE', key, ARGV[1])
    answers[i] = 1
  end
end
return answers
