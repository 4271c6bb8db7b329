import type { Usage, UsageRecord } from '../contracts/usage.ts'
import type { FetchedAnswer, FetchOptions } from '../core/http-client.ts'
import { everyUnref } from '../core/every.ts'
import { usdText } from '../core/usd.ts'

const FLUSH_MS = 2000
const BATCH = 512
const MAX_QUEUED = 10_000
const TIMEOUT_MS = 10_000
const MAX_TRIES = 5
const BACKOFF_MS = 500
const MAX_BACKOFF_MS = 30_000
/** OTLP/HTTP, "Failures": these may be sent again, no other. */
const RETRYABLE = new Set([429, 502, 503, 504])

type Value =
  | { readonly stringValue: string }
  | { readonly intValue: string }
  | { readonly doubleValue: number }
  | { readonly boolValue: boolean }
interface Attribute {
  readonly key: string
  readonly value: Value
}

export interface OtlpSinkOptions {
  /** Whole URL, such as `http://collector:4318/v1/logs`. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** `service.version` of the resource. */
  readonly version: string
  readonly fetch: (url: string, options: FetchOptions) => Promise<FetchedAnswer>
  readonly sleep: (ms: number) => Promise<void>
}

const str = (key: string, value: string): Attribute[] => (value === '' ? [] : [{ key, value: { stringValue: value } }])
/** 64-bit integers are texts in OTLP's JSON. */
const int = (key: string, value: number): Attribute => ({ key, value: { intValue: String(Math.round(value)) } })
const bool = (key: string, value: boolean): Attribute => ({ key, value: { boolValue: value } })

const usageAttributes = (u: Usage): Attribute[] => [
  int('gen_ai.usage.input_tokens', u.inputTokens),
  int('gen_ai.usage.output_tokens', u.outputTokens),
  int('heddle.usage.cached_input_tokens', u.cachedInputTokens),
  int('heddle.usage.cache_write_tokens', u.cacheWrite5mTokens + u.cacheWrite1hTokens),
  int('heddle.usage.reasoning_tokens', u.reasoningTokens),
]

const TRACE_ID = /^[0-9a-f]{32}$/

/** One record as an OTLP LogRecord in the JSON encoding: ids in hexadecimal, 64-bit integers as texts. */
export function toLogRecord(r: UsageRecord): Record<string, unknown> {
  const attributes: Attribute[] = [
    ...str('heddle.request_id', r.requestId),
    ...str('heddle.tenant', r.tenant),
    ...str('heddle.team', r.team),
    ...str('heddle.user', r.user),
    ...str('heddle.key_id', r.keyId),
    ...str('heddle.peer', r.peer),
    ...str('heddle.peer.namespace', r.namespace),
    ...str('heddle.peer.service_account', r.serviceAccount),
    ...str('heddle.peer.trust_domain', r.trustDomain),
    ...str('heddle.route', r.route),
    ...str('heddle.provider', r.provider),
    ...str('heddle.target', r.target),
    ...str('gen_ai.request.model', r.model),
    ...str('gen_ai.response.model', r.modelAnswered),
    ...str('gen_ai.operation.name', r.operation),
    ...str('heddle.outcome', r.outcome),
    int('http.response.status_code', r.status),
    int('heddle.duration_ms', r.durationMs),
    bool('heddle.stream', r.stream),
    bool('heddle.cached', r.cached),
    // Text keeps every digit; the integer is what collectors add up.
    ...str('heddle.cost_usd', usdText(r.charge.nanoUsd)),
    int('heddle.cost_nano_usd', r.charge.nanoUsd),
    bool('heddle.cost_estimated', r.charge.estimated),
    bool('heddle.priced', r.charge.priced),
    int('heddle.attempts', r.attempts.length),
    ...(r.usage === null ? [] : usageAttributes(r.usage)),
    ...Object.entries(r.labels).flatMap(([name, value]) => str(`heddle.label.${name}`, value)),
  ]
  return {
    timeUnixNano: `${Math.round(r.time)}000000`,
    severityNumber: 9,
    severityText: 'INFO',
    eventName: 'heddle.usage',
    body: { stringValue: 'usage' },
    attributes,
    ...(TRACE_ID.test(r.traceId) ? { traceId: r.traceId } : {}),
  }
}

/** Records as OTLP logs over HTTP, JSON encoding (opentelemetry.io/docs/specs/otlp). Batched; bounded; retried. */
export class OtlpSink {
  readonly #options: OtlpSinkOptions
  readonly #stop: () => void
  readonly #headers: Readonly<Record<string, string>>
  #queue: UsageRecord[] = []
  #running: Promise<void> | null = null
  #closing = false
  dropped = 0

  constructor(options: OtlpSinkOptions) {
    this.#options = options
    this.#headers = { ...options.headers, 'content-type': 'application/json' }
    this.#stop = everyUnref(() => void this.#start(), FLUSH_MS)
  }

  write(record: UsageRecord): void {
    if (this.#queue.length >= MAX_QUEUED) this.dropped++
    else this.#queue.push(record)
    if (this.#queue.length === BATCH) void this.#start()
  }

  async flush(): Promise<void> {
    while (this.#queue.length > 0 || this.#running !== null) await this.#start()
  }

  /** Sends what is left, each batch once: a process that ends does not wait for a collector that is away. */
  async close(): Promise<void> {
    this.#stop()
    this.#closing = true
    await this.flush()
  }

  #start(): Promise<void> {
    if (this.#running !== null) return this.#running
    if (this.#queue.length === 0) return Promise.resolve()
    this.#running = this.#drain().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, BATCH)
      this.#queue = this.#queue.slice(BATCH)
      // Not `dropped += await`: that would undo what write() counts meanwhile.
      const lost = await this.#send(batch)
      this.dropped += lost
    }
  }

  /** How many of the batch were lost. */
  async #send(batch: readonly UsageRecord[]): Promise<number> {
    const { url, fetch, sleep, version } = this.#options
    const resource = { attributes: [...str('service.name', 'heddle'), ...str('service.version', version)] }
    const scopeLogs = [{ scope: { name: 'heddle.usage' }, logRecords: batch.map(toLogRecord) }]
    const body = JSON.stringify({ resourceLogs: [{ resource, scopeLogs }] })
    for (let tries = 1; ; tries++) {
      const answer = await fetch(url, { method: 'POST', headers: this.#headers, body, timeoutMs: TIMEOUT_MS }).catch(
        () => null,
      )
      if (answer !== null && answer.status >= 200 && answer.status < 300) return rejectedIn(answer.body, batch.length)
      const again = answer === null || RETRYABLE.has(answer.status)
      if (!again || tries === MAX_TRIES || this.#closing) return batch.length
      await sleep(Math.max(waitAsked(answer), Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** (tries - 1))))
    }
  }
}

/** `Retry-After` in seconds; ms. */
function waitAsked(answer: FetchedAnswer | null): number {
  const seconds = Number(answer?.headers['retry-after'])
  return seconds > 0 ? Math.min(MAX_BACKOFF_MS, seconds * 1000) : 0
}

/** A collector may take a batch in part: `partialSuccess.rejectedLogRecords`. */
function rejectedIn(body: string, most: number): number {
  if (!body.includes('rejectedLogRecords')) return 0
  try {
    const { partialSuccess } = JSON.parse(body) as {
      readonly partialSuccess?: { readonly rejectedLogRecords?: unknown }
    }
    const n = Number(partialSuccess?.rejectedLogRecords)
    return n > 0 ? Math.min(n, most) : 0
  } catch {
    return 0
  }
}
