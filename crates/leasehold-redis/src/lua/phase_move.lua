-- KEYS: phase, processes. ARGV: expected epoch, new phase, the operator, 'confirmed', 'none-alive' or 'force'.
-- Answers {1, new epoch}, {0, epoch} if the phase was moved meanwhile, or {-1, names of the processes in
-- the way}: those alive that have not confirmed the expected epoch, or, for 'none-alive', all that are alive.
local raw = redis.call('GET', KEYS[1])
local epoch = 0
if raw then epoch = tonumber(string.match(raw, '^(%d+)') or '-1') end
if epoch ~= tonumber(ARGV[1]) then return {0, epoch} end
local t = milliseconds(now())
if ARGV[4] ~= 'force' then
  local waiting = {-1}
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do
    local deadline, confirmed = string.match(all[i + 1], '^(%d+) (%d+) ')
    if deadline and tonumber(deadline) > t and (ARGV[4] == 'none-alive' or tonumber(confirmed) ~= epoch) then
      table.insert(waiting, all[i])
    end
  end
  if #waiting > 1 then return waiting end
end
redis.call('SET', KEYS[1], string.format('%.0f', epoch + 1) .. ' ' .. ARGV[2] .. ' ' .. string.format('%.0f', t) .. ' ' .. ARGV[3])
return {1, epoch + 1}
