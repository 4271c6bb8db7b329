import { randomBytes } from 'node:crypto'
import type { Amounts } from '../contracts/admission.ts'
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { everyUnref } from '../core/every.ts'
import { RedisStore } from '../store/redis.ts'
import type { RedisConfig, RedisStoreParts } from '../store/redis.ts'
import { CALENDAR, costOf, WINDOW } from './counter.ts'
import type { Counter, CounterSet } from './counter.ts'
import { readOverride } from './overrides.ts'
import type { LimitOverride } from './overrides.ts'
import { Account } from './redis-account.ts'
import { RedisHold } from './redis-hold.ts'
import { ReserveBatch } from './redis-batch.ts'
import type { Reply } from './redis-batch.ts'
import { PEEK } from './redis-scripts.ts'
import { partOf, RedisWriter } from './redis-writer.ts'
import { shadowRefused } from './redis-group.ts'
import type { Group } from './redis-group.ts'
import type { SharedAnswer, SharedHold, SharedLedger } from './shared-ledger.ts'

export interface RedisLedgerParts {
  readonly config: RedisConfig
  /** Most accounts and windows that are kept track of. */
  readonly maxScopes: number
  readonly clock?: Clock
  readonly log?: NonNullable<RedisStoreParts['log']>
  /** For counting: something that was used is not told to Redis, because too much waits. */
  readonly onDropped?: () => void
}

const NOTHING: readonly string[] = []

/**
 * The ledger in Redis, one object for each worker: one script and round trip for all limits of a request. What is admitted
 * never exceeds a limit over all replicas while Redis answers and keeps its data.
 */
export class RedisLedger implements SharedLedger {
  readonly store: RedisStore
  readonly #parts: RedisLedgerParts
  readonly #clock: Clock
  /** Of this worker's life: what it holds is told apart by it. */
  readonly #instance = randomBytes(6).toString('hex')
  readonly #accounts = new Map<string, Account>()
  readonly #writers = new Map<string, RedisWriter>()
  readonly #batches = new Map<string, ReserveBatch>()
  readonly #groups = new WeakMap<CounterSet, readonly Group[]>()
  readonly #stop: (() => void)[]
  #seq = 0

  constructor(parts: RedisLedgerParts) {
    this.#parts = parts
    this.#clock = parts.clock ?? systemClock
    this.store = new RedisStore({
      config: parts.config,
      clock: this.#clock,
      onRecovered: () => this.#recover(),
      ...(parts.log === undefined ? {} : { log: parts.log }),
    })
    this.#stop = [everyUnref(() => this.#heartbeat(), Math.floor(parts.config.leaseMs / 3))]
  }

  get up(): boolean {
    return this.store.up
  }

  /**
   * Waits for Redis at start, for at most ms: without it the first requests of a worker would find limits that cannot be
   * asked yet. False = it is away.
   */
  ready(ms: number): Promise<boolean> {
    return this.store.ready(ms)
  }

