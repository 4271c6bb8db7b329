import type { Operation } from '../contracts/config.ts'
import type { Target } from '../contracts/routing.ts'
import type { LineWriter } from '../core/line-writer.ts'
import type { Counter, Gauge, Histogram, MetricRegistry } from '../telemetry/metrics.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import type { Telemetry } from './services.ts'
import { cacheStatus } from './cache/run.ts'
import { NANO_PER_USD } from '../core/usd.ts'
import { ERROR_CODES } from '../core/errors.ts'
import { accessLine } from '../telemetry/access-log.ts'
import { DURATION_BOUNDS, OVERHEAD_BOUNDS } from '../telemetry/metrics.ts'
import { ConventionMetrics } from './telemetry-conventions.ts'

const NONE: readonly string[] = []
/** Tenants named by tokens are not the operator's number: beyond this many they are counted together. */
const MAX_TENANTS = 1000
const OTHER_TENANTS = 'other'
/** Ends of calls of one target: a backend may make up a code for each of its errors. */
const MAX_RESULTS = 100
const OTHER_RESULTS = 'other'
/** Service accounts of the mesh: as many as somebody deploys. */
const MAX_PEERS = 1000

interface TenantMetrics {
  readonly cost: Counter
  readonly inputTokens: Counter
  readonly outputTokens: Counter
}

interface TargetMetrics {
  readonly cost: Counter
  readonly unpriced: Counter
}

interface RouteMetrics {
  readonly requests: Map<string, Counter>
  readonly duration: Histogram
  readonly overhead: Histogram
  readonly firstToken: Histogram
  readonly inputTokens: Counter
  readonly outputTokens: Counter
  readonly cachedTokens: Counter
}

/** Names that are bound to label sets once and then only counted. */
export class RequestTelemetry implements Telemetry {
  readonly inflight: Gauge
  readonly #registry: MetricRegistry
  readonly #log: LineWriter | null
  readonly #now: () => number
  readonly #routes = new Map<Operation, Map<string, RouteMetrics>>()
  /** By name, as #targets: those of configurations that were replaced must not be kept alive. */
  readonly #attempts = new Map<string, Map<string, Counter>>()
  readonly #tenants = new Map<string, TenantMetrics>()
  readonly #targets = new Map<string, TargetMetrics>()
  readonly #peers = new Map<string, Counter>()
  readonly #conventions: ConventionMetrics
  readonly #hedges: Counter
  readonly #continued: Counter

