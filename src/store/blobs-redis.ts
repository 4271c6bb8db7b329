import type { BlobStore } from '../contracts/blobs.ts'
import { BlobRefused } from './blob-refused.ts'
import { RedisStore, scriptOf, type RedisConfig, type RedisStoreParts, type Script } from './redis.ts'

/** Larger values take longer than what counts requests: a command gets at least this, ms. */
const DEADLINE_MS = 2000

/** KEYS[1]; ARGV[1]: ms to live from now on, 0 = as before. */
const GET = scriptOf(`local v = redis.call('GET', KEYS[1])
if v and ARGV[1] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return v`)
/** ARGV: value, ms to live. */
const PUT = scriptOf(`redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)
const CLAIM = scriptOf(`if redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then return 1 end
return 0`)
const DELETE = scriptOf(`return redis.call('DEL', KEYS[1])`)
/** ARGV: field, value, ms to live, greatest number of fields. A list lives as long as what was added last. */
const NOTE =
  scriptOf(`if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1`)
const NOTES = scriptOf(`return redis.call('HVALS', KEYS[1])`)
const FORGET = scriptOf(`return redis.call('HDEL', KEYS[1], ARGV[1])`)

const MAX_NOTES = 10_000

const packed = (value: Uint8Array): string =>
  Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')

/** Blobs in Redis, each a key with a time to live of its own; shared by all replicas. Values are to be sealed before. */
export class RedisBlobs implements BlobStore {
  readonly durable = true
  readonly #store: RedisStore
  readonly #prefix: string

  constructor(config: RedisConfig, log?: RedisStoreParts['log']) {
    this.#prefix = config.prefix
    this.#store = new RedisStore({
      config: { ...config, deadlineMs: Math.max(DEADLINE_MS, config.deadlineMs) },
      ...(log === undefined
        ? {}
        : { log: (level, message, fields) => log(level, message.replace('ledger', 'blobs'), fields) }),
    })
  }

  /** See RedisStore.ready. */
  ready(ms: number): Promise<boolean> {
    return this.#store.ready(ms)
  }

  async #run(script: Script, key: string, args: readonly (string | number)[] = []): Promise<unknown> {
    try {
      return await this.#store.run(script, [`${this.#prefix}:blob:${key}`], args)
    } catch (error) {
      throw new BlobRefused('away', error instanceof Error ? error.message : 'failed')
    }
  }

  async get(key: string, touchMs: number): Promise<Uint8Array | null> {
    const value = await this.#run(GET, key, [Math.ceil(touchMs)])
    return typeof value === 'string' ? Buffer.from(value, 'base64') : null
  }
  async put(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    await this.#run(PUT, key, [packed(value), Math.ceil(ttlMs)])
  }
  async claim(key: string, value: Uint8Array, ttlMs: number): Promise<boolean> {
    return (await this.#run(CLAIM, key, [packed(value), Math.ceil(ttlMs)])) === 1
  }
  async delete(key: string): Promise<boolean> {
    return (await this.#run(DELETE, key)) === 1
  }
  async note(list: string, field: string, value: Uint8Array, ttlMs: number): Promise<void> {
    const added = await this.#run(NOTE, list, [field, packed(value), Math.ceil(ttlMs), MAX_NOTES])
    if (added !== 1) throw new BlobRefused('size', 'the list is full')
  }
  async notes(list: string): Promise<readonly Uint8Array[]> {
    const values = (await this.#run(NOTES, list)) as readonly string[]
    return values.map((value) => Buffer.from(value, 'base64'))
  }
  async forget(list: string, field: string): Promise<void> {
    await this.#run(FORGET, list, [field])
  }
  close(): void {
    this.#store.close()
  }
}
