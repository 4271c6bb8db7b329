/**
 * OTLP's traces and metrics out of their bytes or their JSON, for sinks. A decoder of its own, on nothing but the field numbers of
 * opentelemetry-proto (trace/v1, common/v1, resource/v1, metrics/v1), so that it shares no mistake with the encoder.
 */

export type Value = string | number | boolean | readonly Value[] | null
export type ValueMap = Readonly<Record<string, Value>>

export interface SeenSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly traceState: string
  readonly name: string
  readonly kind: 'unspecified' | 'internal' | 'server' | 'client' | 'producer' | 'consumer'
  /** Nanoseconds since the epoch. */
  readonly start: bigint
  readonly end: bigint
  readonly attributes: ValueMap
  readonly events: readonly { readonly name: string; readonly at: bigint; readonly attributes: ValueMap }[]
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly status: 'unset' | 'ok' | 'error'
  readonly flags: number
  readonly resource: ValueMap
  readonly scope: string
}

export interface SeenMetric {
  readonly name: string
  readonly unit: string
  readonly kind: 'gauge' | 'sum' | 'histogram'
  readonly points: readonly {
    readonly attributes: ValueMap
    readonly value: number
    readonly count: number
    readonly sum: number
    readonly bounds: readonly number[]
    readonly buckets: readonly number[]
  }[]
  readonly resource: ValueMap
}

/** Fields of a message by their numbers, each with its values in order: numbers of varints, bytes of all others. */
type Fields = ReadonlyMap<number, readonly (bigint | Buffer)[]>

export function fieldsOf(bytes: Buffer): Fields {
  const fields = new Map<number, (bigint | Buffer)[]>()
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      if (at >= bytes.length || shift > 63n) throw new Error('a varint does not end')
      const byte = bytes[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error('a field is longer than its message')
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const type = tag & 7
    if (![0, 1, 2, 5].includes(type) || tag < 8) throw new Error(`no field has the tag ${tag}`)
    const value = type === 0 ? varint() : take(type === 1 ? 8 : type === 5 ? 4 : Number(varint()))
    const list = fields.get(tag >> 3)
    if (list === undefined) fields.set(tag >> 3, [value])
    else list.push(value)
  }
  return fields
}

const all = (f: Fields, n: number): readonly Buffer[] => (f.get(n) ?? []).map((v) => v as Buffer)
const one = (f: Fields, n: number): Buffer => all(f, n)[0] ?? Buffer.alloc(0)
const text = (f: Fields, n: number): string => one(f, n).toString('utf8')
const hex = (f: Fields, n: number): string => one(f, n).toString('hex')
const uint = (f: Fields, n: number): number => Number((f.get(n)?.[0] as bigint | undefined) ?? 0n)
const fixed64 = (f: Fields, n: number): bigint => (f.has(n) ? one(f, n).readBigUInt64LE() : 0n)
const double = (f: Fields, n: number): number => (f.has(n) ? one(f, n).readDoubleLE() : 0)

function valueOf(bytes: Buffer): Value {
  const f = fieldsOf(bytes)
  if (f.has(1)) return text(f, 1)
  if (f.has(2)) return uint(f, 2) === 1
  if (f.has(3)) return Number(BigInt.asIntN(64, f.get(3)![0] as bigint))
  if (f.has(4)) return double(f, 4)
  if (f.has(5)) return all(fieldsOf(one(f, 5)), 1).map(valueOf)
  return null
}

const mapOf = (pairs: readonly Buffer[]): ValueMap =>
  Object.fromEntries(
    pairs.map((pair) => {
      const f = fieldsOf(pair)
      return [text(f, 1), valueOf(one(f, 2))]
    }),
  )

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const
const STATUS = ['unset', 'ok', 'error'] as const

function spanOf(bytes: Buffer, resource: ValueMap, scope: string): SeenSpan {
  const f = fieldsOf(bytes)
  return {
    traceId: hex(f, 1),
    spanId: hex(f, 2),
    traceState: text(f, 3),
    parentSpanId: hex(f, 4),
    name: text(f, 5),
    kind: KINDS[uint(f, 6)] ?? 'unspecified',
    start: fixed64(f, 7),
    end: fixed64(f, 8),
    attributes: mapOf(all(f, 9)),
    events: all(f, 11).map((event) => {
      const e = fieldsOf(event)
      return { at: fixed64(e, 1), name: text(e, 2), attributes: mapOf(all(e, 3)) }
    }),
    links: all(f, 13).map((link) => {
      const l = fieldsOf(link)
      return { traceId: hex(l, 1), spanId: hex(l, 2) }
    }),
    status: STATUS[uint(fieldsOf(one(f, 15)), 3)] ?? 'unset',
    flags: f.has(16) ? one(f, 16).readUInt32LE() : 0,
    resource,
    scope,
  }
}

