import type { Signals } from '../contracts/trace.ts'

type Field = Exclude<keyof Signals, 'otherTracers'>

/** Lower-case names. Sources: W3C Trace Context and Baggage, openzipkin/b3-propagation, Envoy's HTTP headers, gRPC over HTTP/2, the SDKs of OpenAI. */
const FIELDS: ReadonlyMap<string, Field> = new Map([
  ['traceparent', 'traceparent'],
  ['tracestate', 'tracestate'],
  ['baggage', 'baggage'],
  ['b3', 'b3'],
  ['x-b3-traceid', 'b3TraceId'],
  ['x-b3-spanid', 'b3SpanId'],
  ['x-b3-parentspanid', 'b3ParentSpanId'],
  ['x-b3-sampled', 'b3Sampled'],
  ['x-b3-flags', 'b3Flags'],
  ['x-envoy-expected-rq-timeout-ms', 'expectedTimeoutMs'],
  ['grpc-timeout', 'grpcTimeout'],
  ['x-request-timeout-ms', 'requestTimeoutMs'],
  ['x-stainless-timeout', 'sdkTimeout'],
  ['x-stainless-read-timeout', 'sdkReadTimeout'],
  ['x-envoy-attempt-count', 'attemptCount'],
  ['x-stainless-retry-count', 'sdkRetryCount'],
])

/** Tracers whose context Heddle does not read. */
const OTHER_TRACERS: ReadonlySet<string> = new Set([
  'grpc-trace-bin',
  'x-ot-span-context',
  'x-cloud-trace-context',
  'x-datadog-trace-id',
  'x-datadog-parent-id',
  'x-datadog-sampling-priority',
  'sw8',
  'x-amzn-trace-id',
])

/** Lists by their specifications: several lines are one value (W3C Trace Context 3.3.1, Baggage 3.2.1). */
const LISTS: ReadonlySet<Field> = new Set<Field>(['tracestate', 'baggage'])

/** Longer values are no context of anybody: they would only be carried through the mesh. */
const MAX_VALUE = 8192

const LENGTHS: readonly boolean[] = Array.from(
  { length: 64 },
  (_, n) =>
    [...FIELDS.keys()].some((name) => name.length === n) || [...OTHER_TRACERS].some((name) => name.length === n),
)

type Mutable = { -readonly [K in Field]: string | undefined } & { otherTracers: string[] }

const NO_OTHERS: string[] = []

const none = (): Mutable => ({
  traceparent: undefined,
  tracestate: undefined,
  baggage: undefined,
  b3: undefined,
  b3TraceId: undefined,
  b3SpanId: undefined,
  b3ParentSpanId: undefined,
  b3Sampled: undefined,
  b3Flags: undefined,
  otherTracers: NO_OTHERS,
  expectedTimeoutMs: undefined,
  grpcTimeout: undefined,
  requestTimeoutMs: undefined,
  sdkTimeout: undefined,
  sdkReadTimeout: undefined,
  attemptCount: undefined,
  sdkRetryCount: undefined,
})

/** What a request without any of these headers has. */
export const NO_SIGNALS: Signals = none()

/**
 * The headers among raw ones (name, value, name, value) that speak of traces, deadlines and attempts. A header that
 * stands twice counts as absent: each of two readers could take another one for true.
 */
export function readSignals(raw: readonly string[]): Signals {
  let found: Mutable | null = null
  const twice: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const key = raw[i]!
    if (LENGTHS[key.length] !== true) continue
    const name = key.toLowerCase()
    const field = FIELDS.get(name)
    if (field === undefined && !OTHER_TRACERS.has(name)) continue
    const value = raw[i + 1]!
    if (value.length > MAX_VALUE) continue
    found ??= none()
    if (field === undefined) {
      if (twice.includes(name)) continue
      const at = found.otherTracers.findIndex((text, index) => index % 2 === 0 && text === name)
      if (at >= 0) {
        found.otherTracers.splice(at, 2)
        twice.push(name)
        continue
      }
      if (found.otherTracers === NO_OTHERS) found.otherTracers = []
      found.otherTracers.push(name, value)
      continue
    }
    const before = found[field]
    if (before === undefined) {
      if (!twice.includes(name)) found[field] = value
    } else if (LISTS.has(field)) found[field] = before === '' ? value : `${before},${value}`
    else {
      found[field] = undefined
      twice.push(name)
    }
  }
  return found ?? NO_SIGNALS
}
