import { createHash } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import type { LedgerConfig } from '../contracts/config-limits.ts'
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { sleep } from '../core/sleep.ts'
import { CallbackTimer, TimerWheel, WheelTimer } from '../core/wheel.ts'

export type RedisConfig = NonNullable<LedgerConfig['redis']>

/** Pause before the first look whether Redis is back, and the longest one, ms. */
const PROBE_MS = 50
const MAX_PROBE_MS = 1000
/** A probe without an answer for so long: the connection may be dead without knowing it, ms. */
const STUCK_MS = 3000
const CONNECT_MS = 2000
const READY_MS = 5

/** Also proves that Redis takes writes: a replica, or one without memory, answers but cannot count. */
const PROBE = `redis.call('SET', KEYS[1], '1', 'PX', 1000)
local t = redis.call('TIME')
return t[1] * 1000 + math.floor(t[2] / 1000)`

export interface Script {
  readonly text: string
  readonly sha: string
}

export const scriptOf = (text: string): Script => ({ text, sha: createHash('sha1').update(text).digest('hex') })

/** The command could not be carried out, or not in time; whether it was carried out nobody knows. */
export class StoreAway extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'StoreAway'
  }
}

export interface RedisStoreParts {
  readonly config: RedisConfig
  readonly clock?: Clock
  /** Once when Redis goes away and once when it is back. */
  readonly log?: (level: 'warn' | 'info', message: string, fields: Readonly<Record<string, string | number>>) => void
  /** Redis answers again: called before requests ask it, so that it is told first what it may have lost. */
  readonly onRecovered?: () => Promise<void>
}

/** One command that waits for its answer. */
class Call extends WheelTimer {
  readonly #resolve: (value: unknown) => void
  readonly #reject: (error: Error) => void
  readonly #late: () => void
  open = true

  constructor(resolve: (value: unknown) => void, reject: (error: Error) => void, late: () => void) {
    super()
    this.#resolve = resolve
    this.#reject = reject
    this.#late = late
  }

  done(value: unknown): void {
    this.open = false
    this.#resolve(value)
  }

  failed(reason: string): void {
    this.open = false
    this.#reject(new StoreAway(reason))
  }

  override onTimer(): void {
    if (!this.open) return
    this.failed('deadline')
    this.#late()
  }
}

/** Redis says so in the first word of an error. */
const codeOf = (error: unknown): string => (error instanceof Error ? (error.message.split(' ')[0] ?? '') : '')

const refusesSha = (error: unknown): boolean => {
  const text = error instanceof Error ? error.message : ''
  return codeOf(error) === 'NOPERM' || /unknown command|unsupported command|not supported|not allowed/i.test(text)
}

const HASH_TAG = /\{[^}]+\}/

/**
 * A connection to Redis that never lets anybody wait: a command has a deadline, and after one that failed Redis is `away`
 * (nothing is asked) until a probe in the background was answered.
 */
export class RedisStore {
  readonly #config: RedisConfig
  readonly #parts: RedisStoreParts
  readonly #clock: Clock
  readonly #client: Redis | Cluster
  readonly #wheel = new TimerWheel()
  readonly #probeTimer = new CallbackTimer(() => this.#onProbeTimer())
  readonly #probe = scriptOf(PROBE)
  #up = false
  #closed = false
  #everUp = false
  #awaySince: number
  #probeMs = PROBE_MS
  #probeSentAt = 0
  #probing = false
  /** What failed last: on a cluster the same slot is probed. */
  #tag = '{probe}'
  /** EVALSHA is refused here: only full texts work. */
  #evalOnly = false
  #offsetMs = 0
  #gathering = false

  constructor(parts: RedisStoreParts) {
    this.#parts = parts
    this.#config = parts.config
    this.#clock = parts.clock ?? systemClock
    this.#awaySince = this.#clock.monotonic()
    this.#client = connect(parts.config)
    // Errors of the connection show in the commands; without a listener they would end the process.
    this.#client.on('error', () => undefined)
    this.#client.on('ready', () => this.#probeSoon(0))
    this.#client.on('close', () => this.#lost('connection closed'))
    this.#probeSoon(0)
  }

  /** False = do not ask now. */
  get up(): boolean {
    return this.#up
  }

  /** Waits until Redis is there, for at most ms. False = it is not, and requests will not wait for it either. */
  async ready(ms: number): Promise<boolean> {
    const end = this.#clock.monotonic() + ms
    while (!this.#up && !this.#closed && this.#clock.monotonic() < end) await sleep(READY_MS)
    return this.#up
  }

  /** Milliseconds by which Redis' clock is ahead of this host's, as of the last answer that told it. */
  get offsetMs(): number {
    return this.#offsetMs
  }

  /** now: epoch ms of Redis, just received. */
  sawTime(now: number): void {
    this.#offsetMs = now - this.#clock.now()
  }

  /** Runs a script. Rejects with StoreAway when Redis is away, fails, or does not answer before the deadline. */
  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    if (!this.#up) return Promise.reject(new StoreAway('away'))
    return this.#run(script, keys, args)
  }

  /** Like `run`, also while requests do not ask: for what Redis must be told when it is back. */
  runAnyway(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return this.#run(script, keys, args)
  }

  /** A field-value table; null = it cannot be read now. */
  async readTable(key: string): Promise<Readonly<Record<string, string>> | null> {
    return this.#up ? this.#client.hgetall(key).catch(() => null) : null
  }

  /** Sets, or with null removes, one field. Rejects when Redis cannot be asked. */
  async writeTable(key: string, field: string, value: string | null): Promise<void> {
    if (!this.#up) throw new StoreAway('away')
    await (value === null ? this.#client.hdel(key, field) : this.#client.hset(key, field, value))
  }

  #run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const call = new Call(resolve, reject, () => this.#lost('deadline exceeded', keys[0]))
      this.#wheel.arm(call, this.#config.deadlineMs)
      const answered = (value: unknown): void => {
        this.#wheel.disarm(call)
        if (call.open) call.done(value)
      }
      const failed = (error: unknown): void => {
        this.#wheel.disarm(call)
        if (!call.open) return
        call.failed(codeOf(error))
        this.#lost(codeOf(error) || 'failed', keys[0])
      }
      this.#send(script, keys, args).then(answered, failed)
    })
  }

