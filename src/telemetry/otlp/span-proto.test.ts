import fc from 'fast-check'
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import { expect, test } from 'vitest'
import type { AttributeValue, SpanData } from '../../contracts/trace.ts'
import { fieldsOf, spansOfJson, spansOfProto } from '../../../test/mesh/kit/otlp-decode.ts'
import { ProtoWriter } from './proto-writer.ts'
import { requestJson, spanJson } from './span-json.ts'
import { KINDS, nanosOf, writeRequest, writeSpan } from './span-proto.ts'

const ORIGIN = {
  resource: { 'service.name': 'gateway', 'service.version': '1' },
  scope: 'heddle',
  version: '1.2.3',
  schemaUrl: 'https://opentelemetry.io/schemas/1.41.1',
}

const SPAN: SpanData = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  parentSpanId: 'fedcba9876543210',
  remoteParent: true,
  traceState: 'a=1',
  kind: 'server',
  name: 'POST /v1/chat/completions',
  startAt: 1_795_366_800_123.5,
  endAt: 1_795_366_801_000.25,
  attributes: {
    text: 'grün 織機 🧵',
    long: 'x'.repeat(300),
    whole: 42,
    large: 2 ** 40,
    less: -7,
    part: 0.7,
    yes: true,
    no: false,
    list: ['a', 'b'],
    empty: '',
  },
  events: [{ name: 'retry', at: 1_795_366_800_500, attributes: { target: 'a/b' } }],
  links: [{ traceId: '11111111111111111111111111111111', spanId: '2222222222222222' }],
  error: 'broken',
}
const BARE: SpanData = {
  ...SPAN,
  parentSpanId: '',
  remoteParent: false,
  traceState: '',
  kind: 'client',
  attributes: {},
  events: [],
  links: [],
  error: null,
}

const hr = (ms: number): [number, number] => {
  const nanos = BigInt(nanosOf(ms))
  return [Number(nanos / 1_000_000_000n), Number(nanos % 1_000_000_000n)]
}

/** The same span as the official SDK hands it to its serializers. */
const official = (span: SpanData) =>
  ({
    name: span.name,
    kind: KINDS[span.kind] - 1,
    spanContext: () => ({
      traceId: span.traceId,
      spanId: span.spanId,
      traceFlags: 1,
      ...(span.traceState === '' ? {} : { traceState: { serialize: () => span.traceState } }),
    }),
    ...(span.parentSpanId === ''
      ? {}
      : { parentSpanContext: { traceId: span.traceId, spanId: span.parentSpanId, isRemote: span.remoteParent } }),
    startTime: hr(span.startAt),
    endTime: hr(span.endAt),
    status: span.error === null ? { code: 0 } : { code: 2, message: span.error },
    attributes: span.attributes,
    events: span.events.map((e) => ({ name: e.name, time: hr(e.at), attributes: e.attributes })),
    links: span.links.map((context) => ({ context: { ...context, traceFlags: 1 } })),
    resource: { attributes: ORIGIN.resource, schemaUrl: ORIGIN.schemaUrl },
    instrumentationScope: { name: ORIGIN.scope, version: ORIGIN.version, schemaUrl: ORIGIN.schemaUrl },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }) as never

const binary = (spans: readonly SpanData[]): Buffer => {
  const w = new ProtoWriter()
  for (const span of spans) writeSpan(w, span)
  const parts = [w.take()]
  return Buffer.from(writeRequest(w, ORIGIN, parts))
}

test.each([
  ['with all it can have', SPAN],
  ['with nothing but what it must', BARE],
])('a span %s is what the official serializers write', (_name, span) => {
  const theirs = spansOfProto(Buffer.from(ProtobufTraceSerializer.serializeRequest([official(span)])!))
  expect(theirs).toHaveLength(1)
  // Not a detail of the sampled flag: theirs leaves it to the context, which here is always sampled.
  expect(spansOfProto(binary([span]))).toEqual(theirs)
  const json = spansOfJson(Buffer.from(JsonTraceSerializer.serializeRequest([official(span)])!).toString())
  expect(spansOfJson(Buffer.from(requestJson(ORIGIN, [spanJson(span)])).toString())).toEqual(json)
})

test('field by field, the message around the spans is the official one', () => {
  const shape = (bytes: Buffer): unknown => {
    const resourceSpans = fieldsOf(fieldsOf(bytes).get(1)![0] as Buffer)
    const scopeSpans = fieldsOf(resourceSpans.get(2)![0] as Buffer)
    return {
      fields: new Set(resourceSpans.keys()),
      url: String(resourceSpans.get(3)![0]),
      scopeFields: new Set(scopeSpans.keys()),
      scopeUrl: String(scopeSpans.get(3)![0]),
    }
  }
  expect(shape(binary([SPAN]))).toEqual(shape(Buffer.from(ProtobufTraceSerializer.serializeRequest([official(SPAN)])!)))
})

const VALUE: fc.Arbitrary<AttributeValue> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Object.is(n, -0)),
  fc.array(fc.string({ maxLength: 20 }), { maxLength: 4 }),
)

test('whatever a span holds comes out as it went in, many in one buffer, binary and JSON', () => {
  const keys = fc.string({ minLength: 1, maxLength: 60 }).filter((key) => key !== '__proto__')
  fc.assert(
    fc.property(fc.array(fc.dictionary(keys, VALUE, { maxKeys: 8 }), { minLength: 1, maxLength: 60 }), (maps) => {
      const spans = maps.map((attributes) => ({ ...SPAN, attributes: { ...attributes } }))
      const wanted = spans.map(({ attributes }) => attributes)
      expect(spansOfProto(binary(spans)).map(({ attributes }) => attributes)).toEqual(wanted)
      const json = Buffer.from(requestJson(ORIGIN, spans.map(spanJson))).toString()
      expect(spansOfJson(json).map(({ attributes }) => attributes)).toEqual(wanted)
    }),
  )
})
