import { scriptOf } from '../store/redis.ts'

/**
 * A window is one string, `part:amount;part:amount`: the parts of 1/20 of the window in which something was counted.
 * An account (budget, places) is a hash: p period, S settled in it, R reserved, g generation (made with the key: another
 * one means that Redis lost its data), n last use, w sweep not before, and a field for each instance that uses it:
 * `seq|period|settled|reserved|heartbeat`, settled -1 = not told since the field was made.
 * All times are Redis' own. Numbers are doubles, exact to 9e15.
 */
const COMMON = `
local function num(x) return tonumber(x) or 0 end
local function fmt(x) return string.format('%.0f', x) end
local t = redis.call('TIME')
local now = num(t[1]) * 1000 + math.floor(num(t[2]) / 1000)
local me, lease, seq = 'i:' .. ARGV[1], num(ARGV[2]), num(ARGV[3])

local function readWindow(key, w)
  local newest = math.floor(now * 20 / w)
  local found, win = {}, { parts = {}, sum = 0 }
  local raw = redis.call('GET', key)
  if raw then
    for p, a in string.gmatch(raw, '(%d+):(%d+)') do
      found[#found + 1] = { num(p), num(a) }
      if num(p) > newest and num(p) <= newest + 21 then newest = num(p) end
    end
  end
  for _, e in ipairs(found) do
    if e[1] > newest then e[1] = newest end
    if e[1] >= newest - 20 then
      win.parts[#win.parts + 1] = e
      win.sum = win.sum + e[2]
    end
  end
  win.newest = newest
  return win
end

local function addToWindow(win, p, delta)
  if p > win.newest then p = win.newest end
  if p < win.newest - 20 then return end
  for _, e in ipairs(win.parts) do
    if e[1] == p then
      e[2] = math.max(0, e[2] + delta)
      return
    end
  end
  if delta > 0 then win.parts[#win.parts + 1] = { p, delta } end
end

local function saveWindow(key, w, win)
  table.sort(win.parts, function(a, b) return a[1] < b[1] end)
  local out = {}
  for _, e in ipairs(win.parts) do
    if e[2] > 0 then out[#out + 1] = fmt(e[1]) .. ':' .. fmt(e[2]) end
  end
  if #out == 0 then redis.call('DEL', key)
  else redis.call('SET', key, table.concat(out, ';'), 'PX', math.ceil(w * 22 / 20)) end
end

local function readField(raw)
  local s, p, settled, r, hb = string.match(raw, '^(%d+)|(%d+)|(%-?%d+)|(%d+)|(%d+)$')
  if not s then return nil end
  return { seq = num(s), p = num(p), settled = num(settled), r = num(r), hb = num(hb) }
end

local function readAccount(key, period)
  local h = redis.call('HMGET', key, 'p', 'S', 'R', 'g', 'n', 'w', me)
  local a = { p = num(h[1]), S = num(h[2]), R = num(h[3]), g = h[4], n = num(h[5]), w = num(h[6]) }
  if not a.g then
    a.g = t[1] .. '-' .. t[2]
    a.p = period
    a.n = now
  end
  if h[7] then a.f = readField(h[7]) end
  -- Nobody was here for so long: perhaps because Redis was not. Who lives gets the time to say so.
  if now - a.n > lease then a.w = now + lease end
  if period > a.p and period <= now + 1000 then
    a.p = period
    a.S = 0
  end
  return a
end

local function sweep(key, a)
  if now < a.w then return end
  local all = redis.call('HGETALL', key)
  local sum = 0
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'i:' then
      local f = readField(all[i + 1])
      if all[i] ~= me and (not f or now - f.hb > lease) then redis.call('HDEL', key, all[i])
      elseif f then sum = sum + f.r end
    end
  end
  a.R = sum
end

local function saveAccount(key, a, till)
  local f = a.f
  if f then
    redis.call('HSET', key, 'p', fmt(a.p), 'S', fmt(a.S), 'R', fmt(a.R), 'g', a.g, 'n', fmt(now), 'w', fmt(a.w), me,
      fmt(f.seq) .. '|' .. fmt(f.p) .. '|' .. fmt(f.settled) .. '|' .. fmt(f.r) .. '|' .. fmt(now))
  else
    redis.call('HSET', key, 'p', fmt(a.p), 'S', fmt(a.S), 'R', fmt(a.R), 'g', a.g, 'n', fmt(now), 'w', fmt(a.w))
  end
  redis.call('PEXPIRE', key, math.max(till - now, 0) + lease * 20)
end
`

/** Arguments of RESERVE before those of the requests; of a request before its counters; and of each counter. */
const RESERVE_HEAD = 3
const REQUEST_HEAD = 2
const RESERVE_STEP = 6

/**
 * Requests that come together are asked for together, each for itself: all of its counters or none, in the order in which
 * they came. ARGV: instance, lease ms, 0; for each request: seq, number of its keys, and for each of them: kind (w, a),
 * limit, cost, group (0 = enforced; limits in shadow mode have one number each), window ms or period start, period end.
 * Answer: now, and a list for each request: 1 = taken, 0 = refused, -1 = out of order and ignored; for each key: left after
 * the request, ms until all is back, ms until it may be admitted (-1 = it is, -2 = never).
 */
