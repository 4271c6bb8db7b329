import { randomFillSync } from 'node:crypto'
import type { JsonObject } from '../../contracts/canonical.ts'
import type { CacheConfig, RouteCache } from '../../contracts/config-cache.ts'
import type { HeaderList } from '../../contracts/http.ts'
import type { Entry } from '../../cache/entry.ts'
import type { CacheKey } from '../../cache/key.ts'
import type { TextVector } from '../../contracts/semantic.ts'
import type { Look, Scope, SemanticTier } from '../../cache/semantic.ts'
import type { Exchange } from '../exchange.ts'
import type { AnswerCaching } from '../policies.ts'
import { asksAboutNow, MAX_REQUEST_BYTES, mayBeCached, whyNot } from '../../cache/eligible.ts'
import { keyOf } from '../../cache/key.ts'
import { addExchangeHeaders } from '../client-headers.ts'
import { addCost } from '../headers.ts'
import { Clients } from '../join.ts'
import { cacheControl } from './control.ts'
import { PacedReplay, streamOf } from './replay.ts'
import { CacheRun, type CacheStatus, type RunOwner } from './run.ts'
import { takeAnswer } from './take.ts'
import { scopeOf, whereOf } from './where.ts'

/** Where answers are. */
export interface AnswerStore {
  /** At once where it is in memory. now: epoch ms. */
  get(key: string, now: number): Entry | null
  /** vector: of its question, where that is known. False = it is too large to be kept. */
  put(entry: Entry, vector: TextVector | null): boolean
  /** Finds answers by what is asked; null = nothing does. */
  readonly semantic: Pick<SemanticTier, 'look' | 'learn'> | null
  /** null = there is nowhere else. */
  readonly tier: object | null
  /** Elsewhere. Never rejects; null = it is not there, or not in time. */
  fetch(key: string): Promise<Entry | null>
}

/** What is counted. */
export interface CacheMeter {
  request(route: string, status: CacheStatus, reason: string): void
  /** An answer that nobody had to make again. */
  saved(route: string, nanoUsd: number): void
  /** An answer was not kept. */
  refused(route: string, reason: string): void
  /** An answer showed whether somebody else's would have been right. shadow: it would have been served. */
  learnt(route: string, wrong: boolean, shadow: boolean): void
}

export interface AnswersParts {
  readonly config: CacheConfig
  readonly store: AnswerStore
  readonly meter: CacheMeter
}

/** Headers of an answer that are the first caller's own. */
const OWN =
  /^(?:x-request-id|request-id|x-ratelimit-|anthropic-ratelimit-|x-heddle-(?:cost|explain|cache)|server-timing$)/

/** Keeps answers of one configuration, and serves them again. One a worker. */
export class Answers implements AnswerCaching, RunOwner {
  readonly #config: CacheConfig
  readonly #store: AnswerStore
  readonly #meter: CacheMeter
  /** Requests whose answer others may wait for, by what they ask. */
  readonly #flights = new Map<string, Exchange>()

  constructor({ config, store, meter }: AnswersParts) {
    this.#config = config
    this.#store = store
    this.#meter = meter
  }

