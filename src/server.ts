// `heddle serve`: configuration, workers, admin listener, signals. Knows no request.
// What serves is in server/worker.ts; what stays when the configuration changes is here.
// Contract: ServeOptions in cli/serve.ts
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { GuardOptions } from './admin/guard.ts'
import type { AdminListener, AdminState } from './admin/listener.ts'
import type { HeddleConfig, ProviderConfig } from './contracts/config.ts'
import type { ServeOptions } from './cli/serve.ts'
import type { ConfigWatcher } from './config/watch.ts'
import type { LoadedConfig } from './config/load.ts'
import type { Sim } from './sim/index.ts'
import { banner } from './cli/banner.ts'
import { isLoopback } from './config/loopback.ts'
import { maskedConfig } from './config/dump.ts'
import { ConfigError, formatProblem } from './config/problem.ts'
import { SIM_BASE_URL } from './config/sim-url.ts'
import { watchConfig } from './config/watch.ts'
import { systemClock } from './core/clock.ts'
import { logWriter } from './core/log-output.ts'
import { atMost, sleep } from './core/sleep.ts'
import { propagationOf } from './mesh/rules.ts'
import { PRESETS } from './providers/presets.ts'
import { HealthTable } from './routing/health.ts'
import { slotKeys } from './server/compile.ts'
import { accountControl, restoreChanges } from './server/account-control.ts'
import { Fleet } from './server/fleet.ts'
import type { Ports } from './server/messages.ts'
import { expectFree, hostInUrl, portTaken } from './server/addresses.ts'
import { fixedPart } from './server/fixed-part.ts'
import { SharedState } from './server/shared.ts'
import { loadFor } from './server/load-config.ts'
import { logLine } from './server/log.ts'
import { MetricRegistry, mergeSnapshots } from './telemetry/metrics.ts'

const HEALTH_SLOTS = 8192
/** The last log lines get this long to leave; a reader that has stopped does not hold up the end. */
const FLUSH_MS = 1000

export interface RunningServer {
  readonly url: string
  readonly tlsUrl: string | null
  readonly adminUrl: string
  /** Reads the configuration again now. Resolves with whether it was taken. */
  reload(): Promise<boolean>
  /** Drains and ends everything. Resolves with the number of requests that were cut. */
  stop(): Promise<number>
}

export interface ServeHooks {
  /** Obey SIGTERM, SIGINT and SIGHUP; default true. */
  readonly signals?: boolean
  /** No banner. */
  readonly quiet?: boolean
  /** The configuration, if it is being read already. */
  readonly loading?: Promise<LoadedConfig>
}

/** Starts everything; resolves when it listens. Throws ConfigError, or the system's error when a port is taken. */
export async function serve(options: ServeOptions = {}, hooks: ServeHooks = {}): Promise<RunningServer> {
  const server = new Server(options, await (hooks.loading ?? loadFor(options)))
  await server.start()
  // Before the banner: whoever has read it may already send one.
  if (hooks.signals !== false) server.watchSignals()
  if (hooks.quiet !== true) process.stdout.write(server.banner())
  return server
}

const version = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string })
  .version

class Server implements RunningServer, AdminState {
  readonly #options: ServeOptions
  #loaded: LoadedConfig
  readonly #workers: number
  readonly #health: HealthTable
  readonly #slots: Record<string, number> = {}
  readonly #metrics = new MetricRegistry()
  /** Both from the start of start() on. */
  #fleet!: Fleet
  #admin!: AdminListener
  readonly #shared: SharedState
  #sim: Sim | null = null
  #watcher: ConfigWatcher | null = null
  #ports: Ports = { plain: 0, tls: 0 }
  #adminPort = 0
  #ready = false
  #stopping: Promise<number> | null = null
  #reloading: Promise<boolean> = Promise.resolve(true)
  #lastError: string | null = null
  #loadedAt = systemClock.now()