  /** Changes that Redis has not confirmed yet; grows with counters, not with requests. */
  get pending(): number {
    let sum = 0
    for (const writer of this.#writers.values()) sum += writer.pending
    return sum
  }

  /** Epoch ms by Redis' clock. */
  now(): number {
    return this.#clock.now() + this.store.offsetMs
  }

  async reserve(set: CounterSet, amounts: Amounts): Promise<SharedAnswer | null> {
    const groups = this.#groupsOf(set)
    // More accounts than may be kept track of: as good as not reachable, and each limit's policy says what that means.
    if (!this.#enter(set)) return null
    const replies =
      groups.length === 1
        ? [await this.#ask(set, groups[0]!, amounts)]
        : await Promise.all(groups.map((group) => this.#ask(set, group, amounts)))
    let failed = false
    let refused = false
    for (const reply of replies) {
      if (reply === null || reply.list[0]! < 0) failed = true
      else if (reply.list[0] === 0) refused = true
    }
    for (let g = 0; g < groups.length; g++) this.#account(set, groups[g]!, amounts, replies[g]!, failed || refused)
    if (failed) return null
    return this.#answer(set, groups, replies as readonly Reply[], refused)
  }

  /** Accounts of all counters, in their present period. False = there are too many. */
  #enter({ counters }: CounterSet): boolean {
    const now = this.now()
    for (const counter of counters) {
      if (counter.rule.kind === WINDOW) continue
      const account = this.#accounts.get(counter.id)
      if (account !== undefined) account.enter(now)
      else if (this.#accounts.size >= this.#parts.maxScopes) return false
      else this.#accountOf(counter)
    }
    return true
  }

  /** While a question waits for its turn the heartbeat may have put its account away: then it is taken out again. */
  #accountOf(counter: Counter): Account {
    let account = this.#accounts.get(counter.id)
    if (account === undefined) {
      this.#accounts.set(counter.id, (account = new Account(counter)))
      account.enter(this.now())
    }
    return account
  }

  async #ask({ counters }: CounterSet, { tag, places, keys }: Group, amounts: Amounts): Promise<Reply | null> {
    const question = { keys, addTo: (args: (string | number)[]) => this.#addTo(args, counters, places, amounts) }
    const batch = this.#batch(tag)
    const first = await batch.ask(question)
    if (first === null || first.list[0]! >= 0) return first
    // It was overtaken by what Redis was told meanwhile, as happens when a script is new to Redis, and took nothing.
    this.#unasked(counters, places, amounts)
    const second = await batch.ask(question)
    for (const place of places) this.#tell(counters[place]!)
    return second
  }

  #addTo(args: (string | number)[], counters: readonly Counter[], places: readonly number[], amounts: Amounts): void {
    let shadows = 0
    let shadow = ''
    for (const place of places) {
      const counter = counters[place]!
      const { rule } = counter
      const cost = costOf(rule.unit, amounts)
      const account = rule.kind === WINDOW ? null : this.#accountOf(counter)
      if (account !== null) account.asked += cost
      if (rule.shadow && rule.limit !== shadow) {
        shadow = rule.limit
        shadows++
      }
      args.push(
        account === null ? 'w' : 'a',
        counter.amount,
        cost,
        rule.shadow ? shadows : 0,
        account?.period ?? rule.windowMs,
        account?.end ?? 0,
      )
    }
  }

  /** A question that has taken nothing is asked again: until then nothing is asked for. */
  #unasked(counters: readonly Counter[], places: readonly number[], amounts: Amounts): void {
    for (const place of places) {
      const counter = counters[place]!
      if (counter.rule.kind !== WINDOW) this.#accountOf(counter).asked -= costOf(counter.rule.unit, amounts)
    }
  }

  #batch(tag: string): ReserveBatch {
    let batch = this.#batches.get(tag)
    if (batch === undefined) {
      const common = { store: this.store, instance: this.#instance, nextSeq: () => ++this.#seq }
      batch = new ReserveBatch({ ...common, leaseMs: this.#parts.config.leaseMs })
      this.#batches.set(tag, batch)
    }
    return batch
  }

  #tell(counter: Counter): void {
    const account = this.#accounts.get(counter.id)
    if (account !== undefined) this.writer(this.tagOf(counter)).account(account)
  }

  /** Brings this instance's books up to the answer; gives back what one group granted when another refused. */
  #account(set: CounterSet, { tag, places }: Group, amounts: Amounts, reply: Reply | null, giveBack: boolean): void {
    const granted = reply !== null && reply.list[0] === 1
    for (let i = 0; i < places.length; i++) {
      const counter = set.counters[places[i]!]!
      const cost = costOf(counter.rule.unit, amounts)
      const took = granted && !shadowRefused(set, places, reply, i)
      if (counter.rule.kind === WINDOW) {
        if (took && giveBack) this.writer(tag).window(counter, partOf(counter, reply.now), -cost)
        continue
      }
      const account = this.#accountOf(counter)
      if (reply === null || reply.list[0]! < 0) account.unanswered(cost)
      else account.answered(cost, took && !giveBack, reply.seq)
      if ((took && giveBack) || account.dirty) this.writer(tag).account(account)
    }
  }

  #answer(set: CounterSet, groups: readonly Group[], replies: readonly Reply[], refused: boolean): SharedAnswer {
    const count = set.counters.length
    const left = Array.from({ length: count }, () => 0)
    const reset = Array.from({ length: count }, () => 0)
    let skipped: Uint8Array | null = null
    let wouldRefuse: readonly string[] = NOTHING
    let refusedBy = -1
    let waitMs = -1
    for (let g = 0; g < groups.length; g++) {
      const { places } = groups[g]!
      const reply = replies[g]!
      for (let i = 0; i < places.length; i++) {
        const place = places[i]!
        const { rule } = set.counters[place]!
        left[place] = reply.list[i * 3 + 1]!
        reset[place] = reply.list[i * 3 + 2]!
        const wait = reply.list[i * 3 + 3]!
        if (wait === -1 && !rule.shadow) continue
        if (shadowRefused(set, places, reply, i)) {
          ;(skipped ??= new Uint8Array(count))[place] = 1
          if (!wouldRefuse.includes(rule.limit)) wouldRefuse = [...wouldRefuse, rule.limit]
        } else if (wait !== -1) {
          const ms = wait < 0 ? Infinity : wait
          if (ms > waitMs) [refusedBy, waitMs] = [place, ms]
        }
      }
    }
    if (refused) return { ok: false, refusedBy, waitMs, never: waitMs === Infinity, left, reset }
    const hold = new RedisHold(this, set, skipped, left, replies[0]!.now)
    return { ok: true, hold, skipped, wouldRefuse, left, reset }
  }

  uncounted(set: CounterSet, amounts: Amounts): SharedHold {
    // Also when there is no room for all of them: at its end the request gives back what it holds of each that there is.
    this.#enter(set)
    for (const counter of set.counters) {
      const account = this.#accounts.get(counter.id)
      if (account !== undefined) this.#hold(account, costOf(counter.rule.unit, amounts))
    }
    return new RedisHold(this, set, null, null, this.now())
  }

  #hold(account: Account, amount: number): void {
    account.granted += amount
    this.writer(this.tagOf(account.counter)).account(account)
  }

