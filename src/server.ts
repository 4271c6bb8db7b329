// `heddle serve`: configuration, workers, admin listener, signals. Knows no request.
// What serves is in server/worker.ts; what stays when the configuration changes is here.
// Contract: ServeOptions in cli/serve.ts
import { availableParallelism } from 'node:os'
import type { GuardOptions } from './admin/guard.ts'
import type { AdminListener, AdminState } from './admin/listener.ts'
import type { HeddleConfig } from './contracts/config.ts'
import type { ServeOptions } from './cli/serve.ts'
import type { ConfigWatcher } from './config/watch.ts'
import type { LoadedConfig } from './config/load.ts'
import type { Sim } from './sim/index.ts'
import { banner } from './cli/banner.ts'
import { isLoopback } from './core/loopback.ts'
import { maskedConfig } from './config/dump.ts'
import { ConfigError, formatProblem } from './config/problem.ts'
import { SIM_BASE_URL } from './config/sim-url.ts'
import { watchConfig } from './config/watch.ts'
import { systemClock, systemRandom } from './core/clock.ts'
import { logWriter } from './core/log-output.ts'
import { atMost, sleep } from './core/sleep.ts'
import { propagationOf } from './mesh/rules.ts'
import { PRESETS } from './providers/presets.ts'
import { restoreChanges } from './server/account-control.ts'
import { adminControls } from './server/admin-controls.ts'
import { Fleet } from './server/fleet.ts'
import { warnOfFrozen } from './server/frozen.ts'
import { ClusterPlace } from './server/cluster-place.ts'
import { HealthView } from './server/health-view.ts'
import { MeshPlace } from './server/mesh-place.ts'
import { processMetrics } from './server/process-metrics.ts'
import { Flag, Flags, whyUnready } from './server/readiness.ts'
import { feedKey, NO_PORTS, type Ports } from './server/messages.ts'
import type { ConfigUpdate } from './server/worker.ts'
import { expectFree, hostInUrl, portTaken, wantedPorts } from './server/addresses.ts'
import { fixedPart } from './server/fixed-part.ts'
import { SharedState } from './server/shared.ts'
import { SvidPlace } from './server/svid-place.ts'
import type { RunningServer, ServeHooks } from './server/running.ts'
import { obeySignals } from './server/signals.ts'
import { describeState } from './server/state.ts'
import { loadFor } from './server/load-config.ts'
import { logLine } from './server/log.ts'
import { startTelemetry } from './server/start-telemetry.ts'
import { version } from './server/version.ts'
import { MetricRegistry, mergeSnapshots } from './telemetry/metrics.ts'

/** The last log lines get this long to leave; a reader that has stopped does not hold up the end. */
const FLUSH_MS = 1000
/** Spans and the like get this long. */
const TELEMETRY_MS = 4000

/** Starts everything; resolves when it listens. Throws ConfigError, or the system's error when a port is taken. */
export async function serve(options: ServeOptions = {}, hooks: ServeHooks = {}): Promise<RunningServer> {
  const starting = (hooks.loading ?? loadFor(options)).then((loaded) => new Server(options, loaded).start())
  // Before it serves anybody: a signal that nobody awaits would cut the first requests, and is lost on process 1.
  if (hooks.signals !== false) obeySignals(starting)
  const server = await starting
  if (hooks.quiet !== true) process.stdout.write(server.banner())
  return server
}

class Server implements RunningServer, AdminState {
  readonly #options: ServeOptions
  #loaded: LoadedConfig
  readonly #workers: number
  readonly #health: HealthView
  readonly #flags = new Flags()
  readonly #metrics = new MetricRegistry()
  /** Both from the start of start() on. */
  #fleet!: Fleet
  #admin!: AdminListener
  readonly #shared: SharedState
  readonly #clusters: ClusterPlace
  readonly #svid: SvidPlace
  #sim: Sim | null = null
  #watcher: ConfigWatcher | null = null
  #ports: Ports = NO_PORTS
  #adminPort = 0
  /** From the start of start() on. */
  #mesh!: MeshPlace
  #stopping: Promise<number> | null = null
  #reloading: Promise<boolean> = Promise.resolve(true)
  #lastError: string | null = null
  #loadedAt = systemClock.now()

  /** Called when nothing serves any more: what telemetry still holds leaves. */
  readonly flushes: (() => Promise<unknown>)[] = []

