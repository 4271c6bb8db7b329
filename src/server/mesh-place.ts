import type { HeddleConfig } from '../contracts/config.ts'
import { reservedPort } from '../config/mesh-ports.ts'
import { systemClock } from '../core/clock.ts'
import { askMesh, detectMesh, meshPorts, type Detected, type MeshPorts } from '../mesh/detect.ts'
import { Flag, type Flags } from './readiness.ts'

type Env = Readonly<Record<string, string | undefined>>

/** How long a proxy is looked for that may be starting beside us, ms. */
const DETECT_MS = 2000
/** Between two looks at a proxy that was not ready in time, ms. */
const LATE_LOOK_MS = 1000

/** The mesh around the process: found once, before anything serves, and the same for its life. */
export class MeshPlace {
  #found: Detected
  readonly #ports: MeshPorts
  readonly #flags: Flags
  #stopped = false

  constructor(found: Detected, ports: MeshPorts, flags: Flags) {
    this.#found = found
    this.#ports = ports
    this.#flags = flags
  }

  static async find({ mesh }: HeddleConfig, flags: Flags, env: Env): Promise<MeshPlace> {
    const found =
      mesh.kind === 'auto' ? await detectMesh({ env, timeoutMs: DETECT_MS }) : await askMesh(mesh.kind, { env })
    return new MeshPlace(found, meshPorts(env), flags)
  }

  get found(): Detected {
    return this.#found
  }

  /** For the log. waited: its proxy is, or was, not ready. */
  facts(waited: boolean): object {
    const { kind, version, ready } = this.#found
    return { mesh: kind, ...(waited || version !== '' ? { mesh_version: version, proxy_ready: ready } : {}) }
  }

  /** For the log: a mesh is configured that is another one than found at the start; null = none is. */
  other({ mesh }: HeddleConfig): object | null {
    if (mesh.kind === 'auto' || mesh.kind === this.#found.kind) return null
    return { mesh: this.#found.kind, configured: mesh.kind }
  }

  /** What was found stands for what the file says; the hash stays that of the file. */
  settle(config: HeddleConfig): HeddleConfig {
    const { kind } = this.#found
    return config.mesh.kind === kind ? config : { ...config, mesh: { ...config.mesh, kind } }
  }

  /** The first port of the configuration that belongs to the mesh, and why; null = none does. */
  clash({ server }: HeddleConfig): string | null {
    const ports = [server.port, server.adminPort, ...(server.tls === null ? [] : [server.tls.port])]
    for (const port of ports) {
      const why = reservedPort(this.#found.kind, port)
      if (why !== null) return why
    }
    return null
  }

  /** Outbound work must wait: the proxy is not ready. */
  mustWait({ mesh }: HeddleConfig): boolean {
    return this.#found.expected && !this.#found.ready && mesh.waitForProxyMs > 0
  }

  /**
   * Waits for the proxy as long as the configuration allows. Resolves with how long that took, ms, and whether it is
   * ready. A proxy that is there and late keeps the instance from being ready until it is.
   */
  async wait({ mesh }: HeddleConfig): Promise<{ readonly ready: boolean; readonly tookMs: number }> {
    const { proxy } = this.#found
    if (proxy === null) return { ready: true, tookMs: 0 }
    const { waitForProxy } = await import('../mesh/wait.ts')
    const begun = systemClock.monotonic()
    const options = { proxy, ports: this.#ports, stopped: () => this.#stopped }
    const state = await waitForProxy({ ...options, maxMs: mesh.waitForProxyMs })
    const ready = state === 'ready'
    if (ready) this.#isReady()
    else if (state === 'starting' && !this.#stopped) {
      this.#flags.set(Flag.proxyUnready, true)
      void waitForProxy({ ...options, maxMs: Infinity, lookMs: LATE_LOOK_MS }).then((late) => {
        this.#flags.set(Flag.proxyUnready, false)
        if (late === 'ready') this.#isReady()
      })
    }
    return { ready, tookMs: Math.round(systemClock.monotonic() - begun) }
  }

  #isReady(): void {
    this.#found = { ...this.#found, ready: true }
  }

  stop(): void {
    this.#stopped = true
  }
}
