/** Spans in OTLP's JSON form (opentelemetry.io/docs/specs/otlp, JSON Protobuf Encoding): ids in hex, 64 bits as texts. */
import type { AttributeValue, Attributes, SpanData } from '../../contracts/trace.ts'
import type { Origin } from './span-proto.ts'
import { KINDS, nanosOf, spanFlags } from './span-proto.ts'

const nanos = (ms: number): string => BigInt(nanosOf(ms)).toString()

function valueOf(value: AttributeValue): object {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value !== 'number') return { arrayValue: { values: value.map(valueOf) } }
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value }
}

const attributesOf = (attributes: Attributes): object[] =>
  Object.entries(attributes).map(([key, value]) => ({ key, value: valueOf(value) }))

export function spanJson(span: SpanData): string {
  return JSON.stringify({
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.traceState === '' ? {} : { traceState: span.traceState }),
    ...(span.parentSpanId === '' ? {} : { parentSpanId: span.parentSpanId }),
    name: span.name,
    kind: KINDS[span.kind],
    startTimeUnixNano: nanos(span.startAt),
    endTimeUnixNano: nanos(span.endAt),
    attributes: attributesOf(span.attributes),
    events: span.events.map(({ at, name, attributes }) => ({
      timeUnixNano: nanos(at),
      name,
      attributes: attributesOf(attributes),
    })),
    links: span.links.map(({ traceId, spanId }) => ({ traceId, spanId })),
    status: span.error === null ? {} : { code: 2, ...(span.error === '' ? {} : { message: span.error }) },
    flags: spanFlags(span),
  })
}

/** An ExportTraceServiceRequest of texts that spanJson() has made, each joined by commas. */
export function requestJson({ resource, scope, version, schemaUrl }: Origin, parts: readonly string[]): Uint8Array {
  const ofResource = JSON.stringify({ attributes: attributesOf(resource) })
  const ofScope = JSON.stringify({ name: scope, version })
  const url = JSON.stringify(schemaUrl)
  return Buffer.from(
    `{"resourceSpans":[{"resource":${ofResource},"scopeSpans":[{"scope":${ofScope},"spans":[${parts.join(',')}],"schemaUrl":${url}}],"schemaUrl":${url}}]}`,
  )
}