  /** A call has used `delta` more than it took, or (below 0) less, of a window. takenAt: ms by Redis' clock. */
  correctWindow(counter: Counter, delta: number, takenAt: number): void {
    // More is charged in the part after this one, so that a clock that is behind cannot charge it too early.
    const part = delta > 0 ? partOf(counter, this.now()) + 1 : partOf(counter, takenAt)
    this.writer(this.tagOf(counter)).window(counter, part, delta)
  }

  /** A call holds that much less (or more) of an account, and has used `settled` for good. */
  correctAccount(counter: Counter, held: number, settled: number): void {
    const account = this.#accounts.get(counter.id)
    if (account === undefined) return
    account.enter(this.now())
    account.granted = Math.max(0, account.granted + held)
    if (counter.rule.kind === CALENDAR) account.settled += settled
    this.writer(this.tagOf(counter)).account(account)
  }

  /** On a cluster a script sees one slot: keys of one tag. */
  tagOf(counter: Counter): string {
    return this.#parts.config.cluster ? counter.tag : ''
  }

  #keyOf({ tag, id, rule }: Counter): string {
    return this.#key(tag, rule.kind === WINDOW, id)
  }

  #key(tag: string, isWindow: boolean, id: string): string {
    return `${this.#parts.config.prefix}:{${tag}}:${isWindow ? 'w' : 'a'}:${id}`
  }

  #groupsOf(set: CounterSet): readonly Group[] {
    let groups = this.#groups.get(set)
    if (groups === undefined) {
      const tags = [...new Set(set.counters.map((counter) => this.tagOf(counter)))]
      groups = tags.map((tag) => {
        const places = set.counters.flatMap((counter, i) => (this.tagOf(counter) === tag ? [i] : []))
        return { tag, places, keys: places.map((place) => this.#keyOf(set.counters[place]!)) }
      })
      this.#groups.set(set, groups)
    }
    return groups
  }

  writer(tag: string): RedisWriter {
    let writer = this.#writers.get(tag)
    if (writer === undefined) {
      const { config, maxScopes, onDropped } = this.#parts
      writer = new RedisWriter({
        store: this.store,
        instance: this.#instance,
        leaseMs: config.leaseMs,
        batchKey: `${config.prefix}:{${tag === '' ? 'all' : tag}}:b:${this.#instance}`,
        keyOf: (counter) => this.#keyOf(counter),
        nextSeq: () => ++this.#seq,
        maxScopes,
        onDropped: onDropped ?? (() => undefined),
      })
      this.#writers.set(tag, writer)
    }
    return writer
  }

  /** Who holds something says that it lives; books that are closed are put away. */
  #heartbeat(): void {
    const now = this.now()
    for (const [id, account] of this.#accounts) {
      if (account.reserved > 0 || account.dirty) this.#tell(account.counter)
      else if (account.idle(now)) this.#accounts.delete(id)
    }
    for (const [tag, writer] of this.#writers) {
      if (writer.pending === 0) {
        this.#writers.delete(tag)
        this.#batches.delete(tag)
      } else writer.kick()
    }
  }

  /** Redis is back, perhaps empty: it is told all that this instance has settled and holds, before anybody asks it. */
  async #recover(): Promise<void> {
    const now = this.now()
    for (const account of this.#accounts.values()) {
      account.enter(now)
      if (account.settled > 0 || account.reserved > 0) this.#tell(account.counter)
    }
    for (const writer of this.#writers.values()) {
      if (!(await writer.flush(true))) throw new Error('redis went away again')
    }
    // What is settled between this and the first request is on nobody's way to Redis.
    setImmediate(() => {
      for (const writer of this.#writers.values()) writer.kick()
    })
  }

  /** What is used and reserved of each counter; windowMs 0 = an account. null = Redis cannot be asked. */
  async peek(
    counters: readonly { readonly id: string; readonly tag: string; readonly windowMs: number }[],
  ): Promise<readonly { used: number; reserved: number }[] | null> {
    const ask = ({ id, tag, windowMs }: (typeof counters)[number]) =>
      this.store.run(PEEK, [this.#key(tag, windowMs > 0, id)], [windowMs])
    try {
      const answers = (await Promise.all(counters.map(ask))) as [number, number][]
      return answers.map(([used, reserved]) => ({ used, reserved }))
    } catch {
      return null
    }
  }

  /** Overrides that all replicas share; null = Redis cannot be asked, keep what is known. */
  async readOverrides(): Promise<ReadonlyMap<string, LimitOverride> | null> {
    const table = await this.store.readTable(this.#tableOf('overrides'))
    if (table === null) return null
    return new Map(
      Object.entries(table).flatMap(([key, text]) => {
        const override = readOverride(text)
        return override === null ? [] : [[key, override] as const]
      }),
    )
  }

  /** override null = remove. Rejects when Redis cannot be asked. */
  writeOverride(key: string, override: LimitOverride | null): Promise<void> {
    return this.store.writeTable(this.#tableOf('overrides'), key, override === null ? null : JSON.stringify(override))
  }

  #tableOf(name: 'overrides' | 'revoked'): string {
    return `${this.#parts.config.prefix}:${name}`
  }

  /** Ids of keys that all replicas refuse; null = Redis cannot be asked, keep what is known. */
  async readRevocations(): Promise<readonly string[] | null> {
    const table = await this.store.readTable(this.#tableOf('revoked'))
    return table === null ? null : Object.keys(table)
  }

  /** Rejects when Redis cannot be asked. */
  writeRevocation(id: string, revoked: boolean): Promise<void> {
    return this.store.writeTable(this.#tableOf('revoked'), id, revoked ? '1' : null)
  }

  /** Tells Redis what waits, as far as it can be told now, and ends the connection. */
  async close(): Promise<void> {
    for (const stop of this.#stop) stop()
    await Promise.all([...this.#writers.values()].map((writer) => writer.flush(false)))
    this.store.close()
  }
}