  constructor(options: ServeOptions, loaded: LoadedConfig) {
    this.#options = options
    this.#loaded = loaded
    const { workers } = loaded.config.server
    this.#workers = workers === 'auto' ? availableParallelism() : workers
    this.#shared = new SharedState({
      workers: this.#workers,
      targets: HealthView.capacity,
      log: (level, fields, message) => this.#log(level, fields, message),
    })
    this.#health = new HealthView(this.#workers)
    this.#clusters = new ClusterPlace({
      discovery: { clock: systemClock, random: systemRandom, version },
      workers: this.#workers,
      metrics: this.#metrics,
      log: (...line) => this.#log(...line),
      // Before there are workers they begin with what is known.
      publish: (feed) => void this.#fleet?.publish(feed).catch(() => {}),
      unpublish: (feed) => this.#fleet?.unpublish(feedKey(feed)),
    })
    this.#svid = new SvidPlace({
      flags: this.#flags,
      metrics: this.#metrics,
      log: (...line) => this.#log(...line),
      // Before there are workers they begin with it. One that is stuck is not waited for.
      publish: (svid) => void this.#fleet?.publish({ kind: 'svid', svid }).catch(() => {}),
    })
  }

  get #config(): HeddleConfig {
    return this.#loaded.config
  }

  #log(level: 'info' | 'warn' | 'error', fields: object, message: string): void {
    const line = logLine(this.#config.server.log.level, level, fields, message)
    if (line !== '') logWriter(this.#workers > 1).write(line)
  }

  /** Listens, or throws with nothing left that would keep the process alive. */
  async start(): Promise<this> {
    try {
      await this.#start()
      return this
    } catch (error) {
      this.#svid.stop()
      this.#clusters.close()
      await Promise.allSettled([this.#fleet?.drain(0), this.#admin?.close(), this.#sim?.close()])
      await Promise.allSettled(this.flushes.map((flush) => flush()))
      throw portTaken(error)
    }
  }

  async #start(): Promise<void> {
    this.#mesh = await MeshPlace.find(this.#config, this.#flags, process.env)
    await this.#settle()
    const { server, providers } = this.#config
    if (providers.some((p) => p.baseUrl === SIM_BASE_URL)) {
      const { startSim } = await import('./sim/index.ts')
      this.#sim = await startSim()
    }
    await this.#svid.use(this.#config)
    this.#health.assign(this.#config)
    const workers = this.#workers
    if (workers > 1) {
      await expectFree(server.port, server.host)
      if (server.tls !== null) await expectFree(server.tls.port, server.host)
    }
    const telemetry = await startTelemetry(this.#config, version, (...line) => this.#log(...line))
    if (telemetry !== null) {
      telemetry.register(this.#metrics)
      telemetry.exportMetrics(() => this.metrics())
      this.flushes.push(() => telemetry.close(TELEMETRY_MS))
    }
    const hold = this.#mesh.mustWait(this.#config) || this.#svid.mustWait
    this.#fleet = new Fleet(
      {
        ...(await this.#update(this.#config, !hold)),
        health: this.#health.health.buffer,
        flags: this.#flags.buffer,
        simUrl: this.#sim?.url ?? null,
        version,
        reusePort: workers > 1,
        telemetry: telemetry === null ? null : () => telemetry.link(),
        blobs: () => this.#shared.blobs.link(),
        feeds: [
          ...(this.#svid.svid === null ? [] : [{ kind: 'svid', svid: this.#svid.svid } as const]),
          ...this.#clusters.feeds,
        ],
      },
      workers,
      (error, worker) => {
        this.#health.health.forget(worker)
        this.#shared.forget(worker)
        this.#clusters.forget(worker)
        this.#log('error', { error: error.message }, 'worker lost, another takes its place')
      },
    )
    await restoreChanges(this.#fleet, this.#config.ledger.file)
    this.#flags.set(Flag.held, hold)
    this.#ports = await this.#fleet.listen(wantedPorts(server), hold)
    // Before any reload, which would begin what is held back.
    if (hold) this.#reloading = this.#begin()
    this.#registerMetrics()
    await this.#clusters.settle(this.#config)
    // Traffic is served already: what only operators need is loaded afterwards.
    const { AdminListener: Admin } = await import('./admin/listener.ts')
    this.#admin = new Admin(this)
    this.#adminPort = await this.#admin.listen(server.adminPort, server.adminHost)
    await this.#watch()
    const facts = { version, config: this.#config.hash, ...this.#mesh.facts(hold), workers: this.#fleet.size }
    this.#log('info', facts, 'listening')
  }

  /** What was found stands in the configuration from now on. Throws when a port is one of the mesh's. */
  async #settle(): Promise<void> {
    const clash = this.#mesh.clash(this.#config)
    if (clash !== null) {
      // Read again, knowing the mesh, it says where the port stands.
      await loadFor(this.#options, this.#mesh.found.kind)
      throw new Error(`${clash}; choose other ports with --port and --admin-port`)
    }
    this.#loaded = { ...this.#loaded, config: this.#mesh.settle(this.#loaded.config) }
  }

  #registerMetrics(): void {
    processMetrics(this.#metrics, version, () => ({ loadedAt: this.#loadedAt, stale: this.#lastError !== null }))
    this.#metrics.onCollect(() => this.#health.collect(this.#metrics, this.#config))
  }

  /** The listener is there and turns requests away; all that goes out waits for the proxy of the mesh. */
  async #begin(): Promise<boolean> {
    const [{ ready, tookMs }] = await Promise.all([this.#mesh.wait(this.#config), this.#svid.wait()])
    if (this.#stopping !== null) return false
    try {
      await this.#fleet.apply(await this.#update(this.#config))
    } catch (error) {
      this.#log('error', { error: String(error) }, 'the configuration could not be used')
      await this.stop()
      process.exitCode = 1
      return false
    }
    this.#flags.set(Flag.held, false)
    if (this.#mesh.found.proxy === null) return true
    const facts = { mesh: this.#mesh.found.kind, waited_ms: tookMs }
    this.#log(
      ready ? 'info' : 'warn',
      facts,
      `the proxy of the mesh is ${ready ? 'ready' : 'still not ready: no longer waited for'}`,
    )
    return true
  }

  /** wait: for the members of new clusters, for a bounded time. */
  async #update(config: HeddleConfig, wait = true): Promise<ConfigUpdate> {
    const clusters = await this.#clusters.use(config, wait)
    return { config, slots: this.#health.slots, shared: { ...(await this.#shared.prepare(config)), clusters } }
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
    warnOfFrozen(this.#loaded.files, (...line) => this.#log(...line))
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
      loaded = await loadFor(this.#options, this.#mesh.found.kind)
      const other = this.#mesh.other(loaded.config)
      if (other !== null) this.#log('warn', other, 'another mesh needs a restart')
      loaded = { ...loaded, config: this.#mesh.settle(loaded.config) }
      await this.#svid.use(loaded.config)
      this.#health.assign(loaded.config)
      await this.#fleet.apply(await this.#update(loaded.config))
    } catch (error) {
      read?.(error instanceof ConfigError)
      await this.#svid.use(this.#config)
      await this.#clusters.settle(this.#config)
      this.#lastError = error instanceof ConfigError ? error.problems.map(formatProblem).join('\n') : String(error)
      this.#log(
        'error',
        { problems: this.#lastError.split('\n'), config: this.#config.hash },
        'configuration refused, the old one serves on',
      )
      this.#flags.set(Flag.stale, true)
      outcome('refused')
      return false
    }
    this.#health.revive(this.#config, loaded.config)
    await this.#clusters.settle(loaded.config)
    if (fixedPart(loaded.config) !== fixedPart(this.#config))
      this.#log('warn', {}, 'changes below `server:` need a restart')
    const before = this.#config.hash
    this.#loaded = loaded
    this.#loadedAt = systemClock.now()
    this.#lastError = null
    this.#flags.set(Flag.stale, false)
    read?.(true)
    await this.#watcher?.setFiles(loaded.files)
    this.#log('info', { config: loaded.config.hash, before }, 'configuration loaded')
    outcome('loaded')
    return true
  }

  // ── what the admin listener shows ─────────────────────────────────────────
  unready(): readonly string[] {
    const now = systemClock.monotonic()
    return whyUnready(this.#flags, this.#config, this.#health, now, true)
  }

  state(): object {
    const draining = this.#stopping !== null
    const facts = { version, unready: this.unready(), draining, workers: this.#fleet.size, mesh: this.#mesh.found }
    const loaded = { source: this.#options.config ?? null, loadedAt: this.#loadedAt, lastError: this.#lastError }
    const clusters = this.#clusters.state()
    return describeState({ ...facts, ...loaded, config: this.#config, health: this.#health, clusters })
  }

  config = (): object => maskedConfig(this.#config)

  readonly controls = adminControls(
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

  get ports(): Ports {
    return this.#ports
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

  stop(): Promise<number> {
    this.#stopping ??= this.#drain()
    return this.#stopping
  }

  async #drain(): Promise<number> {
    const { drain } = this.#config.server
    const propagationMs = propagationOf(this.#config)
    // First of all: probes of all threads say so from now on.
    this.#flags.set(Flag.draining, true)
    this.#log('info', { propagation_ms: propagationMs, max_ms: drain.maxMs }, 'draining')
    this.#watcher?.close()
    this.#mesh.stop()
    this.#svid.stop()
    await this.#fleet.beginDrain()
    if (propagationMs > 0) await sleep(propagationMs)
    const cut = await this.#fleet.drain(drain.maxMs)
    await atMost(TELEMETRY_MS, Promise.allSettled(this.flushes.map((flush) => flush())))
    this.#shared.close()
    this.#clusters.close()
    await this.#admin.close()
    await this.#sim?.close()
    this.#log(cut === 0 ? 'info' : 'warn', { cut }, 'stopped')
    await atMost(FLUSH_MS, logWriter(this.#workers > 1).flush())
    return cut
  }
}