  /** now: wall clock, epoch ms. log = null: no access log. */
  constructor(registry: MetricRegistry, log: LineWriter | null, now: () => number) {
    this.#registry = registry
    this.#log = log
    this.#now = now
    this.#conventions = new ConventionMetrics(registry, now)
    this.inflight = registry.gauge('heddle_inflight_requests', 'Requests that have not ended yet.')
    this.#hedges = registry.counter(
      'heddle_hedges_total',
      'Requests for which a second attempt was started beside a slow first one.',
    )
    this.#continued = registry.counter(
      'heddle_continuations_total',
      'Streams that went on with another target after they had broken off.',
    )
  }

  #route(name: string, operation: Operation): RouteMetrics {
    // The route's name, never the client's string: the number of series is the operator's.
    let byName = this.#routes.get(operation)
    if (byName === undefined) {
      byName = new Map()
      this.#routes.set(operation, byName)
    }
    let metrics = byName.get(name)
    if (metrics === undefined) {
      const r = this.#registry
      const labels = { model: name, operation }
      const tokens = (type: string): Counter =>
        r.counter('heddle_tokens_total', 'Tokens as counted by the providers.', { ...labels, type })
      metrics = {
        requests: new Map(),
        duration: r.histogram(
          'heddle_request_duration_seconds',
          'From the head of a request to the end of its answer.',
          DURATION_BOUNDS,
          labels,
        ),
        overhead: r.histogram(
          'heddle_overhead_seconds',
          'The part of the time to the first byte that no backend was waited for.',
          OVERHEAD_BOUNDS,
          labels,
        ),
        firstToken: r.histogram(
          'heddle_time_to_first_token_seconds',
          'From the head of a streaming request to its first byte to the client.',
          DURATION_BOUNDS,
          labels,
        ),
        inputTokens: tokens('input'),
        outputTokens: tokens('output'),
        cachedTokens: tokens('cached_input'),
      }
      byName.set(name, metrics)
    }
    return metrics
  }

  attempt(attempt: Attempt): void {
    const { name } = attempt.target
    let counters = this.#attempts.get(name)
    if (counters === undefined) {
      counters = new Map()
      this.#attempts.set(name, counters)
    }
    const { origin } = attempt.record
    let { result } = attempt.record
    let key = origin === '' ? result : `${result} ${origin}`
    let counter = counters.get(key)
    if (counter === undefined && counters.size >= MAX_RESULTS) {
      result = OTHER_RESULTS
      key = `${result} ${origin}`
      counter = counters.get(key)
    }
    if (counter === undefined) {
      counter = this.#registry.counter('heddle_attempts_total', 'Calls of backends.', {
        target: name,
        provider: attempt.target.provider.name,
        result,
        origin,
      })
      counters.set(key, counter)
    }
    counter.value++
    if (attempt.record.nanoUsd > 0 || attempt.record.unpriced) this.#cost(attempt)
  }

  #cost({ target, record }: Attempt): void {
    let metrics = this.#targets.get(target.name)
    if (metrics === undefined) {
      const labels = { target: target.name, provider: target.provider.name }
      metrics = {
        cost: this.#registry.counter('heddle_cost_usd_total', 'What calls of backends cost, US dollars.', labels),
        unpriced: this.#registry.counter(
          'heddle_unpriced_calls_total',
          'Calls whose price is not known; their cost is missing or assumed.',
          labels,
        ),
      }
      this.#targets.set(target.name, metrics)
    }
    metrics.cost.value += record.nanoUsd / NANO_PER_USD
    if (record.unpriced) metrics.unpriced.value++
  }

  #tenant(name: string): TenantMetrics {
    let metrics = this.#tenants.get(name)
    if (metrics === undefined) {
      if (this.#tenants.size >= MAX_TENANTS && name !== OTHER_TENANTS) return this.#tenant(OTHER_TENANTS)
      const r = this.#registry
      const tokens = (type: string): Counter =>
        r.counter('heddle_tenant_tokens_total', 'Tokens by tenant, all calls of its requests.', { tenant: name, type })
      metrics = {
        cost: r.counter('heddle_tenant_cost_usd_total', 'What the requests of a tenant cost, US dollars.', {
          tenant: name,
        }),
        inputTokens: tokens('input'),
        outputTokens: tokens('output'),
      }
      this.#tenants.set(name, metrics)
    }
    return metrics
  }

  /** namespace, account: of the caller, as the mesh says. */
  #peer(namespace: string, account: string): Counter {
    const key = `${namespace}/${account}`
    let counter = this.#peers.get(key)
    if (counter === undefined) {
      if (this.#peers.size >= MAX_PEERS && key !== 'other/other') return this.#peer('other', 'other')
      counter = this.#registry.counter('heddle_peer_requests_total', 'Requests by the workload that the mesh names.', {
        namespace,
        service_account: account,
      })
      this.#peers.set(key, counter)
    }
    return counter
  }

  shadow(target: Target, result: string, nanoUsd: number): void {
    this.#registry.counter('heddle_shadow_requests_total', 'Copies sent to shadow targets.', {
      target: target.name,
      result,
    }).value++
    if (nanoUsd > 0)
      this.#registry.counter('heddle_shadow_cost_usd_total', 'What copies to shadow targets cost, US dollars.', {
        target: target.name,
      }).value += nanoUsd / NANO_PER_USD
  }

  request(x: Exchange): void {
    const metrics = this.#route(x.match?.route.name ?? '', x.operation)
    const outcome = x.error === null ? 'ok' : x.error.code
    const key = x.error === null && x.status === 200 ? 'ok' : `${x.status} ${outcome}`
    let counter = metrics.requests.get(key)
    if (counter === undefined) {
      counter = this.#registry.counter('heddle_requests_total', 'Requests by how they ended.', {
        model: x.match?.route.name ?? '',
        operation: x.operation,
        status: String(x.status),
        outcome,
      })
      metrics.requests.set(key, counter)
    }
    counter.value++
    metrics.duration.observe(x.totalMs / 1000)
    if (x.firstByteMs >= 0) {
      metrics.overhead.observe(Math.max(0, x.firstByteMs - x.upstreamMs) / 1000)
      if (x.stream) metrics.firstToken.observe(x.firstByteMs / 1000)
    }
    if (x.usage !== null) {
      metrics.inputTokens.value += x.usage.inputTokens
      metrics.outputTokens.value += x.usage.outputTokens
      metrics.cachedTokens.value += x.usage.cachedInputTokens
    }
    const { account } = x
    if (x.principal.tenant !== '' && (account.nanoUsd > 0 || account.inputTokens + account.outputTokens > 0)) {
      const tenant = this.#tenant(x.principal.tenant)
      tenant.cost.value += account.nanoUsd / NANO_PER_USD
      tenant.inputTokens.value += account.inputTokens
      tenant.outputTokens.value += account.outputTokens
    }
    const { peer } = x.principal
    if (peer !== null && peer.serviceAccount !== '') this.#peer(peer.namespace, peer.serviceAccount).value++
    this.#conventions.request(x)
    if (x.hedged) this.#hedges.value++
    this.#continued.value += x.continued
    this.#log?.write(this.#line(x))
  }

  #line(x: Exchange): string {
    const u = x.usage
    return accessLine({
      time: this.#now(),
      level: x.error === null ? 'info' : ERROR_CODES[x.error.code].level,
      requestId: x.id,
      traceId: x.trace?.sampled === true ? x.trace.traceId : '',
      method: x.received.method,
      path: x.received.path,
      operation: x.operation,
      peer: x.received.peer,
      model: x.model,
      route: x.match?.route.name ?? '',
      target: x.answeredBy?.name ?? '',
      answeredModel: x.answeredModel,
      simulated: x.answeredBy?.provider.config.type === 'sim',
      stream: x.stream,
      status: x.status,
      code: x.error === null ? '' : x.error.code,
      detail: x.error?.detail ?? '',
      bytesIn: x.bytesIn,
      bytesOut: x.bytesOut,
      totalMs: x.totalMs,
      firstByteMs: x.firstByteMs,
      upstreamMs: x.upstreamMs,
      attempts: x.attempts,
      inputTokens: u?.inputTokens ?? -1,
      outputTokens: u?.outputTokens ?? -1,
      cachedInputTokens: u?.cachedInputTokens ?? -1,
      key: x.principal.keyId,
      tenant: x.principal.tenant,
      team: x.principal.team,
      user: x.principal.user,
      identity: x.principal.peer,
      nanoUsd: x.account.nanoUsd,
      costNote: x.account.note,
      passedOver: x.passedOver,
      wouldRefuse: x.account.lease?.wouldRefuse ?? NONE,
      cache: cacheStatus(x),
    })
  }
}