  /**
   * What is sent until the event loop has seen to all that has arrived leaves in one write: the write is the dearest part
   * of a command, and requests come in flocks.
   */
  #gather(): void {
    if (this.#gathering || !(this.#client instanceof Redis)) return
    const { stream } = this.#client
    if (stream === undefined || stream.destroyed) return
    this.#gathering = true
    stream.cork()
    setImmediate(() => {
      this.#gathering = false
      stream.uncork()
    })
  }

  async #send(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    this.#gather()
    const rest = [...keys, ...args]
    if (this.#evalOnly) return this.#client.eval(script.text, keys.length, ...rest)
    try {
      return await this.#client.evalsha(script.sha, keys.length, ...rest)
    } catch (error) {
      if (codeOf(error) === 'NOSCRIPT') return this.#client.eval(script.text, keys.length, ...rest)
      if (!refusesSha(error)) throw error
      const value = await this.#client.eval(script.text, keys.length, ...rest)
      // Only now is it known that the refusal was about EVALSHA and not about scripts or keys.
      this.#evalOnly = true
      return value
    }
  }

  #lost(reason: string, key?: string): void {
    if (this.#closed) return
    if (key !== undefined) this.#tag = HASH_TAG.exec(key)?.[0] ?? this.#tag
    if (this.#up) {
      this.#up = false
      this.#awaySince = this.#clock.monotonic()
      this.#probeMs = PROBE_MS
      this.#parts.log?.('warn', 'ledger: redis is away', { reason })
    }
    this.#probeSoon(this.#probeMs)
  }

  #probeSoon(ms: number): void {
    if (this.#closed || this.#probeTimer.dueTick >= 0) return
    this.#wheel.arm(this.#probeTimer, ms)
  }

  #onProbeTimer(): void {
    if (this.#up || this.#closed) return
    this.#probeMs = Math.min(MAX_PROBE_MS, this.#probeMs * 2)
    this.#probeSoon(this.#probeMs)
    if (!this.#probing) void this.#ask()
    else if (this.#clock.monotonic() - this.#probeSentAt > STUCK_MS) {
      // Frozen hosts and cut networks never close a connection: begin a new one.
      this.#probeSentAt = this.#clock.monotonic()
      if (this.#client instanceof Redis) this.#client.disconnect(true)
    }
  }

  /** One probe at a time, without a deadline: its answer, however late, says that Redis is back. */
  async #ask(): Promise<void> {
    this.#probing = true
    this.#probeSentAt = this.#clock.monotonic()
    try {
      const time = await this.#send(this.#probe, [`${this.#config.prefix}:${this.#tag}:probe`], [])
      // What has waited for long says nothing about the time.
      if (this.#clock.monotonic() - this.#probeSentAt < 100) this.sawTime(Number(time))
      await this.#parts.onRecovered?.()
      this.#back()
    } catch {
      // Still away: the timer asks again.
    } finally {
      this.#probing = false
    }
  }

  #back(): void {
    if (this.#closed || this.#up) return
    this.#up = true
    this.#probeMs = PROBE_MS
    const awayMs = Math.round(this.#clock.monotonic() - this.#awaySince)
    this.#parts.log?.('info', this.#everUp ? 'ledger: redis is back' : 'ledger: redis is there', { away_ms: awayMs })
    this.#everUp = true
  }

  /** Ends the connection; commands under way fail. */
  close(): void {
    this.#closed = true
    this.#up = false
    this.#wheel.disarm(this.#probeTimer)
    this.#client.disconnect()
  }
}

const backoff = (times: number): number => Math.min(1000, 25 * 2 ** Math.min(times, 6)) * (0.75 + (times % 5) / 10)

const connect = ({ urls, cluster, username, password, tls }: RedisConfig): Redis | Cluster => {
  const url = new URL(urls[0] ?? 'redis://127.0.0.1:6379')
  const shared = {
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(tls === null
      ? {}
      : { tls: { rejectUnauthorized: tls.rejectUnauthorized, ...(tls.ca === null ? {} : { ca: tls.ca }) } }),
    connectTimeout: CONNECT_MS,
    // A command that cannot be sent now is not wanted later, and none is sent twice behind our back.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // HELLO, CLIENT SETINFO and INFO are refused by some proxies and ACLs; the probe tells more than they do.
    protocol: 2 as const,
    disableClientInfo: true,
    enableReadyCheck: false,
    // After a failover the old primary keeps the connection and takes no writes: its name leads to the new one.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
  if (cluster) {
    const nodes = urls
      .map((text) => new URL(text))
      .map(({ hostname, port }) => ({ host: hostname, port: Number(port || 6379) }))
    return new Cluster(nodes, { redisOptions: shared, enableOfflineQueue: false, clusterRetryStrategy: backoff })
  }
  return new Redis({
    ...shared,
    host: url.hostname.replaceAll(/[[\]]/g, ''),
    port: Number(url.port || 6379),
    db: Number(url.pathname.slice(1) || 0),
    retryStrategy: backoff,
  })
}
