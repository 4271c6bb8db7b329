import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type * as grpcModule from '@grpc/grpc-js'
import type { ConnectionInjector, Server as GrpcServer } from '@grpc/grpc-js'
import type { PolicyServiceConfig } from '../contracts/config-policy.ts'
import type { Picker } from '../contracts/cluster.ts'
import type { Leases } from '../pipeline/leases.ts'
import type { PolicyParts } from './parts.ts'
import { Authorization } from '../protocol/grpc/gen/authz_pb.ts'
import { ExternalProcessor } from '../protocol/grpc/gen/ext_proc_pb.ts'
import { Health } from '../protocol/grpc/gen/health_pb.ts'
import { RateLimitService } from '../protocol/grpc/gen/ratelimit_pb.ts'
import { grpcService } from '../protocol/grpc/service.ts'
import { checkHandler } from './authz.ts'
import { processHandler } from './ext-proc.ts'
import { healthService } from './health.ts'
import { pickHandler } from './picker.ts'
import { rateLimitHandler } from './ratelimit.ts'
import type { OpenStreams } from './streams.ts'

type Grpc = typeof grpcModule

const AUTHZ = 'envoy.service.auth.v3.Authorization'
const EXT_PROC = 'envoy.service.ext_proc.v3.ExternalProcessor'
const RATE_LIMIT = 'envoy.service.ratelimit.v3.RateLimitService'
const HEALTH = 'grpc.health.v1.Health'

/** Beside the body there are headers, and what frames them. */
const MESSAGE_ROOM = 2 * 1024 * 1024
/** A proxy has few connections and many streams on each. */
const CONNECTION_STREAMS = 10_000
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

/** Loads what speaks gRPC: only where the port is configured. */
export async function createPolicyServer(parts: PolicyServerParts): Promise<PolicyServer> {
  return new PolicyServer(await import('@grpc/grpc-js'), parts)
}

/** The gRPC ports of one worker. */
export class PolicyServer {
  readonly #parts: PolicyServerParts
  readonly #injectors: ConnectionInjector[] = []
  readonly #listeners: Server[] = []
  readonly #policy: ConnectionInjector
  readonly #pickers: readonly ConnectionInjector[]
  #socketPath: string | null = null

  constructor(grpc: Grpc, parts: PolicyServerParts) {
    this.#parts = parts
    this.#policy = this.#injector(grpc, (server) => this.#addPolicies(server))
    this.#pickers = parts.config.pickers.map((picker) =>
      this.#injector(grpc, (server) => this.#addPicker(server, picker)),
    )
  }

  #injector(grpc: Grpc, fill: (server: GrpcServer) => void): ConnectionInjector {
    const server = new grpc.Server({
      'grpc.max_receive_message_length': this.#parts.services.limits.body + MESSAGE_ROOM,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': CONNECTION_STREAMS,
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
    })
    fill(server)
    const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure())
    this.#injectors.push(injector)
    return injector
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
      server.addService(grpcService(AUTHZ, Authorization), { check })
    }
    if (services.includes('ext_proc')) {
      names.push(EXT_PROC)
      const process = processHandler({ ...parts, config: () => config().extProc })
      server.addService(grpcService(EXT_PROC, ExternalProcessor), { process })
    }
    if (services.includes('ratelimit')) {
      names.push(RATE_LIMIT)
      server.addService(grpcService(RATE_LIMIT, RateLimitService), { shouldRateLimit: rateLimitHandler(parts) })
    }
    server.addService(grpcService(HEALTH, Health), { ...healthService(names, () => parts.ready()) })
  }

  #addPicker(server: GrpcServer, { provider, objectives }: PolicyServiceConfig['pickers'][number]): void {
    const parts = this.#parts
    const process = pickHandler({
      ...parts,
      picker: () => parts.pickerOf(provider),
      priorityOf: (objective) => (Object.hasOwn(objectives, objective) ? objectives[objective]! : 0),
      maxStreams: () => parts.config.extProc.maxStreams,
    })
    server.addService(grpcService(EXT_PROC, ExternalProcessor), { process })
    // The three names that the protocol of the extension asks for.
    const ready = (): boolean => parts.ready() && parts.pickerOf(provider) !== null
    server.addService(grpcService(HEALTH, Health), { ...healthService(['liveness', 'readiness', EXT_PROC], ready) })
  }

  /** Takes a connection to the policy port whose TLS another listener has ended. */
  accept(socket: Socket): void {
    inject(this.#policy, socket)
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
    for (const [i, injector] of this.#pickers.entries())
      pickers.push(await this.#listen(injector, { port: ports.pickers[i] ?? 0, host, reusePort }))
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
    injector: ConnectionInjector,
    where: { port?: number; host?: string; reusePort?: boolean; path?: string },
  ): Promise<number> {
    const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS }, (socket) =>
      inject(injector, socket),
    )
    this.#listeners.push(server)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(where, () => {
        server.off('error', reject)
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  }

  /** Proxies are told to open their next stream elsewhere; those that are open go on, at most so long. */
  drain(maxMs: number): void {
    for (const injector of this.#injectors) injector.drain(maxMs)
  }

  /** No new connections; what is open is cut. */
  close(): void {
    for (const server of this.#listeners) server.close()
    for (const injector of this.#injectors) injector.destroy()
    if (this.#socketPath !== null && existsSync(this.#socketPath)) unlinkSync(this.#socketPath)
  }
}

function inject(injector: ConnectionInjector, socket: Socket): void {
  // Scanners and peers that break off: nothing of ours has failed.
  socket.on('error', () => socket.destroy())
  injector.injectConnection(socket)
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