  constructor(options: ServeOptions, loaded: LoadedConfig) {
    this.#options = options
    this.#loaded = loaded
    const { workers } = loaded.config.server
    this.#workers = workers === 'auto' ? availableParallelism() : workers
    this.#shared = new SharedState({
      workers: this.#workers,
      targets: HEALTH_SLOTS,
      log: (level, fields, message) => this.#log(level, fields, message),
    })
    // This thread begins no attempt: it only reads, all rows.
    this.#health = new HealthTable(HEALTH_SLOTS, systemClock.monotonic, { worker: 0, workers: this.#workers })
  }

  get #config(): HeddleConfig {
    return this.#loaded.config
  }

  #log(level: 'info' | 'warn' | 'error', fields: object, message: string): void {
    const line = logLine(this.#config.server.log.level, level, fields, message)
    if (line !== '') logWriter(this.#workers > 1).write(line)
  }

  /** A slot once given stays with its target for the life of the process. */
  #assignSlots(config: HeddleConfig): void {
    for (const key of slotKeys(config)) {
      if (this.#slots[key] !== undefined) continue
      const next = Object.keys(this.#slots).length
      if (next >= this.#health.capacity)
        throw new Error(`more than ${this.#health.capacity} targets since the start: restart to forget the old ones`)
      this.#slots[key] = next
    }
  }

  /** Listens, or throws with nothing left that would keep the process alive. */
  async start(): Promise<void> {
    try {
      await this.#start()
    } catch (error) {
      await Promise.allSettled([this.#fleet?.drain(0), this.#admin?.close(), this.#sim?.close()])
      throw portTaken(error)
    }
  }

  async #start(): Promise<void> {
    const { server, providers } = this.#config
    if (providers.some((p) => p.baseUrl === SIM_BASE_URL)) {
      const { startSim } = await import('./sim/index.ts')
      this.#sim = await startSim()
    }
    this.#assignSlots(this.#config)
    const workers = this.#workers
    if (workers > 1) {
      await expectFree(server.port, server.host)
      if (server.tls !== null) await expectFree(server.tls.port, server.host)
    }
    this.#fleet = new Fleet(
      {
        config: this.#config,
        slots: this.#slots,
        shared: await this.#shared.prepare(this.#config),
        health: this.#health.buffer,
        simUrl: this.#sim?.url ?? null,
        version,
        reusePort: workers > 1,
      },
      workers,
      (error, worker) => {
        this.#health.forget(worker)
        this.#shared.forget(worker)
        this.#log('error', { error: error.message }, 'worker lost, another takes its place')
      },
    )
    await restoreChanges(this.#fleet, this.#config.ledger.file)
    this.#ports = await this.#fleet.listen({ plain: server.port, tls: server.tls?.port ?? 0 })
    this.#registerMetrics()
    // Traffic is served already: what only operators need is loaded afterwards.
    const { AdminListener: Admin } = await import('./admin/listener.ts')
    this.#admin = new Admin(this)
    this.#adminPort = await this.#admin.listen(server.adminPort, server.adminHost)
    this.#ready = true
    await this.#watch()
  }

  #registerMetrics(): void {
    const m = this.#metrics
    const memory = m.gauge('process_resident_memory_bytes', 'Resident memory of the process.')
    const cpu = m.counter('process_cpu_seconds_total', 'User and system time of the process.')
    m.gauge('process_start_time_seconds', 'Start of the process, seconds since the epoch.').set(
      Math.round(performance.timeOrigin) / 1000,
    )
    m.gauge('heddle_build_info', 'Version of Heddle and of Node.', { version, node: process.versions.node }).set(1)
    const loadedAt = m.gauge(
      'heddle_config_last_load_timestamp_seconds',
      'When the configuration that serves was loaded.',
    )
    const stale = m.gauge('heddle_config_stale', '1 while a newer configuration could not be used.')
    m.onCollect(() => {
      memory.set(process.memoryUsage.rss())
      const { user, system } = process.cpuUsage()
      cpu.value = (user + system) / 1e6
      loadedAt.set(this.#loadedAt / 1000)
      stale.set(this.#lastError === null ? 0 : 1)
      this.#collectHealth()
    })
  }

  #collectHealth(): void {
    const now = systemClock.monotonic()
    for (const { target, health } of this.#targetHealth()) {
      this.#metrics.gauge('heddle_target_inflight', 'Attempts under way.', { target }).set(health.inflight)
      this.#metrics
        .gauge('heddle_target_ejected', '1 while the circuit of the target is open.', { target })
        .set(health.ejectedUntil > now ? 1 : 0)
      this.#metrics
        .gauge('heddle_target_latency_seconds', 'Peak moving average of the time to the first token.', { target })
        .set(health.latencyMs / 1000)
    }
  }

  #targetHealth(): { readonly target: string; readonly health: ReturnType<HealthTable['slot']> }[] {
    const { breaker } = this.#config.defaults
    const inUse = new Set(slotKeys(this.#config))
    return Object.entries(this.#slots)
      .filter(([key]) => inUse.has(key))
      .map(([key, slot]) => ({ target: key.slice(key.indexOf(' ') + 1), health: this.#health.slot(slot, breaker) }))
  }

  // ── configuration ─────────────────────────────────────────────────────────
  async #watch(): Promise<void> {
    const { config: source } = this.#options
    if (source === undefined) return
    this.#watcher = await watchConfig({
      source,
      files: this.#loaded.files,
      onChange: async () => void (await this.reload()),
      onError: (error) => this.#log('error', { error: String(error) }, 'watching the configuration failed'),
    })
  }

  reload(): Promise<boolean> {
    // One at a time, in order: a slow reload must not overtake a later one.
    this.#reloading = this.#reloading.then(() => this.#reloadNow())
    return this.#reloading
  }

  async #reloadNow(): Promise<boolean> {
    const outcome = (result: string): void =>
      void this.#metrics.counter('heddle_config_reloads_total', 'Reloads of the configuration by result.', { result })
        .value++
    // The watcher would find the same change again a second later.
    const read = await this.#watcher?.note()
    let loaded: LoadedConfig
    try {
      loaded = await loadFor(this.#options)
      this.#assignSlots(loaded.config)
      const shared = await this.#shared.prepare(loaded.config)
      await this.#fleet.apply({ config: loaded.config, slots: this.#slots, shared })
    } catch (error) {
      if (error instanceof ConfigError) read?.()
      this.#lastError = error instanceof ConfigError ? error.problems.map(formatProblem).join('\n') : String(error)
      this.#log(
        'error',
        { problems: this.#lastError.split('\n'), config: this.#config.hash },
        'configuration refused, the old one serves on',
      )
      outcome('refused')
      return false
    }
    this.#revive(loaded.config)
    if (fixedPart(loaded.config) !== fixedPart(this.#config))
      this.#log('warn', {}, 'changes below `server:` need a restart')
    const before = this.#config.hash
    this.#loaded = loaded
    this.#loadedAt = systemClock.now()
    this.#lastError = null
    read?.()
    await this.#watcher?.setFiles(loaded.files)
    this.#log('info', { config: loaded.config.hash, before }, 'configuration loaded')
    outcome('loaded')
    return true
  }

  /** Providers with a new key get their chance at once. */
  #revive(config: HeddleConfig): void {
    const proof = ({ apiKey, credentials }: ProviderConfig): string => JSON.stringify([apiKey, credentials])
    const old = new Map(this.#config.providers.map((p) => [p.name, proof(p)]))
    for (const provider of config.providers) {
      if (old.get(provider.name) === proof(provider)) continue
      for (const { target, health } of this.#targetHealth()) if (target.startsWith(`${provider.name}/`)) health.revive()
    }
  }

  // ── what the admin listener shows ─────────────────────────────────────────
  get ready(): boolean {
    return this.#ready && this.#stopping === null
  }

  state(): object {
    const now = systemClock.monotonic()
    const rest = (until: number): number => Math.max(0, Math.round(until - now))
    return {
      version,
      ready: this.ready,
      draining: this.#stopping !== null,
      workers: this.#fleet.size,
      config: {
        hash: this.#config.hash,
        source: this.#options.config ?? null,
        loaded_at: new Date(this.#loadedAt).toISOString(),
        last_error: this.#lastError,
      },
      targets: this.#targetHealth().map(({ target, health }) => ({
        target,
        inflight: health.inflight,
        latency_ms: Math.round(health.latencyMs),
        consecutive_failures: health.consecutiveFailures,
        ejections: health.ejections,
        ejected_ms: rest(health.ejectedUntil),
        busy_ms: rest(health.busyUntil),
        dead_ms: rest(health.deadUntil),
      })),
    }
  }

  config(): object {
    return maskedConfig(this.#config)
  }

  readonly accounts = accountControl(
    () => this.#fleet,
    () => this.#config,
  )

  get guard(): GuardOptions {
    const { adminToken, adminHost } = this.#config.server
    return { token: adminToken, loopback: isLoopback(adminHost) }
  }

  async metrics(): Promise<ReturnType<typeof mergeSnapshots>> {
    return mergeSnapshots([this.#metrics.snapshot(), ...(await this.#fleet.metrics())])
  }

  // ── life ──────────────────────────────────────────────────────────────────
  get url(): string {
    const { host } = this.#config.server
    return `http://${hostInUrl(host)}:${this.#ports.plain}`
  }

  get tlsUrl(): string | null {
    const { host, tls } = this.#config.server
    return tls === null ? null : `https://${hostInUrl(host)}:${this.#ports.tls}`
  }

  get adminUrl(): string {
    return `http://${hostInUrl(this.#config.server.adminHost)}:${this.#adminPort}`
  }

  banner(): string {
    return banner({
      version,
      config: this.#config,
      source: this.#options.config ?? null,
      url: this.url,
      tlsUrl: this.tlsUrl,
      adminUrl: this.adminUrl,
      presets: PRESETS,
      workers: this.#fleet.size,
    })
  }

  watchSignals(): void {
    const end = (): void => {
      // A second signal while draining: the operator will not wait.
      if (this.#stopping !== null) process.exit(1)
      this.stop().then(
        () => process.exit(0),
        () => process.exit(1),
      )
    }
    process.on('SIGTERM', end)
    process.on('SIGINT', end)
    process.on('SIGHUP', () => void this.reload())
  }

  stop(): Promise<number> {
    this.#stopping ??= this.#drain()
    return this.#stopping
  }

  async #drain(): Promise<number> {
    const { drain } = this.#config.server
    this.#log('info', { max_ms: drain.maxMs }, 'draining')
    this.#watcher?.close()
    await this.#fleet.beginDrain()
    const propagationMs = propagationOf(this.#config)
    if (propagationMs > 0) await sleep(propagationMs)
    const cut = await this.#fleet.drain(drain.maxMs)
    this.#shared.close()
    await this.#admin.close()
    await this.#sim?.close()
    this.#log(cut === 0 ? 'info' : 'warn', { cut }, 'stopped')
    await atMost(FLUSH_MS, logWriter(this.#workers > 1).flush())
    return cut
  }
}
