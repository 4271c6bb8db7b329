import { hash, randomBytes } from 'node:crypto'
import type { RedisStore } from '../store/redis.ts'
import type { Seal } from '../store/seal.ts'
import type { News } from './semantic.ts'
import { scriptOf } from '../store/redis.ts'
import { SharedCounts, totalOf, type Total } from './redis-counts.ts'

/** Whoever has not been heard of for so long is dead: another may count on in its place, ms. */
const LEASE_MS = 30_000
/** What nobody asks for is forgotten, ms. */
const TTL_MS = 30 * 86_400_000
/** Workers of all replicas at one time, and after outages as many again. */
const MAX_SLOTS = 1024
/** Scopes of all slots: what is more is counted by each worker alone. */
const MAX_TOTALS = 20_000
/** Totals in one command. */
const PAGE = 200
/** Commands in a row: a second's news, or all that there is at the start. */
const MAX_PAGES = 2 * (MAX_TOTALS / PAGE)

/**
 * Who counts has a slot. KEYS: slots. ARGV: token, life, ms of the lease, 1 = nothing is counted yet, most slots, ms to live.
 * Returns slot and life; slot '' = another goes on with that life, -1 = there is no slot.
 */
const CLAIM = scriptOf(`local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function take(slot, life)
  redis.call('HSET', KEYS[1], slot, life .. ' ' .. ARGV[1] .. ' ' .. string.format('%.0f', now + ARGV[3]))
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  return {slot, life}
end
local all = redis.call('HGETALL', KEYS[1])
local free, freeLife
for i = 1, #all, 2 do
  local life, token, ends = string.match(all[i + 1], '^(%S+) (%S+) (%d+)$')
  local open = token == ARGV[1] or tonumber(ends) <= now
  if life == ARGV[2] then
    if open then return take(all[i], life) end
    return {'', ''}
  end
  if open and not free then free, freeLife = all[i], life end
end
if free and ARGV[4] == '1' then return take(free, freeLife) end
if #all / 2 >= tonumber(ARGV[5]) then return {'-1', ''} end
return take(tostring(#all / 2), ARGV[2])`)

/**
 * KEYS: slots, totals by slot and scope, their order, the last number in it. ARGV: slot, token, ms of the lease, ms to live,
 * number since which, page, most totals, prefix of those not wanted, then fields and values that are told.
 * Returns: 1 = the slot is ours and they were taken, the number to go on from, 1 = there was more, fields and values.
 */
const EXCHANGE = scriptOf(`local owned = 0
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if entry then
  local life, token = string.match(entry, '^(%S+) (%S+)')
  if token == ARGV[2] then
    local t = redis.call('TIME')
    local ends = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3]
    redis.call('HSET', KEYS[1], ARGV[1], life .. ' ' .. token .. ' ' .. string.format('%.0f', ends))
    owned = 1
  end
end
if owned == 1 then
  for i = 9, #ARGV, 2 do
    if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1 or redis.call('HLEN', KEYS[2]) < tonumber(ARGV[7]) then
      redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
      redis.call('ZADD', KEYS[3], redis.call('INCR', KEYS[4]), ARGV[i])
    end
  end
  for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
end
local last = tonumber(redis.call('GET', KEYS[4]) or '0')
local since = tonumber(ARGV[5])
if since > last then since = 0 end
local found = redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[6])
local more = 0
if #found / 2 >= tonumber(ARGV[6]) then last, more = tonumber(found[#found]), 1 end
local out = {owned, last, more}
for i = 1, #found, 2 do
  if ARGV[8] == '' or string.sub(found[i], 1, #ARGV[8]) ~= ARGV[8] then
    out[#out + 1] = found[i]
    out[#out + 1] = redis.call('HGET', KEYS[2], found[i]) or ''
  end
end
return out`)

/** KEYS: slots. ARGV: slot, token. Another may have it at once. */
const RELEASE = scriptOf(`local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
local life, token = string.match(entry, '^(%S+) (%S+)')
if token ~= ARGV[2] then return 0 end
return redis.call('HSET', KEYS[1], ARGV[1], life .. ' - 0')`)

/** What learns. */
export interface Learner {
  readonly version: string
  /** What others have not been told; it is told once. */
  news(): Iterable<News>
  absorb(news: News): void
}

export interface CalibrationParts {
  readonly store: Pick<RedisStore, 'run' | 'up'>
  /** Names of tenants are in it. */
  readonly seal: Seal
  readonly semantic: Learner
  readonly prefix: string
  readonly onFault: () => void
  /** See LEASE_MS. */
  readonly leaseMs?: number
}

/** All are taken: it is only heard. */
const NO_SLOT = '-1'

const lifeOf = (): string => randomBytes(12).toString('base64url')

/**
 * What is learnt of errors, for the workers of all replicas. Each tells its totals in a slot of its own, for which it has a
 * lease; one that begins goes on with the totals of one that is dead, so that there are no more slots than workers. While
 * Redis is away each learns alone, and supposes that the others serve as much as itself.
 */