  begin(x: Exchange): boolean | Promise<boolean> {
    const rules = x.match!.route.cache!
    if (!mayBeCached(x.operation) || x.fields === null || x.own !== null || x.counting || x.door?.decide) return false
    const control = cacheControl(x.received, this.#config.clientControl)
    const bypass = (reason: string): false => {
      x.cache = new CacheRun(this, 'bypass', rules, control)
      x.cache.reason = reason
      return false
    }
    if (control.noStore) return bypass('no_store')
    if (x.fields.body.length > MAX_REQUEST_BYTES) return bypass('too_large')
    const sent = x.fields.json as JsonObject
    const reason = whyNot(x.operation, sent, rules.maxTemperature)
    if (reason !== '') return bypass(reason)
    const scope = scopeOf(rules.scope, x.principal, x.snapshot.policies.auth !== null)
    if (scope === null) return bypass('scope')
    const key = keyOf(whereOf(x, scope), x.operation, sent)
    return this.#look(x, rules, control, key)
  }

  #look(x: Exchange, rules: RouteCache, control: CacheRun['control'], key: CacheKey): boolean | Promise<boolean> {
    if (!control.fresh) {
      const now = x.services.clock.now()
      const entry = this.#store.get(key.exact, now)
      if (entry !== null && now - entry.createdAt <= control.maxAgeMs && this.#serve(x, entry, 'hit', rules, control))
        return true
    }
    if (control.fresh || this.#leaderOf(x, control, key) !== undefined) return this.#ask(x, rules, control, key)
    if (this.#store.tier === null) return this.#findLike(x, rules, control, key)
    const since = x.services.clock.monotonic()
    return this.#store.fetch(key.exact).then((entry) => {
      if (x.over) return true
      const age = entry === null ? Infinity : x.services.clock.now() - entry.createdAt
      if (entry !== null && age <= control.maxAgeMs && this.#serve(x, entry, 'hit', rules, control)) return true
      return this.#findLike(x, rules, control, key, x.services.clock.monotonic() - since)
    })
  }

  /** Nobody has asked the same; somebody may have asked for the same. waitedMs: for other replicas. */
  #findLike(
    x: Exchange,
    rules: RouteCache,
    control: CacheRun['control'],
    key: CacheKey,
    waitedMs = 0,
  ): boolean | Promise<boolean> {
    const { semantic } = this.#store
    const { question } = key
    if (rules.mode === 'exact' || semantic === null || question === null) return this.#ask(x, rules, control, key)
    if (rules.ttlMs > rules.timeWordsTtlMs && asksAboutNow(question)) return this.#ask(x, rules, control, key)
    const asked = {
      text: question,
      partition: key.partition,
      scope: scopeFor(x, rules),
      principal: x.principal.keyId,
      strangers: rules.scope === 'org',
      waitedMs,
    }
    const found = semantic.look(asked, x.services.clock.now())
    return found instanceof Promise
      ? found.then((look) => x.over || this.#judge(x, rules, control, key, look))
      : this.#judge(x, rules, control, key, found)
  }

  #judge(x: Exchange, rules: RouteCache, control: CacheRun['control'], key: CacheKey, look: Look): boolean {
    const { entry, action } = look
    if (entry !== null && action === 'hit' && rules.mode === 'semantic') {
      const fits = x.services.clock.now() - entry.createdAt <= control.maxAgeMs
      if (fits && this.#serve(x, entry, 'semantic', rules, control, look)) return true
    }
    return this.#ask(x, rules, control, key, look)
  }

  /** Who is being answered the same; undefined = nobody, or not from the beginning any more. */
  #leaderOf(x: Exchange, control: CacheRun['control'], key: CacheKey): Exchange | undefined {
    if (!this.#config.singleFlight || control.fresh) return undefined
    const leader = this.#flights.get(flightOf(x, key))
    return leader?.clients?.writer.canJoin === true ? leader : undefined
  }

  /** A backend is asked, unless one is being asked the same already. True = it is. */
  #ask(x: Exchange, rules: RouteCache, control: CacheRun['control'], key: CacheKey, look: Look | null = null): boolean {
    const flight = this.#config.singleFlight && !control.fresh ? flightOf(x, key) : ''
    const leader = this.#leaderOf(x, control, key)
    if (leader !== undefined) {
      x.cache = new CacheRun(this, 'coalesced', rules, control, key, flight)
      leader.clients!.add(x, (headers) => this.#dress(x, headers), true)
      return true
    }
    x.cache = new CacheRun(this, 'miss', rules, control, key, flight)
    x.cache.look = look
    if (x.stream) readAhead(x)
    const clients = new Clients(x, this.#config.maxEntryBytes)
    if (flight !== '') {
      this.#flights.set(flight, x)
      clients.onHandOver = (next) => this.#handOver(flight, next)
    }
    return false
  }

  #handOver(flight: string, next: Exchange): void {
    const { rules, control, key } = next.cache!
    next.cache = new CacheRun(this, 'miss', rules, control, key, flight)
    this.#flights.set(flight, next)
  }

  /** The head of somebody else's answer, as this caller gets it. */
  #dress(x: Exchange, headers: HeaderList): HeaderList {
    const own: HeaderList = ['x-request-id', x.id]
    for (let i = 0; i < headers.length; i += 2) if (!OWN.test(headers[i]!)) own.push(headers[i]!, headers[i + 1]!)
    x.account.lease?.addHeaders(own)
    addExchangeHeaders(own, x)
    return own
  }

  /** False = it cannot be told in the form that is asked for. look: of a semantic hit. */
  #serve(
    x: Exchange,
    entry: Entry,
    status: CacheStatus,
    rules: RouteCache,
    control: CacheRun['control'],
    look: Look | null = null,
  ): boolean {
    const run = new CacheRun(this, status, rules, control)
    let pieces: readonly (string | Buffer)[] | null = null
    if (x.stream) {
      try {
        pieces = streamOf(x, entry.body)
      } catch {
        return false
      }
    }
    run.entry = entry.id
    if (look !== null) {
      run.similarity = look.cosine
      run.confidence = 1 - look.wrong
    }
    run.ageMs = x.services.clock.now() - entry.createdAt
    run.savedNanoUsd = entry.nanoUsd
    x.cache = run
    x.status = 200
    x.firstByteMs = x.services.clock.monotonic() - x.received.startedAt
    const headers = this.#headers(x, entry)
    if (pieces === null) {
      x.writer.send(200, headers, entry.body)
      x.replied(200, entry.body.length)
    } else if (rules.tokensPerSecond > 0) {
      x.writer.head(200, headers)
      new PacedReplay(x, pieces, rules.tokensPerSecond).start()
    } else {
      const whole = Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)))
      x.writer.send(200, headers, whole)
      x.replied(200, whole.length)
    }
    return true
  }

  #headers(x: Exchange, entry: Entry): HeaderList {
    const type = x.stream ? x.translation.client.streamType : 'application/json'
    const headers: HeaderList = ['x-request-id', x.id, 'x-heddle-target', entry.target, 'content-type', type]
    if (entry.simulated) headers.push('x-heddle-simulated', 'true')
    if (x.stream) headers.push('cache-control', 'no-cache', 'x-accel-buffering', 'no')
    x.account.lease?.addHeaders(headers)
    if (x.snapshot.config.usage.costHeader) addCost(headers, x.account)
    addExchangeHeaders(headers, x)
    return headers
  }

  /** A request is over: what it got may be for others. */
  ended(x: Exchange, run: CacheRun): void {
    const route = x.match!.route.name
    const isLeader = run.flight !== '' && this.#flights.get(run.flight) === x
    if (isLeader) this.#flights.delete(run.flight)
    this.#meter.request(route, run.status, run.reason)
    if (run.status === 'hit' || run.status === 'semantic') this.#meter.saved(route, run.savedNanoUsd)
    if (run.status !== 'miss' || x.error !== null || x.status !== 200) return
    const reason = this.#keep(x, run)
    if (reason !== '') this.#meter.refused(route, reason)
  }

  /** What the backend says shows whether the answer that was found would have been right. */
  #learn(x: Exchange, look: Look, text: string, { mode }: RouteCache): void {
    const wrong = this.#store.semantic?.learn(look, text) ?? null
    if (wrong !== null) this.#meter.learnt(x.match!.route.name, wrong, mode === 'shadow' && look.action === 'hit')
  }

  #keep(x: Exchange, { key, rules, control, look }: CacheRun): string {
    const whole = x.clients?.writer.whole ?? null
    if (whole === null || whole.bytes > this.#config.maxEntryBytes) return 'too_large'
    const taken = takeAnswer(x, whole)
    if ('refused' in taken) return taken.refused
    if (look !== null) this.#learn(x, look, taken.text, rules)
    const now = x.services.clock.now()
    const entry: Entry = {
      id: newId(),
      key: key!.exact,
      partition: key!.partition,
      question: key!.question,
      scope: look?.scope ?? '',
      body: taken.body,
      text: taken.text,
      usage: x.usage,
      nanoUsd: x.account.nanoUsd,
      target: x.answeredBy?.headerName ?? '',
      simulated: x.answeredBy?.provider.config.type === 'sim',
      model: x.match!.route.name,
      tenant: x.principal.tenant,
      principal: x.principal.keyId,
      tags: control.tags,
      createdAt: now,
      expiresAt: now + rules.ttlMs,
    }
    return this.#store.put(entry, look?.vector ?? null) ? '' : 'too_large'
  }
}

