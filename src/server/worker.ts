import type { MessagePort } from 'node:worker_threads'
import type { HeddleConfig } from '../contracts/config.ts'
import type { PolicyServiceConfig } from '../contracts/config-policy.ts'
import type { Gate } from '../http/request-handler.ts'
import type { Services } from '../pipeline/services.ts'
import type { Snapshot } from '../pipeline/snapshot.ts'
import type { FamilySnapshot } from '../telemetry/metrics.ts'
import type { TelemetryLink } from '../telemetry/otlp/link.ts'
import { GatewayError } from '../core/errors.ts'
import { systemClock, systemRandom } from '../core/clock.ts'
import { atMost, sleep } from '../core/sleep.ts'
import type { LineWriter } from '../core/line-writer.ts'
import { logWriter } from '../core/log-output.ts'
import { TimerWheel } from '../core/wheel.ts'
import { DataListener } from '../http/data-listener.ts'
import { peerFromCertificate } from '../auth/peer.ts'
import { TlsListener } from '../http/tls-listener.ts'
import { CredentialShare } from '../providers/credentials/index.ts'
import { RequestHandler } from '../http/request-handler.ts'
import { keepAliveOf, kindOf } from '../mesh/rules.ts'
import { hedgeBudget } from '../pipeline/hedge-budget.ts'
import { RealtimeMeter } from '../pipeline/realtime/meter.ts'
import { RequestTelemetry } from '../pipeline/telemetry.ts'
import { HealthTable, type WorkerPlace } from '../routing/health.ts'
import { MetricRegistry } from '../telemetry/metrics.ts'
import type { Control, Feed, Ports } from './messages.ts'
import { Feeds } from './feeds.ts'
import type { LoadReport } from './load-report.ts'
import type { SharedMemory } from './shared.ts'
import { PolicyKit } from './policies.ts'
import { compileSnapshot } from './compile.ts'
import { logLine } from './log.ts'
import { showWorker, watchLoopDelay } from './loop-delay.ts'
import type { McpPlace } from './mcp-place.ts'
import type { PolicyService } from './policy-service.ts'
import { Flag, Flags, whyUnready } from './readiness.ts'
import { svidSource } from './svid-source.ts'
import { UpstreamPool } from './upstream-pool.ts'

export interface WorkerInit extends ConfigUpdate {
  readonly health: SharedArrayBuffer
  readonly place: WorkerPlace
  readonly simUrl: string | null
  readonly version: string
  readonly reusePort: boolean
  /** Of readiness.ts, of all threads. */
  readonly flags: SharedArrayBuffer
  /** How spans reach the thread that exports them; null = they are not exported. */
  readonly telemetry: TelemetryLink | null
  /** To what the main thread keeps for clients to come back for. */
  readonly blobs: MessagePort | null
  /** What the main thread has found out so far. */
  readonly feeds: readonly Feed[]
}

export interface ConfigUpdate {
  readonly config: HeddleConfig
  readonly slots: Readonly<Record<string, number>>
  readonly shared: SharedMemory
}

/** Tokens of providers that are asked for the first time are waited for, at most. */
const CREDENTIALS_MS = 2000
/** What is written last gets this long to leave. */
const FLUSH_MS = 1000
/** Spans and the like get this long. */
const TELEMETRY_MS = 4000

/** Everything that serves requests in one thread. */
export class Worker implements Gate {
  readonly #init: WorkerInit
  readonly #health: HealthTable
  readonly #metrics = new MetricRegistry()
  readonly #log: LineWriter
  readonly #listener: DataListener
  readonly #tls: TlsListener | null
  readonly #policies: PolicyKit
  readonly #credentials: CredentialShare
  readonly #handler: RequestHandler
  readonly #telemetry: RequestTelemetry
  readonly #services: Services
  /** From listen() on. null = not configured. */
  #policy: PolicyService | null = null
  /** From the first configuration on that has one. null = none had. */
  #mcp: McpPlace | null = null
  /** From listen() on, or when that was told to hold, from the first commit() on. */
  #snapshot: Snapshot | null = null
  #slots: ConfigUpdate['slots']
  #prepared: Snapshot | null = null
  #inflight = 0
  /** Made when a configuration first wants it told. */
  #load: LoadReport | null = null
  readonly #loopDelayMs = watchLoopDelay()
  readonly #flags: Flags
  readonly #feeds = new Feeds()
  readonly #identity = svidSource(this.#feeds)
  readonly #pool = new UpstreamPool(this.#identity)
  #refusing = false
  #onIdle: (() => void) | null = null
  /** Called when this thread serves nobody any more: what telemetry still holds leaves. */
  readonly flushes: (() => Promise<unknown>)[] = []

