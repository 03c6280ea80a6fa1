-- KEYS: old locks. ARGV: ttl in seconds, 0 to only look; 'dead' or 'force'. For each key its length when it is given the
-- TTL, -1 when it has one already, -2 gone, -3 not a string, -4 alive.
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
    answers[i] = -4
  else
    answers[i] = redis.call('STRLEN', key)
    if ARGV[1] ~= '0' then redis.call('EXPIRE', key, ARGV[1]) end
  end
end
return answers
