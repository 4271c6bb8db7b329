import type { RequestTrace } from '../contracts/trace.ts'
import type { Histogram, Labels, MetricRegistry } from '../telemetry/metrics.ts'
import type { Exchange } from './exchange.ts'
import { DURATION_BOUNDS } from '../telemetry/metrics.ts'
import { A, HTTP_BOUNDS, METRICS, TOKEN_BOUNDS, labelOf } from '../telemetry/semconv.ts'
import { httpRoute, methodName, operationName, placeOfTarget, schemeOf } from './places.ts'

const L = {
  operation: labelOf(A.operation),
  provider: labelOf(A.provider),
  model: labelOf(A.requestModel),
  tokenType: labelOf(A.tokenType),
  errorType: labelOf(A.errorType),
  address: labelOf(A.serverAddress),
  port: labelOf(A.serverPort),
  method: labelOf(A.method),
  route: labelOf(A.route),
  status: labelOf(A.status),
  scheme: labelOf(A.scheme),
}

interface CallMetrics {
  readonly duration: Histogram
  /** Made when there is something to count: most calls are of one kind. */
  firstChunk: Histogram | null
  input: Histogram | null
  output: Histogram | null
  readonly labels: Labels
}

/** Counts a value; of a request that is traced it becomes an example. */
function observe(histogram: Histogram, value: number, trace: RequestTrace | null, now: () => number): void {
  if (trace !== null && trace.sampled) histogram.observeTraced(value, trace, now())
  else histogram.observe(value)
}

/**
 * The metrics that OpenTelemetry's conventions name (GenAI v1.41.1, HTTP v1.44.0), beside Heddle's own, so that dashboards made
 * for them find them. Names and edges are in telemetry/semconv.ts.
 */
export class ConventionMetrics {
  readonly #registry: MetricRegistry
  readonly #now: () => number
  readonly #server = new Map<string, Histogram>()
  // Most requests are like the one before: comparing costs less than putting a key together.
  #lastServer: { method: string; status: number; scheme: string; route: string; histogram: Histogram } | null = null
  #lastCall: { operation: string; target: string; error: string; model: string; metrics: CallMetrics } | null = null
  /** By route, then by what else tells calls apart. */
  readonly #calls = new Map<string, Map<string, CallMetrics>>()

  /** now: wall clock, epoch ms. */
  constructor(registry: MetricRegistry, now: () => number) {
    this.#registry = registry
    this.#now = now
  }

  request(x: Exchange): void {
    observe(this.#serverOf(x), x.totalMs / 1000, x.trace, this.#now)
    const [first] = x.attempts
    if (first === undefined) return
    const metrics = this.#callOf(x, x.answeredBy?.name ?? first.target)
    observe(metrics.duration, Math.max(0, x.totalMs - first.startMs) / 1000, x.trace, this.#now)
    if (x.stream && x.firstByteMs >= 0) {
      metrics.firstChunk ??= this.#registry.histogram(
        METRICS.firstChunk,
        'From the start of a streamed GenAI call to its first chunk.',
        DURATION_BOUNDS,
        metrics.labels,
      )
      observe(metrics.firstChunk, Math.max(0, x.firstByteMs - first.startMs) / 1000, x.trace, this.#now)
    }
    // As backends have counted them, never a guess.
    if (x.usage === null) return
    if (x.usage.inputTokens > 0) (metrics.input ??= this.#tokens(metrics, 'input')).observe(x.usage.inputTokens)
    if (x.usage.outputTokens > 0) (metrics.output ??= this.#tokens(metrics, 'output')).observe(x.usage.outputTokens)
  }

  #tokens({ labels }: CallMetrics, type: string): Histogram {
    const { [L.errorType]: _, ...rest } = labels
    return this.#registry.histogram(METRICS.tokenUsage, 'Tokens of a GenAI call.', TOKEN_BOUNDS, {
      ...rest,
      [L.tokenType]: type,
    })
  }

  #serverOf(x: Exchange): Histogram {
    const route = httpRoute(x)
    const scheme = schemeOf(x)
    const method = methodName(x)
    const last = this.#lastServer
    if (last !== null && last.status === x.status && last.route === route && last.method === method)
      if (last.scheme === scheme) return last.histogram
    const key = `${method} ${x.status} ${scheme} ${route}`
    let histogram = this.#server.get(key)
    if (histogram === undefined) {
      histogram = this.#registry.histogram(
        METRICS.serverDuration,
        'From the head of an HTTP request to the end of its answer.',
        HTTP_BOUNDS,
        {
          [L.method]: method,
          [L.route]: route,
          [L.status]: String(x.status),
          [L.scheme]: scheme,
          ...(x.status >= 500 ? { [L.errorType]: x.error?.code ?? String(x.status) } : {}),
        },
      )
      this.#server.set(key, histogram)
    }
    this.#lastServer = { method, status: x.status, scheme, route, histogram }
    return histogram
  }

  #callOf(x: Exchange, target: string): CallMetrics {
    const model = x.match?.route.name ?? ''
    // The caller's going away is not the call's failure.
    const error = x.error === null || x.error.code === 'client_closed' ? '' : x.error.code
    const { operation } = x
    const last = this.#lastCall
    if (last !== null && last.target === target && last.operation === operation && last.model === model)
      if (last.error === error) return last.metrics
    let byKind = this.#calls.get(model)
    if (byKind === undefined) {
      byKind = new Map()
      this.#calls.set(model, byKind)
    }
    const key = `${x.operation} ${target} ${error}`
    let metrics = byKind.get(key)
    if (metrics === undefined) {
      const place = placeOfTarget(x.snapshot, target)
      const labels = {
        [L.operation]: operationName(x.operation),
        [L.provider]: place?.provider ?? '',
        [L.model]: model,
        [L.address]: place?.address ?? '',
        [L.port]: String(place?.port ?? ''),
        ...(error === '' ? {} : { [L.errorType]: error }),
      }
      const duration = this.#registry.histogram(
        METRICS.operationDuration,
        'GenAI calls, retries and failover included.',
        DURATION_BOUNDS,
        labels,
      )
      metrics = { duration, firstChunk: null, input: null, output: null, labels }
      byKind.set(key, metrics)
    }
    this.#lastCall = { operation, target, error, model, metrics }
    return metrics
  }
}
