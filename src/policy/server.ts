import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { PolicyServiceConfig } from '../contracts/config-policy.ts'
import type { Picker } from '../contracts/cluster.ts'
import type { Leases } from '../pipeline/leases.ts'
import type { PolicyParts } from './parts.ts'
import { Authorization } from '../protocol/grpc/gen/authz_pb.ts'
import { ExternalProcessor } from '../protocol/grpc/gen/ext_proc_pb.ts'
import { Health } from '../protocol/grpc/gen/health_pb.ts'
import { RateLimitService } from '../protocol/grpc/gen/ratelimit_pb.ts'
import { GrpcServer } from '../protocol/grpc/server.ts'
import { checkHandler } from './authz.ts'
import { CHECK_CODEC } from './check-wire.ts'
import { processHandler } from './ext-proc.ts'
import { healthService } from './health.ts'
import { pickHandler } from './picker.ts'
import { rateLimitHandler } from './ratelimit.ts'
import type { OpenStreams } from './streams.ts'

const AUTHZ = 'envoy.service.auth.v3.Authorization'
const EXT_PROC = 'envoy.service.ext_proc.v3.ExternalProcessor'
const RATE_LIMIT = 'envoy.service.ratelimit.v3.RateLimitService'
const HEALTH = 'grpc.health.v1.Health'

/** Beside the body there are headers, and what frames them. */
const MESSAGE_ROOM = 2 * 1024 * 1024
/** A proxy has few connections and many streams on each. */
const CONNECTION_STREAMS = 10_000
/** Messages that are not complete, of all proxies of a port. */
const MAX_PARTIAL = 256 * 1024 * 1024
/** A peer that vanished without a word is noticed. */
const KEEPALIVE_MS = 60_000

export interface PolicyServerParts extends PolicyParts {
  readonly config: PolicyServiceConfig
  readonly leases: Leases
  readonly streams: OpenStreams
  ready(): boolean
  /** Who picks for a provider of the configuration that serves now; null = nobody. */
  pickerOf(provider: string): Picker | null
}

/** Ports that are listened on; 0 = none. */
export interface PolicyPorts {
  readonly policy: number
  /** In the order of the configuration. */
  readonly pickers: readonly number[]
}

export function createPolicyServer(parts: PolicyServerParts): PolicyServer {
  return new PolicyServer(parts)
}

/** The gRPC ports of one worker. */
export class PolicyServer {
  readonly #parts: PolicyServerParts
  readonly #servers: GrpcServer[] = []
  readonly #listeners: Server[] = []
  readonly #policy: GrpcServer
  readonly #pickers: readonly GrpcServer[]
  #socketPath: string | null = null

  constructor(parts: PolicyServerParts) {
    this.#parts = parts
    this.#policy = this.#server((server) => this.#addPolicies(server))
    this.#pickers = parts.config.pickers.map((picker) => this.#server((server) => this.#addPicker(server, picker)))
  }