  constructor(init: WorkerInit) {
    this.#init = init
    this.#slots = init.slots
    for (const feed of init.feeds) this.#feeds.take(feed)
    this.#flags = new Flags(init.flags)
    const { server } = init.config
    this.#log = logWriter(init.reusePort)
    this.#health = new HealthTable(init.health, systemClock.monotonic, init.place)
    hedgeBudget.workers = init.place.workers
    this.#telemetry = new RequestTelemetry(this.#metrics, server.log.access ? this.#log : null, systemClock.now)
    const wheel = new TimerWheel()
    const log: Services['log'] = (level, fields, message) =>
      this.#log.write(logLine(server.log.level, level, fields, message))
    this.#credentials = new CredentialShare({ clock: systemClock, log })
    this.#policies = new PolicyKit({
      place: init.place,
      clock: systemClock,
      metrics: this.#metrics,
      log,
      version: init.version,
      wheel,
      telemetry: init.telemetry,
      blobs: init.blobs,
      inflight: (change) => this.#countInflight(change),
      services: () => this.#services,
    })
    const current = (): Snapshot => this.#snapshot!
    this.#services = {
      clock: systemClock,
      random: systemRandom,
      wheel,
      telemetry: this.#telemetry,
      limits: server.limits,
      loop: this,
      current,
      log,
    }
    this.#handler = new RequestHandler({
      services: this.#services,
      limits: server.limits,
      gate: this,
      authz: () => this.#policy?.authz ?? null,
      side: () => this.#mcp?.side(this.#snapshot) ?? null,
      meter: () => new RealtimeMeter(this.#metrics),
      refused: (error) => this.#countRefused(error),
      inflight: (change) => this.#countInflight(change),
    })
    this.#listener = new DataListener({
      limits: server.limits,
      keepAliveMs: keepAliveOf(init.config),
      wheel,
      handle: this.#handler.handle,
      upgrade: this.#handler.upgrade,
      onClientError: (error) => this.#countRefused(error),
    })
    this.#tls =
      server.tls === null
        ? null
        : new TlsListener({
            config: server.tls,
            handshakeMs: server.limits.headerTimeoutMs,
            peer: peerFromCertificate,
            identity: this.#identity,
            accept: (socket) => this.#listener.accept(socket),
          })
    this.#metrics.onCollect(() => this.#telemetry.inflight.set(this.#inflight))
    showWorker(this.#metrics, {
      loopDelayMs: this.#loopDelayMs,
      logLinesDropped: () => this.#log.dropped,
      recordsDropped: () => this.#policies.recordsDropped,
    })
  }

  /** late: requests are turned away until it is done. */
  async #compile(update: ConfigUpdate, late = false): Promise<Snapshot> {
    const { simUrl, version, place } = this.#init
    const { clusters } = update.shared
    if (update.config.mesh.orca && this.#load === null) {
      const { LoadReport } = await import('./load-report.ts')
      this.#load = new LoadReport(this.#init.config.server.shed.maxInflight)
    }
    // Loaded by those who have several addresses behind a provider.
    const kit = Object.keys(clusters).length === 0 ? null : (await import('./clusters.ts')).ClusterKit
    const mcp = update.config.mcp === null ? null : await this.#openMcp(update.shared.mcpSeed!)
    const snapshot = compileSnapshot(update.config, {
      credentials: this.#credentials,
      policies: await this.#policies.compile(update, late),
      pool: this.#pool,
      clusters: kit === null ? null : new kit({ feeds: this.#feeds, memory: clusters, place }),
      health: this.#health,
      slots: update.slots,
      simUrl,
      version,
      now: systemClock.now(),
      ...(mcp === null ? {} : { also: mcp.compiler(update) }),
    })
    // Or the first requests would meet a token that is still on its way.
    await atMost(CREDENTIALS_MS, this.#credentials.settled())
    return snapshot
  }

  async #openMcp(seed: string): Promise<McpPlace> {
    const { McpPlace: Place } = await import('./mcp-place.ts')
    const { place, version } = this.#init
    const parts = { services: this.#services, metrics: this.#metrics, workers: place.workers, version }
    return (this.#mcp ??= new Place(parts, seed))
  }

  loadReport(format: string | undefined): string | null {
    return this.#load?.header(this.#inflight, format) ?? null
  }

  #countRefused(error: GatewayError): void {
    this.#load?.countRefused()
    this.#metrics.counter(
      'heddle_refused_requests_total',
      'Requests refused before they were read: overload, limits, broken HTTP.',
      { code: error.code },
    ).value++
  }

  #countInflight(change: number): void {
    this.#inflight += change
    if (change > 0) this.#load?.count()
    if (this.#inflight === 0) this.#onIdle?.()
  }

  // ── gate ──────────────────────────────────────────────────────────────────
  get draining(): boolean {
    return this.#flags.has(Flag.draining)
  }

  get starting(): boolean {
    return this.#snapshot === null
  }

  refusal(): GatewayError | null {
    if (this.#refusing) return new GatewayError('draining', 'This instance is shutting down.', { retryAfterMs: 1000 })
    if (this.#snapshot !== null) return null
    return new GatewayError('overloaded', 'This instance is starting.', {
      retryAfterMs: 1000,
      detail: 'the proxy of the mesh is not ready',
    })
  }

  unready(): readonly string[] {
    const { config } = this.#snapshot ?? this.#init
    const targets = { health: this.#health, slots: this.#slots }
    return whyUnready(this.#flags, config, targets, systemClock.monotonic(), false)
  }

  config(): ReturnType<Gate['config']> {
    const snapshot = this.#snapshot
    return {
      hash: (snapshot ?? this.#init).config.hash,
      loaded_at: snapshot === null ? null : new Date(snapshot.loadedAt).toISOString(),
      stale: this.#flags.has(Flag.stale),
      mesh: kindOf((snapshot ?? this.#init).config),
    }
  }

  overload(): string | null {
    const { maxInflight, maxLoopDelayMs } = this.#init.config.server.shed
    if (this.#inflight >= maxInflight) return `${this.#inflight} requests in flight`
    if (maxLoopDelayMs > 0 && this.#loopDelayMs() > maxLoopDelayMs)
      return `event-loop delay ${Math.round(this.#loopDelayMs())} ms`
    return null
  }

  // ── life ──────────────────────────────────────────────────────────────────
  /** Resolves with the ports. hold: see Fleet.listen. */
  async listen(ports: Ports, hold = false): Promise<Ports> {
    if (!hold) this.#snapshot = await this.#compile(this.#init)
    const { host, policy } = this.#init.config.server
    const { reusePort } = this.#init
    const { plain, tls } = ports
    if (policy !== null) await this.#openPolicy(policy)
    return {
      plain: await this.#listener.listen(plain, host, reusePort),
      tls: this.#tls === null ? 0 : await this.#tls.listen(tls, host, reusePort),
      ...((await this.#policy?.listen(ports)) ?? { policy: 0, pickers: [] }),
    }
  }

  async #openPolicy(config: PolicyServiceConfig): Promise<void> {
    const { PolicyService: Service } = await import('./policy-service.ts')
    const { reusePort, place } = this.#init
    this.#policy = new Service({
      config,
      tls: this.#init.config.server.tls,
      identity: this.#identity,
      services: this.#services,
      gate: this,
      metrics: this.#metrics,
      place,
      reusePort,
      inflight: (change) => this.#countInflight(change),
    })
    await this.#policy.open()
  }

  /** Compiles a new configuration without using it. Throws when it cannot be used; the old one serves on. */
  async prepare(update: ConfigUpdate): Promise<void> {
    this.#prepared?.release()
    this.#prepared = null
    this.#prepared = await this.#compile(update, this.#snapshot === null)
    // Slots are only ever added.
    this.#slots = update.slots
  }

  /** Uses what was prepared, for requests from now on. */
  commit(): void {
    if (this.#prepared === null) return
    const old = this.#snapshot
    this.#snapshot = this.#prepared
    this.#prepared = null
    old?.release()
    // What is open for long would go on by rules that hold no more.
    if (old !== null) this.#mcp?.drain()
    const { tls } = this.#snapshot.config.server
    // Its address needs a restart, its certificates do not.
    if (this.#tls !== null && tls !== null) this.#tls.update(tls)
    if (tls !== null) this.#policy?.update(tls)
  }

  discard(): void {
    this.#prepared?.release()
    this.#prepared = null
  }

  /** What the main thread watches has changed. */
  feed(feed: Feed): void {
    this.#feeds.take(feed)
  }

  /** What operators ask of limits and keys. */
  async control(control: Control): Promise<unknown> {
    return this.#policies.control(control)
  }

  metrics(): FamilySnapshot[] {
    return this.#metrics.snapshot()
  }

  /** Answers from now on say that the connection ends; nothing is refused yet. */
  beginDrain(): void {
    this.#flags.set(Flag.draining, true)
    this.#listener.beginEnd()
    this.#mcp?.drain()
  }

  /**
   * Refuses new requests and waits for the others, at most maxMs; what is open then ends with an error. Resolves with
   * the number of requests that had to be ended.
   */
  async drain(maxMs: number): Promise<number> {
    this.beginDrain()
    this.#refusing = true
    this.#policy?.drain(maxMs)
    await this.#idle(maxMs)
    const cut = this.#inflight
    if (cut > 0) {
      const end = 'This instance shut down before the answer was complete.'
      const error = new GatewayError('draining', end, { retryAfterMs: 1000 })
      this.#handler.failOpen(error)
      this.#policy?.failOpen(error)
      this.#policies.state.failOpen(error)
      await this.#idle(FLUSH_MS)
    }
    this.#tls?.close()
    this.#policy?.close()
    const closed = this.#listener.close()
    if (this.#inflight > 0) this.#listener.destroy()
    // The last answers are on their way: their sockets get a moment, then nothing more is waited for.
    await Promise.race([closed, sleep(FLUSH_MS, false)])
    this.#listener.destroy()
    await atMost(TELEMETRY_MS, Promise.allSettled(this.flushes.map((flush) => flush())))
    await atMost(FLUSH_MS, Promise.all([this.#policies.end(), this.#log.flush()]))
    return cut
  }

  /** Resolves when no request is open, or after maxMs. */
  async #idle(maxMs: number): Promise<void> {
    if (this.#inflight === 0) return
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve
    })
    await atMost(maxMs, idle)
    this.#onIdle = null
  }
}
