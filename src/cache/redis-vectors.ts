import { hash } from 'node:crypto'
import type { TextVector } from '../contracts/semantic.ts'
import type { RedisStore } from '../store/redis.ts'
import { scriptOf } from '../store/redis.ts'

/** Points on their way to Redis; what is more is not sent. */
const MAX_PENDING = 64
/** Looked at per search: of sets of this size it finds nearly all that a full search does, in half the time. */
const EFFORT = 50
/** A server that has no vector sets is asked again after this: it may be another one by now, ms. */
const ASK_AGAIN_MS = 600_000

/** Redis 8: redis.io/docs/latest/develop/data-types/vector-sets. Each returns -1 where there is no such thing. */
const CAN = scriptOf(`local r = redis.pcall('VCARD', KEYS[1])
if type(r) == 'table' and r.err then return -1 end
return 1`)
/** ARGV: element, ms to live, most elements, dimensions, values. A full set loses one by chance. */
const ADD = scriptOf(`local args = {'VALUES'}
for i = 4, #ARGV do args[#args + 1] = ARGV[i] end
args[#args + 1] = ARGV[1]
args[#args + 1] = 'Q8'
local r = redis.pcall('VADD', KEYS[1], unpack(args))
if type(r) == 'table' and r.err then return -1 end
if redis.call('VCARD', KEYS[1]) > tonumber(ARGV[3]) then
  local other = redis.call('VRANDMEMBER', KEYS[1])
  if other then redis.call('VREM', KEYS[1], other) end
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1`)
/** ARGV: all of VSIM but the key. Returns how many elements there are, and the nearest, best first. */
const NEAR = scriptOf(`local r = redis.pcall('VSIM', KEYS[1], unpack(ARGV))
if type(r) == 'table' and r.err then return -1 end
local out = {redis.call('VCARD', KEYS[1])}
if r then for i = 1, #r do out[#out + 1] = r[i] end end
return out`)
const REMOVE = scriptOf(`local gone = 0
for i = 1, #ARGV do
  local r = redis.pcall('VREM', KEYS[1], ARGV[i])
  if type(r) == 'number' then gone = gone + r end
end
return gone`)

export interface VectorsParts {
  readonly store: Pick<RedisStore, 'run' | 'up'>
  readonly prefix: string
  /** Of the embedder: what another one has made is never compared. */
  readonly version: string
  /** Of one partition. */
  readonly maxEntries: number
  readonly onFault: (fault: 'away' | 'full') => void
  /** Once, where the server has none. */
  readonly onMissing: () => void
}

/** What is near to a point, in a partition, as Redis has it. */
export interface Near {
  /** Of the partition. */
  readonly count: number
  /** Keys of answers, best first. */
  readonly elements: readonly string[]
}

/**
 * Points of the questions of all replicas, as vector sets of Redis 8: a key for each partition, with keys of answers as
 * elements. Questions and answers are not in it. Where the server has no vector sets nothing is asked of it.
 */
export class RedisVectors {
  readonly #parts: VectorsParts
  #can: boolean | null = null
  #asking = false
  #askedAt = -Infinity
  #said = false
  #pending = 0

  constructor(parts: VectorsParts) {
    this.#parts = parts
  }

  /** It is known that the server has them. */
  get usable(): boolean {
    return this.#can === true && this.#parts.store.up
  }

  /** Finds out whether the server has them; every second or so. now: monotonic, ms. Never rejects. */
  async look(now: number): Promise<void> {
    const { store, prefix } = this.#parts
    if (this.#can === true || this.#asking || !store.up || now - this.#askedAt < ASK_AGAIN_MS) return
    this.#asking = true
    try {
      const answer = await store.run(CAN, [`${prefix}:vectors`], [])
      this.#askedAt = now
      if (answer === 1) this.#can = true
      else this.#none()
    } catch {
      // Away: whether it can is not known.
    } finally {
      this.#asking = false
    }
  }

  #none(): void {
    this.#can = false
    if (!this.#said) this.#parts.onMissing()
    this.#said = true
  }

  #keyOf(partition: string): string {
    const { prefix, version } = this.#parts
    return `${prefix}:vectors:${hash('sha256', `${version}\n${partition}`, 'base64url')}`
  }

  /** Nobody waits for it. element: key of the answer. */
  put(partition: string, element: string, { values }: TextVector, ttlMs: number): void {
    if (!this.usable || ttlMs <= 0) return
    const { store, maxEntries, onFault } = this.#parts
    if (this.#pending >= MAX_PENDING) {
      onFault('full')
      return
    }
    this.#pending++
    store
      .run(ADD, [this.#keyOf(partition)], [element, Math.ceil(ttlMs), maxEntries, values.length, ...values])
      .then((answer) => {
        if (answer === -1) this.#none()
      })
      .catch(() => onFault('away'))
      .finally(() => {
        this.#pending--
      })
  }

  /** Never rejects; null = it cannot be told. */
  async near(partition: string, { values }: TextVector, most: number): Promise<Near | null> {
    const { store, onFault } = this.#parts
    const args = ['VALUES', values.length, ...values, 'COUNT', most, 'EF', EFFORT]
    try {
      const answer = await store.run(NEAR, [this.#keyOf(partition)], args)
      if (!Array.isArray(answer)) {
        this.#none()
        return null
      }
      const [count, ...elements] = answer as [number, ...string[]]
      return { count, elements }
    } catch {
      onFault('away')
      return null
    }
  }

  /** Their answers are not there any more. */
  remove(partition: string, elements: readonly string[]): void {
    if (!this.usable || elements.length === 0) return
    this.#parts.store.run(REMOVE, [this.#keyOf(partition)], elements).catch(() => this.#parts.onFault('away'))
  }
}