  #server(fill: (server: GrpcServer) => void): GrpcServer {
    const { services } = this.#parts
    const maxMessage = services.limits.body + MESSAGE_ROOM
    const server = new GrpcServer({
      maxMessage,
      maxPartial: Math.max(MAX_PARTIAL, 4 * maxMessage),
      maxStreams: CONNECTION_STREAMS,
      keepAliveMs: KEEPALIVE_MS,
      now: services.clock.monotonic,
      onFault: (error) => services.log('error', { err: String(error) }, 'policy service failed'),
    })
    fill(server)
    this.#servers.push(server)
    return server
  }

  #addPolicies(server: GrpcServer): void {
    const parts = this.#parts
    const { services } = parts.config
    const names: string[] = []
    // What reloads is read from the configuration that serves; the address and what is served need a restart.
    const config = (): PolicyServiceConfig => parts.services.current().config.server.policy ?? parts.config
    if (services.includes('authz')) {
      names.push(AUTHZ)
      const check = checkHandler({ ...parts, limits: () => config().authz.limits })
      server.unaryWith(AUTHZ, Authorization.method.check.name, CHECK_CODEC, check)
    }
    if (services.includes('ext_proc')) {
      names.push(EXT_PROC)
      const process = processHandler({ ...parts, config: () => config().extProc })
      server.streaming(EXT_PROC, ExternalProcessor.method.process, process)
    }
    if (services.includes('ratelimit')) {
      names.push(RATE_LIMIT)
      server.unary(RATE_LIMIT, RateLimitService.method.shouldRateLimit, rateLimitHandler(parts))
    }
    addHealth(server, names, () => parts.ready())
  }

  #addPicker(server: GrpcServer, { provider, objectives }: PolicyServiceConfig['pickers'][number]): void {
    const parts = this.#parts
    const process = pickHandler({
      ...parts,
      picker: () => parts.pickerOf(provider),
      priorityOf: (objective) => (Object.hasOwn(objectives, objective) ? objectives[objective]! : 0),
      maxStreams: () => parts.config.extProc.maxStreams,
    })
    server.streaming(EXT_PROC, ExternalProcessor.method.process, process)
    // The three names that the protocol of the extension asks for.
    const ready = (): boolean => parts.ready() && parts.pickerOf(provider) !== null
    addHealth(server, ['liveness', 'readiness', EXT_PROC], ready)
  }

  /** Takes a connection to the policy port whose TLS another listener has ended. */
  accept(socket: Socket): void {
    this.#policy.accept(socket)
  }

  /**
   * Listens on what is configured, or on the ports given. plain: the policy port itself; without it only its socket and
   * the pickers. socket: one worker of the process has it.
   */
  async listen(
    ports: PolicyPorts,
    options: { readonly reusePort: boolean; readonly plain: boolean; readonly socket: boolean },
  ): Promise<PolicyPorts> {
    const { config } = this.#parts
    const { host } = config
    const { reusePort } = options
    const policy = options.plain
      ? await this.#listen(this.#policy, { port: ports.policy, host, reusePort })
      : ports.policy
    const pickers: number[] = []
    for (const [i, picker] of this.#pickers.entries())
      pickers.push(await this.#listen(picker, { port: ports.pickers[i] ?? 0, host, reusePort }))
    if (config.socket !== null && options.socket) {
      await freeSocket(config.socket)
      await this.#listen(this.#policy, { path: config.socket })
      // Who can reach the folder may connect, as on loopback: the proxy runs under a user of its own.
      chmodSync(config.socket, 0o666)
      this.#socketPath = config.socket
    }
    return { policy, pickers }
  }

  #listen(
    server: GrpcServer,
    where: { port?: number; host?: string; reusePort?: boolean; path?: string },
  ): Promise<number> {
    const listener = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS }, (socket) =>
      server.accept(socket),
    )
    this.#listeners.push(listener)
    return new Promise((resolve, reject) => {
      listener.once('error', reject)
      listener.listen(where, () => {
        listener.off('error', reject)
        const address = listener.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  }

  /** Proxies are told to open their next stream elsewhere; those that are open go on, at most so long. */
  drain(maxMs: number): void {
    for (const server of this.#servers) server.drain(maxMs)
  }

  /** No new connections; what is open is cut. */
  close(): void {
    for (const listener of this.#listeners) listener.close()
    for (const server of this.#servers) server.close()
    if (this.#socketPath !== null && existsSync(this.#socketPath)) unlinkSync(this.#socketPath)
  }
}

function addHealth(server: GrpcServer, names: readonly string[], ready: () => boolean): void {
  const { check, watch } = healthService(names, ready)
  server.unary(HEALTH, Health.method.check, check)
  server.streaming(HEALTH, Health.method.watch, watch)
}

/** A socket that a process left behind which ended without a chance to remove it. Throws when somebody listens there. */
async function freeSocket(path: string): Promise<void> {
  if (!existsSync(path) || !lstatSync(path).isSocket()) return
  const taken = await new Promise<boolean>((resolve) => {
    const probe = connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
  if (taken) throw Object.assign(new Error(`${path} is in use`), { code: 'EADDRINUSE' })
  unlinkSync(path)
}
