/** Spans in OTLP's binary form: opentelemetry/proto/{trace,common,resource}/v1 of opentelemetry-proto 1.x. */
import type { AttributeValue, Attributes, SpanData } from '../../contracts/trace.ts'
import type { ProtoWriter } from './proto-writer.ts'

/** TracesData.resource_spans, ResourceSpans, ScopeSpans. */
const RESOURCE_SPANS = 1
const RESOURCE = 1
const SCOPE_SPANS = 2
const SCHEMA_URL = 3
const SCOPE = 1
const SPANS = 2

export const KINDS = { internal: 1, server: 2, client: 3 } as const
const STATUS_ERROR = 2
/** SpanFlags: whether the parent is remote is known, and whether it is so; below them W3C's flags. */
const HAS_REMOTE = 0x100
const IS_REMOTE = 0x200
const SAMPLED = 1

export const spanFlags = (span: SpanData): number => SAMPLED | HAS_REMOTE | (span.remoteParent ? IS_REMOTE : 0)

/** Epoch ms into nanoseconds; a double tells them apart to a quarter of a microsecond. */
export const nanosOf = (ms: number): number => Math.round(ms * 1e6)

function writeValue(w: ProtoWriter, field: number, value: AttributeValue): void {
  const start = w.open(field)
  if (typeof value === 'string') w.string(1, value)
  else if (typeof value === 'boolean') w.uint(2, value ? 1 : 0)
  else if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) w.int(3, value)
    else w.double(4, value)
  } else {
    const list = w.open(5)
    for (const item of value) writeValue(w, 1, item)
    w.close(list)
  }
  w.close(start)
}

function writeAttributes(w: ProtoWriter, field: number, attributes: Attributes): void {
  for (const key in attributes) {
    const start = w.open(field)
    w.string(1, key)
    writeValue(w, 2, attributes[key]!)
    w.close(start)
  }
}

/** As a field of ScopeSpans: spans one after the other are a part of that message. */
export function writeSpan(w: ProtoWriter, span: SpanData): void {
  const start = w.open(SPANS)
  w.hex(1, span.traceId)
  w.hex(2, span.spanId)
  if (span.traceState !== '') w.string(3, span.traceState)
  if (span.parentSpanId !== '') w.hex(4, span.parentSpanId)
  w.string(5, span.name)
  w.uint(6, KINDS[span.kind])
  w.fixed64(7, nanosOf(span.startAt))
  w.fixed64(8, nanosOf(span.endAt))
  writeAttributes(w, 9, span.attributes)
  for (const event of span.events) {
    const at = w.open(11)
    w.fixed64(1, nanosOf(event.at))
    w.string(2, event.name)
    writeAttributes(w, 3, event.attributes)
    w.close(at)
  }
  for (const link of span.links) {
    const at = w.open(13)
    w.hex(1, link.traceId)
    w.hex(2, link.spanId)
    w.close(at)
  }
  if (span.error !== null) {
    const at = w.open(15)
    if (span.error !== '') w.string(2, span.error)
    w.uint(3, STATUS_ERROR)
    w.close(at)
  }
  w.fixed32(16, spanFlags(span))
  w.close(start)
}

export interface Origin {
  readonly resource: Readonly<Record<string, string>>
  readonly scope: string
  readonly version: string
  readonly schemaUrl: string
}

/** An ExportTraceServiceRequest of spans that writeSpan() has written. */
export function writeRequest(w: ProtoWriter, { resource, scope, version, schemaUrl }: Origin, parts: Uint8Array[]) {
  const resourceSpans = w.open(RESOURCE_SPANS)
  const ofResource = w.open(RESOURCE)
  writeAttributes(w, 1, resource)
  w.close(ofResource)
  const scopeSpans = w.open(SCOPE_SPANS)
  const ofScope = w.open(SCOPE)
  w.string(1, scope)
  w.string(2, version)
  w.close(ofScope)
  for (const part of parts) w.raw(part)
  w.string(3, schemaUrl)
  w.close(scopeSpans)
  w.string(SCHEMA_URL, schemaUrl)
  w.close(resourceSpans)
  return w.take()
}
