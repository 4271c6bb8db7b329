import type { HeddleConfig } from '../contracts/config.ts'
import type { Svid } from '../contracts/config-svid.ts'
import type { SvidKeeper } from '../mesh/svid/keeper.ts'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import { peerFromCertificate } from '../auth/peer.ts'
import { systemClock } from '../core/clock.ts'
import { everyUnref } from '../core/every.ts'
import { Flag, type Flags } from './readiness.ts'

export interface SvidPlaceParts {
  readonly flags: Flags
  readonly metrics: MetricRegistry
  readonly log: (level: 'info' | 'warn' | 'error', fields: object, message: string) => void
  readonly publish: (svid: Svid) => void
}

/** What is there at once needs no start that turns requests away, ms. */
const AT_ONCE_MS = 1000
const EXPIRY_LOOK_MS = 1000

/** Some connection cannot be made or taken without an SVID. */
const needsSvid = ({ server, providers, mesh }: HeddleConfig): boolean =>
  mesh.svid !== null && (server.tls?.svid === true || providers.some(({ tls }) => tls.svid))

/** The certificate of this workload, followed in the main thread for all workers. Nothing is loaded without one. */
export class SvidPlace {
  readonly #parts: SvidPlaceParts
  #keeper: SvidKeeper | null = null
  #config: HeddleConfig | null = null
  #stopWatching: () => void = () => {}

  constructor(parts: SvidPlaceParts) {
    this.#parts = parts
  }

  /** What all workers begin with; null = none has come yet. */
  get svid(): Svid | null {
    return this.#keeper?.svid ?? null
  }

  /** Follows what that configuration says. Resolves when the first SVID is there, or soon without one. */
  async use(config: HeddleConfig): Promise<void> {
    const { svid } = config.mesh
    this.#config = config
    if (this.#keeper === null) {
      if (svid === null) return
      const { SvidKeeper: Keeper } = await import('../mesh/svid/keeper.ts')
      const { log } = this.#parts
      this.#keeper = new Keeper({ clock: systemClock, read: peerFromCertificate, log, ...this.#hooks() })
      this.#stopWatching = everyUnref(() => this.#setFlag(), EXPIRY_LOOK_MS)
    }
    await this.#keeper.use(svid)
    if (needsSvid(config)) await this.#keeper.first(AT_ONCE_MS)
    this.#setFlag()
  }

  #hooks(): { readonly taken: (svid: Svid, first: boolean) => void; readonly failed: (reason: string) => void } {
    const { metrics, publish } = this.#parts
    const rotations = metrics.counter(
      'heddle_svid_rotations_total',
      'Certificates of this workload taken after the first.',
    )
    const expiry = metrics.gauge(
      'heddle_svid_expiry_timestamp_seconds',
      'When the certificate of this workload ends, Unix time.',
    )
    return {
      taken: (svid, first) => {
        if (!first) rotations.add(1)
        expiry.set(Math.floor(svid.notAfter / 1000))
        publish(svid)
        this.#setFlag()
      },
      failed: (reason) =>
        metrics
          .counter('heddle_svid_errors_total', 'Certificates of this workload that did not come or were refused.', {
            reason,
          })
          .add(1),
    }
  }

  /** One is needed, and there is none that others would believe. */
  get #missing(): boolean {
    if (this.#config === null || !needsSvid(this.#config)) return false
    const { svid } = this
    return svid === null || svid.notAfter <= systemClock.now()
  }

  #setFlag(): void {
    this.#parts.flags.set(Flag.uncertified, this.#missing)
  }

  get mustWait(): boolean {
    return this.#missing && (this.#config?.mesh.waitForProxyMs ?? 0) > 0
  }

  /** As long as the proxy of a mesh is waited for. */
  async wait(): Promise<void> {
    if (this.#keeper === null || !this.mustWait) return
    await Promise.race([this.#keeper.first(this.#config!.mesh.waitForProxyMs), this.#stopped.promise])
  }

  readonly #stopped = Promise.withResolvers<void>()

  stop(): void {
    this.#stopped.resolve()
    this.#stopWatching()
    this.#keeper?.stop()
  }
}