export const RESERVE = scriptOf(`${COMMON}
local function reserve(first, n, base, seq)
  local out = { 1 }
  local state, groups = {}, {}
  for i = 1, n do
    local b = base + (i - 1) * ${RESERVE_STEP}
    local kind, limit, cost, group = ARGV[b + 1], num(ARGV[b + 2]), num(ARGV[b + 3]), ARGV[b + 4]
    local p1, p2 = num(ARGV[b + 5]), num(ARGV[b + 6])
    local key, used, s, reset = KEYS[first + i], 0, nil, 0
    if kind == 'w' then
      s = readWindow(key, p1)
      used = s.sum
      reset = math.ceil((s.newest + 21) * p1 / 20) - now
    else
      s = readAccount(key, p1)
      if s.f and s.f.seq > seq then return { -1 } end
      used = s.S + s.R
      if cost > 0 and used + cost > limit then
        sweep(key, s)
        used = s.S + s.R
      end
      if p2 > 0 then reset = p2 - now end
    end
    state[i] = s
    local left, wait = limit - used - cost, -1
    if cost > 0 and left < 0 then
      if cost > limit then wait = -2
      elseif kind == 'a' then wait = p2 > 0 and math.max(1, p2 - now) or 1000
      else
        local freed = 0
        for _, e in ipairs(s.parts) do
          freed = freed + e[2]
          if freed >= -left then
            wait = math.ceil((e[1] + 21) * p1 / 20) - now
            break
          end
        end
      end
      if group == '0' then out[1] = 0 else groups[group] = true end
    end
    out[#out + 1] = left
    out[#out + 1] = reset
    out[#out + 1] = wait
  end
  for i = 1, n do
    local b = base + (i - 1) * ${RESERVE_STEP}
    local s, cost, p1, p2 = state[i], num(ARGV[b + 3]), num(ARGV[b + 5]), num(ARGV[b + 6])
    local takes = out[1] == 1 and not groups[ARGV[b + 4]]
    if ARGV[b + 1] == 'w' then
      if takes and cost > 0 then
        addToWindow(s, s.newest, cost)
        saveWindow(KEYS[first + i], p1, s)
      end
    else
      if takes and cost > 0 then
        local f = s.f or { p = s.p, settled = -1, r = 0 }
        f.seq = seq
        f.r = f.r + cost
        s.f = f
        s.R = s.R + cost
      end
      saveAccount(KEYS[first + i], s, p2)
    end
  end
  return out
end

local answer = { now }
local first, base = 0, ${RESERVE_HEAD}
while ARGV[base + 1] do
  local seq, n = num(ARGV[base + 1]), num(ARGV[base + 2])
  answer[#answer + 1] = reserve(first, n, base + ${REQUEST_HEAD}, seq)
  first = first + n
  base = base + ${REQUEST_HEAD} + n * ${RESERVE_STEP}
end
return answer
`)

export const WRITE_STEP = 7

/**
 * Tells what has been used. ARGV: instance, lease ms, seq, number of the batch; for each key but the last: `w`, window ms,
 * `part:delta;...`, three times 0, 0; or `a`, period start, period end, settled in it by this instance, what of it Redis
 * has confirmed, generation, reserved. The last key remembers the batch: one that comes again changes windows once.
 * Accounts are told absolute amounts, so that a batch may come again, late, or to a Redis that has lost everything.
 * Answer: now; for each key the generation, or an empty text where the order was wrong and nothing was written.
 */
export const WRITE = scriptOf(`${COMMON}
local n = #KEYS - 1
local batch = num(ARGV[4])
local fresh = batch > num(redis.call('GET', KEYS[n + 1]))
local out = { now }
for i = 1, n do
  local b = 4 + (i - 1) * ${WRITE_STEP}
  local key, kind = KEYS[i], ARGV[b + 1]
  out[i + 1] = 'w'
  if kind == 'w' then
    if fresh then
      local w = num(ARGV[b + 2])
      local win = readWindow(key, w)
      for p, d in string.gmatch(ARGV[b + 3], '(%d+):(%-?%d+)') do addToWindow(win, num(p), num(d)) end
      saveWindow(key, w, win)
    end
  else
    local period, till, settled = num(ARGV[b + 2]), num(ARGV[b + 3]), num(ARGV[b + 4])
    local acked, gen, reserved = num(ARGV[b + 5]), ARGV[b + 6], num(ARGV[b + 7])
    local a = readAccount(key, period)
    local f = a.f
    if f and f.seq > seq then out[i + 1] = ''
    else
      if period >= a.p then
        local old = 0
        if f and f.p == a.p and f.settled >= 0 then old = f.settled
        elseif (not f or f.settled < 0) and gen == a.g then old = acked end
        a.S = math.max(0, a.S + settled - old)
      else settled = f and f.p == a.p and f.settled or -1 end
      a.R = math.max(0, a.R + reserved - (f and f.r or 0))
      a.f = { seq = seq, p = a.p, settled = settled, r = reserved }
      saveAccount(key, a, till)
      out[i + 1] = a.g
    end
  end
end
if fresh then redis.call('SET', KEYS[n + 1], fmt(batch), 'PX', 86400000) end
return out
`)

/** ARGV: for each key the window ms, or 0 for an account. Answer: what is used and what of it is reserved. */
export const PEEK = scriptOf(`
local function num(x) return tonumber(x) or 0 end
local t = redis.call('TIME')
local now = num(t[1]) * 1000 + math.floor(num(t[2]) / 1000)
local out = {}
for i = 1, #KEYS do
  local w, used, reserved = num(ARGV[i]), 0, 0
  if w > 0 then
    local newest = math.floor(now * 20 / w)
    for p, a in string.gmatch(redis.call('GET', KEYS[i]) or '', '(%d+):(%d+)') do
      if num(p) >= newest - 20 then used = used + num(a) end
    end
  else
    local h = redis.call('HMGET', KEYS[i], 'S', 'R')
    reserved = num(h[2])
    used = num(h[1]) + reserved
  end
  out[#out + 1] = used
  out[#out + 1] = reserved
end
return out
`)
