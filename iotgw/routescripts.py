"""What happens to routes inside Redis: Lua scripts, each of them atomic.

A route is a field of one hash, so that it is found with one command: ``gateway run link epoch opened``.

=========  ==========================================================================================
gateway    name of the gateway that has the session
run        random id of that gateway's process; the route lives while the key of this run does
link       number of the link there
epoch      grows with each takeover of the device: Redis' time then, and later than the route's before
opened     when the link was opened, by Redis' clock
=========  ==========================================================================================

All times are in microseconds since 1970. An epoch is one so that it goes on growing when a route was released in
between or Redis has lost its data; within a microsecond no device is taken over twice.
"""

from __future__ import annotations

CLAIM_ARGUMENTS = 4
"""Per device: its field, the link's number, the link's age, and ``opened`` as an earlier claim of it was told, or 0."""
CLAIM_ANSWERS = 3
"""Per device: 1, epoch and opened; or 0, epoch and name of the gateway that keeps it."""

_READ = """
local function read(value)
  return string.match(value or '', '^(%S+) (%S+) (%d+) (%d+) (%d+)$')
end
local known = {}
local function is_alive(run, prefix)
  if known[run] == nil then known[run] = redis.call('EXISTS', prefix .. run) == 1 end
  return known[run]
end
"""

CLAIM = (
    _READ
    + """
-- KEYS: routes. ARGV: gateway, run, prefix of runs, prefix of mailboxes, mailbox length, mailbox seconds, devices.
local gateway, run = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers, kicks, boxes = {}, {}, {}
local function answer(won, epoch, more)
  answers[#answers + 1] = won
  answers[#answers + 1] = epoch
  answers[#answers + 1] = more
end
for at = 7, #ARGV, 4 do
  local field, link = ARGV[at], ARGV[at + 1]
  local opened, told = now - ARGV[at + 2], tonumber(ARGV[at + 3])
  -- What was told first is the better: claims that waited on their way make a link look younger than it is.
  if told > 0 and told < opened then opened = told end
  local its_gateway, its_run, its_link, its_epoch, its_opened = read(redis.call('HGET', KEYS[1], field))
  its_epoch, its_opened = tonumber(its_epoch or 0), tonumber(its_opened or 0)
  local is_others = its_run and its_run ~= run and is_alive(its_run, ARGV[3])
  -- A time in the future is from before the clock was set back, and says nothing.
  if is_others and its_opened > opened and its_opened <= now then
    answer(0, its_epoch, its_gateway)
  else
    local epoch = math.max(now, its_epoch + 1)
    if its_run == run and its_link == link then epoch, opened = its_epoch, math.min(opened, its_opened) end
    redis.call('HSET', KEYS[1], field, string.format('%s %s %s %.0f %.0f', gateway, run, link, epoch, opened))
    if is_others then
      kicks[its_run] = kicks[its_run] or {its_run}
      table.insert(kicks[its_run], field)
      table.insert(kicks[its_run], epoch)
      boxes[its_run] = ARGV[4] .. its_gateway
    end
    answer(1, epoch, opened)
  end
end
-- One entry, however many devices a gateway loses: a mailbox has a bound, and receipts in it as well.
for its_run, kick in pairs(kicks) do
  redis.call('XADD', boxes[its_run], 'MAXLEN', '~', ARGV[5], '*', 'kick', cmsgpack.pack(kick))
  redis.call('EXPIRE', boxes[its_run], ARGV[6])
end
return answers
"""
)

RELEASE = (
    _READ
    + """
-- KEYS: routes. ARGV: run, fields. A route that another gateway has taken stays.
for at = 2, #ARGV do
  local _, its_run = read(redis.call('HGET', KEYS[1], ARGV[at]))
  if its_run == ARGV[1] then redis.call('HDEL', KEYS[1], ARGV[at]) end
end
"""
)

BEAT = """
-- KEYS: this run's, the last run's, up to when all is stored. ARGV: gateway, run, seconds, seconds of the third, and how long ago
-- that was in milliseconds.
local was_alive = redis.call('EXISTS', KEYS[1])
local last = redis.call('GET', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
local time = redis.call('TIME')
redis.call('SET', KEYS[3], string.format('%.0f', time[1] * 1000 + time[2] / 1000 - ARGV[5]), 'EX', ARGV[4])
return {was_alive, last or ''}
"""

SWEEP = (
    _READ
    + """
-- KEYS: routes. ARGV: prefix of runs, cursor, how many to look at.
local found = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local removed = 0
for at = 1, #found[2], 2 do
  local _, its_run = read(found[2][at + 1])
  if not (its_run and is_alive(its_run, ARGV[1])) then removed = removed + redis.call('HDEL', KEYS[1], found[2][at]) end
end
return {found[1], removed}
"""
)