const ID_BYTES = 9
/** Many at a time: the call costs more than the bytes. */
const random = Buffer.alloc(ID_BYTES * 500)
let used = random.length

function newId(): string {
  if (used === random.length) {
    randomFillSync(random)
    used = 0
  }
  used += ID_BYTES
  return random.toString('base64url', used - ID_BYTES, used)
}

/** Errors are counted by tenant and model, apart for each promise. */
function scopeFor({ principal: { tenant }, match }: Exchange, { mode, bound }: RouteCache): Scope {
  const model = match!.route.name
  return { key: JSON.stringify([tenant, model, mode, bound]), tenant, model, bound }
}

/** A stream is kept as one answer, for which its request must have been read while its body is there. */
function readAhead(x: Exchange): void {
  try {
    void x.translation
  } catch {
    // Its backend may understand what nobody here does: the answer passes, and is not kept.
  }
}

/** Those who want the answer in the same form wait for one. Some backends' bytes pass packed, as their client takes them. */
function flightOf({ received, fields, stream }: Exchange, { exact }: CacheKey): string {
  const form = !stream
    ? 'whole'
    : fields!.streamOptionsStart < 0
      ? 'stream'
      : JSON.stringify(fields!.json['stream_options'])
  return `${exact} ${form} ${received.header('accept-encoding') ?? ''}`
}
