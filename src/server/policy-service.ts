import { BroadcastChannel } from 'node:worker_threads'
import type { Picker } from '../contracts/cluster.ts'
import type { PolicyServiceConfig } from '../contracts/config-policy.ts'
import type { TlsConfig } from '../contracts/config.ts'
import type { AuthzParts } from '../http/ext-authz.ts'
import { TlsListener, type TlsListenerParts } from '../http/tls-listener.ts'
import type { Gate } from '../http/request-handler.ts'
import type { Told } from '../pipeline/leases.ts'
import type { Services } from '../pipeline/services.ts'
import type { PolicyPorts, PolicyServer } from '../policy/index.ts'
import type { GatewayError } from '../core/errors.ts'
import { OpenStreams } from '../policy/streams.ts'
import type { Histogram, MetricRegistry } from '../telemetry/metrics.ts'
import type { WorkerPlace } from '../routing/health.ts'
import { everyUnref } from '../core/every.ts'
import { Leases } from '../pipeline/leases.ts'
import { OVERHEAD_BOUNDS } from '../telemetry/metrics.ts'

const SWEEP_MS = 1000
const LAST_WORDS_MS = 3000
const CHANNEL = 'heddle-leases'

export interface PolicyServiceParts {
  readonly config: PolicyServiceConfig
  /** Of `server.tls`. */
  readonly tls: TlsConfig | null
  readonly identity: TlsListenerParts['identity']
  readonly services: Services
  readonly gate: Gate
  readonly metrics: MetricRegistry
  readonly place: WorkerPlace
  readonly reusePort: boolean
  readonly inflight: (change: number) => void
}

/** Leases of calls that others make, of one worker; a ticket that it does not know may be another worker's. */
export function openLeases({ services, config, place, metrics }: PolicyServiceParts): {
  readonly leases: Leases
  close(): void
} {
  const leases = new Leases(services.clock, () => services.current().config.server.policy?.settleMs ?? config.settleMs)
  const unknown = metrics.counter(
    'heddle_policy_unknown_tickets_total',
    'Ends of calls whose ticket this worker did not know: another worker’s, or settled already.',
  )
  const stop = everyUnref(() => leases.sweep(), SWEEP_MS)
  const channel = place.workers > 1 ? new BroadcastChannel(CHANNEL) : null
  channel?.unref()
  channel?.addEventListener('message', ({ data }) => {
    const { ticket, told } = data as { ticket: string; told: Told }
    leases.settle(ticket, told)
  })
  leases.onUnknown = (ticket, told) => {
    unknown.value++
    channel?.postMessage({ ticket, told })
  }
  return {
    leases,
    close() {
      stop()
      channel?.close()
      leases.close()
    },
  }
}

/** The policy service of one worker. */
export class PolicyService {
  readonly #parts: PolicyServiceParts
  readonly #leases: ReturnType<typeof openLeases>
  readonly #streams = new OpenStreams()
  readonly #durations = new Map<string, Histogram>()
  #server: PolicyServer | null = null
  #tls: TlsListener | null = null

  constructor(parts: PolicyServiceParts) {
    this.#parts = parts
    this.#leases = openLeases(parts)
    const { metrics, config, services } = parts
    const { leases } = this.#leases
    // As on the policy port: what is served needs a restart, how limits are counted does not.
    const limits = (): PolicyServiceConfig['authz']['limits'] =>
      (services.current().config.server.policy ?? config).authz.limits
    this.authz = config.services.includes('authz') ? { leases, limits } : null
    const streams = metrics.gauge('heddle_policy_streams', 'External-processing streams that are open.')
    const kept = metrics.gauge('heddle_policy_leases', 'Calls of others that hold something of limits.')
    const expired = metrics.gauge(
      'heddle_policy_leases_expired',
      'Leases that nobody settled in time: they count as expected.',
    )
    metrics.onCollect(() => {
      streams.set(this.#streams.open)
      kept.set(this.#leases.leases.size)
      expired.set(this.#leases.leases.expired)
    })
  }

  /** What questions over HTTP are answered with; null = authorization is not served. */
  readonly authz: AuthzParts | null

  /** Before the ports are listened on. */
  async open(): Promise<void> {
    const { createPolicyServer } = await import('../policy/index.ts')
    const { config, services, gate, inflight } = this.#parts
    this.#server = createPolicyServer({
      config,
      services,
      gate,
      inflight,
      leases: this.#leases.leases,
      streams: this.#streams,
      decided: (service, decision, ms) => this.#count(service, decision, ms),
      ready: () => gate.refusal() === null && !gate.draining,
      pickerOf: (provider) => this.#pickerOf(provider),
    })
  }

  #pickerOf(provider: string): Picker | null {
    const { services } = this.#parts
    return services.current().table.providers.find(({ name }) => name === provider)?.upstream.picker ?? null
  }

  #count(service: string, decision: string, ms: number): void {
    const { metrics } = this.#parts
    metrics.counter('heddle_policy_decisions_total', 'Questions of proxies by service and answer.', {
      service,
      decision,
    }).value++
    if (service === 'ext_proc') return
    let histogram = this.#durations.get(service)
    if (histogram === undefined) {
      histogram = metrics.histogram(
        'heddle_policy_decision_seconds',
        'From a proxy’s question to its answer.',
        OVERHEAD_BOUNDS,
        { service },
      )
      this.#durations.set(service, histogram)
    }
    histogram.observe(ms / 1000)
  }

  async listen({ policy, pickers }: PolicyPorts): Promise<PolicyPorts> {
    const { config, tls, identity, services, place, reusePort } = this.#parts
    const server = this.#server!
    const own = await server.listen({ policy, pickers }, { reusePort, plain: !config.tls, socket: place.worker === 0 })
    if (!config.tls || tls === null) return own
    this.#tls = new TlsListener({
      config: tls,
      handshakeMs: services.limits.headerTimeoutMs,
      peer: () => null,
      identity,
      accept: (socket) => server.accept(socket),
    })
    return { ...own, policy: await this.#tls.listen(policy, config.host, reusePort) }
  }

  /** Its certificates have been renewed. */
  update(tls: TlsConfig): void {
    this.#tls?.update(tls)
  }

  /** New streams go elsewhere; those that are open go on for so long, and get some time more for their last words. */
  drain(maxMs: number): void {
    this.#server?.drain(maxMs + LAST_WORDS_MS)
  }

  failOpen(error: GatewayError): void {
    this.#streams.failAll(error)
  }

  close(): void {
    this.#tls?.close()
    this.#server?.close()
    this.#leases.close()
  }
}
