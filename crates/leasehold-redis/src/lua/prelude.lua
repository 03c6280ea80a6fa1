-- What every script starts with: the server's clock, the phase, and the old lock's expiry.
if redis.replicate_commands then redis.replicate_commands() end

local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end

local function milliseconds(seconds)
  return math.floor(seconds * 1000)
end

-- The phase that stands in the way, or nothing. `allowed` lists the phases that the caller can work in; an empty list
-- means that it does not follow the phase. A missing phase key means token.
local function phase_in_the_way(key, allowed)
  if allowed == '' then return nil end
  local raw = redis.call('GET', key)
  local phase = 'token'
  if raw then phase = string.match(raw, '^%d+ (%l+)') or 'damaged' end
  for candidate in string.gmatch(allowed, '%l+') do
    if candidate == phase then return nil end
  end
  return phase
end

local FOREVER = 2147483649

-- The expiry that an old lock's value stands for, read as Python's float() reads it: a missing or empty value is long
-- past, and a value that is no number is never.
local function expiry_of(raw)
  if not raw or raw == '' then return 1 end
  local text = string.lower(string.match(raw, '^%s*(.-)%s*$'))
  if string.find(text, '_', 1, true) then
    if string.find('.' .. text .. '.', '[^%d]_') or string.find('.' .. text .. '.', '_[^%d]') then return FOREVER end
    text = string.gsub(text, '_', '')
  end
  local sign, body = string.match(text, '^([+-]?)(.*)$')
  if body == 'inf' or body == 'infinity' then
    if sign == '-' then return 1 end
    return FOREVER
  end
  local mantissa, exponent = string.match(body, '^([%d%.]+)(.*)$')
  if not mantissa then return FOREVER end
  if not (string.find(mantissa, '^%d+%.?%d*$') or string.find(mantissa, '^%.%d+$')) then return FOREVER end
  if exponent ~= '' and not string.find(exponent, '^e[+-]?%d+$') then return FOREVER end
  local value = tonumber(body)
  if sign == '-' then value = -value end
  return value
end

-- A float as Python prints it: the shortest digits that read back as the same number, and always a point.
local function python_float(value)
  local text
  for digits = 15, 17 do
    text = string.format('%.' .. digits .. 'g', value)
    if tonumber(text) == value then break end
  end
  if not string.find(text, '[%.e]') then text = text .. '.0' end
  return text
end