export class RedisCalibration {
  readonly #parts: CalibrationParts
  readonly #counts = new SharedCounts(lifeOf())
  readonly #token = lifeOf()
  readonly #keys: readonly string[]
  readonly #leaseMs: number
  #slot = ''
  #since = 0
  /** All that was there has been heard since the slot is ours. */
  #caughtUp = false
  #running: Promise<void> | null = null

  constructor(parts: CalibrationParts) {
    this.#parts = parts
    this.#leaseMs = parts.leaseMs ?? LEASE_MS
    // One slot of a cluster.
    const base = `${parts.prefix}:{calibration:${hash('sha256', parts.semantic.version, 'base64url').slice(0, 16)}}`
    this.#keys = ['slots', 'totals', 'order', 'last'].map((name) => `${base}:${name}`)
  }

  /** Tells and hears what is new; every second or so. Never rejects. */
  sync(): Promise<void> {
    // What is taken from the calibrators they suppose to be known to all.
    if (!this.#parts.store.up) return Promise.resolve()
    this.#running ??= this.#sync().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #sync(): Promise<void> {
    try {
      for (let pages = 0; pages < MAX_PAGES; pages++) {
        if (this.#slot === '') await this.#claim()
        if (this.#caughtUp) for (const news of this.#parts.semantic.news()) this.#counts.count(news)
        const more = await this.#exchange()
        if (!more && this.#slot !== '' && !(this.#tells && this.#counts.dirty)) return
      }
    } catch {
      this.#parts.onFault()
    }
  }

  async #claim(): Promise<void> {
    for (let tries = 0; tries < 3 && this.#slot === ''; tries++) {
      const args = [this.#token, this.#counts.life, this.#leaseMs, this.#counts.empty ? 1 : 0, MAX_SLOTS, TTL_MS]
      const [slot, life] = (await this.#parts.store.run(CLAIM, this.#keys.slice(0, 1), args)) as [string, string]
      // Whoever goes on with it has what was told of it; the rest is lost, for it could be counted twice.
      if (slot === '') this.#counts.become(lifeOf())
      else {
        this.#slot = slot
        if (life !== '' && life !== this.#counts.life) this.#counts.become(life)
      }
    }
    this.#caughtUp = false
    this.#since = 0
    this.#counts.tellAgain()
  }

  /** All has been heard, so that what we tell is all. */
  get #tells(): boolean {
    return this.#caughtUp && this.#slot !== '' && this.#slot !== NO_SLOT
  }

  /** True = there is more to hear. */
  async #exchange(): Promise<boolean> {
    const { store, onFault } = this.#parts
    const slot = this.#slot
    const since = this.#since
    const told = this.#tells ? this.#counts.untold(PAGE) : []
    // Until all is heard, our own place is a part of it: another may have counted there before.
    const head = [slot, this.#token, this.#leaseMs, TTL_MS, since, PAGE, MAX_TOTALS, this.#tells ? `${slot}:` : '']
    const answer = (await store.run(EXCHANGE, this.#keys, [
      ...head,
      ...told.flatMap((total) => this.#sealed(total)),
    ])) as (number | string)[]
    const [owned, last, more] = answer as [number, number, number]
    // Redis has lost what it had: we begin with it anew, and tell it what we know.
    const lost = last < since
    for (let i = 3; i < answer.length; i += 2) this.#hear(String(answer[i]), String(answer[i + 1]), onFault)
    this.#since = last
    if (owned === 1 && !lost) this.#counts.told(told)
    else if (slot !== NO_SLOT || lost) this.#slot = ''
    if (more === 0 && this.#slot !== '') this.#caughtUp = true
    return more === 1
  }

  #sealed(total: Total): [string, string] {
    const field = `${this.#slot}:${hash('sha256', total.scope.key, 'base64url')}`
    return [field, this.#parts.seal.seal(placeOf(field), Buffer.from(JSON.stringify(total))).toString('base64')]
  }

  #hear(field: string, value: string, onFault: () => void): void {
    let total: Total | null = null
    try {
      total = totalOf(this.#parts.seal.open(placeOf(field), Buffer.from(value, 'base64')))
    } catch {
      // Of a key of yesterday, or altered.
    }
    if (total === null) {
      onFault()
      return
    }
    const news = this.#counts.learn(total)
    if (news !== null) this.#parts.semantic.absorb(news)
  }

  /** Tells what is left, and lets another go on in its place. Never rejects. */
  async end(): Promise<void> {
    await this.#running
    await this.sync()
    const { store } = this.#parts
    if (!this.#tells || !store.up) return
    await store.run(RELEASE, this.#keys.slice(0, 1), [this.#slot, this.#token]).catch(() => undefined)
  }
}

const placeOf = (field: string): string => `calibration:${field}`