/** ExportTraceServiceRequest, binary. Throws when it is none. */
export const spansOfProto = (bytes: Buffer): readonly SeenSpan[] =>
  all(fieldsOf(bytes), 1).flatMap((resourceSpans) => {
    const f = fieldsOf(resourceSpans)
    const resource = mapOf(all(fieldsOf(one(f, 1)), 1))
    return all(f, 2).flatMap((scopeSpans) => {
      const s = fieldsOf(scopeSpans)
      const scope = text(fieldsOf(one(s, 1)), 1)
      return all(s, 2).map((span) => spanOf(span, resource, scope))
    })
  })

const packed = (bytes: Buffer, read: (at: number) => number): number[] =>
  Array.from({ length: bytes.length / 8 }, (_, i) => read(i * 8))

/** ExportMetricsServiceRequest, binary. */
export const metricsOfProto = (bytes: Buffer): readonly SeenMetric[] =>
  all(fieldsOf(bytes), 1).flatMap((resourceMetrics) => {
    const f = fieldsOf(resourceMetrics)
    const resource = mapOf(all(fieldsOf(one(f, 1)), 1))
    return all(f, 2).flatMap((scope) =>
      all(fieldsOf(scope), 2).map((metric): SeenMetric => {
        const m = fieldsOf(metric)
        const kind = m.has(5) ? 'gauge' : m.has(7) ? 'sum' : 'histogram'
        const data = fieldsOf(one(m, kind === 'gauge' ? 5 : kind === 'sum' ? 7 : 9))
        const points = all(data, 1).map((point) => {
          const p = fieldsOf(point)
          const histogram = kind === 'histogram'
          return {
            attributes: mapOf(all(p, histogram ? 9 : 7)),
            value: histogram ? 0 : double(p, 4),
            count: histogram ? Number(fixed64(p, 4)) : 0,
            sum: histogram ? double(p, 5) : 0,
            buckets: histogram ? packed(one(p, 6), (i) => Number(one(p, 6).readBigUInt64LE(i))) : [],
            bounds: histogram ? packed(one(p, 7), (i) => one(p, 7).readDoubleLE(i)) : [],
          }
        })
        return { name: text(m, 1), unit: text(m, 3), kind, points, resource }
      }),
    )
  })

interface JsonValue {
  readonly stringValue?: string
  readonly boolValue?: boolean
  readonly intValue?: string | number
  readonly doubleValue?: number
  readonly arrayValue?: { readonly values?: readonly JsonValue[] }
}
type JsonPairs = readonly { readonly key: string; readonly value: JsonValue }[] | undefined

function jsonValue(v: JsonValue): Value {
  if (v.intValue !== undefined) return Number(v.intValue)
  if (v.arrayValue !== undefined) return (v.arrayValue.values ?? []).map(jsonValue)
  return v.stringValue ?? v.boolValue ?? v.doubleValue ?? null
}

const jsonMap = (pairs: JsonPairs): ValueMap =>
  Object.fromEntries((pairs ?? []).map((p) => [p.key, jsonValue(p.value)]))

interface JsonSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly traceState?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes?: JsonPairs
  readonly events?: readonly { readonly name: string; readonly timeUnixNano: string; readonly attributes?: JsonPairs }[]
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly status?: { readonly code?: number }
  readonly flags?: number
}

interface JsonRequest {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: JsonPairs }
    readonly scopeSpans?: readonly {
      readonly scope?: { readonly name?: string }
      readonly spans?: readonly JsonSpan[]
    }[]
  }[]
}

/** The same in JSON. */
export const spansOfJson = (body: string): readonly SeenSpan[] =>
  ((JSON.parse(body) as JsonRequest).resourceSpans ?? []).flatMap(({ resource, scopeSpans }) =>
    (scopeSpans ?? []).flatMap(({ scope, spans }) =>
      (spans ?? []).map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        traceState: span.traceState ?? '',
        name: span.name,
        kind: KINDS[span.kind] ?? 'unspecified',
        start: BigInt(span.startTimeUnixNano),
        end: BigInt(span.endTimeUnixNano),
        attributes: jsonMap(span.attributes),
        events: (span.events ?? []).map((e) => ({
          name: e.name,
          at: BigInt(e.timeUnixNano),
          attributes: jsonMap(e.attributes),
        })),
        links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId, spanId })),
        status: STATUS[span.status?.code ?? 0] ?? 'unset',
        flags: span.flags ?? 0,
        resource: jsonMap(resource?.attributes),
        scope: scope?.name ?? '',
      })),
    ),
  )
