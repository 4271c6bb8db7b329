import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { afterEach, expect, test, vi } from 'vitest'
import type { SpanData } from '../../src/contracts/trace.ts'
import type { SpanChunk, TelemetryLink } from '../../src/telemetry/otlp/link.ts'
import { spansOfProto } from './kit/otlp-decode.ts'
import { Counts } from '../../src/telemetry/otlp/link.ts'
import { ProtoWriter } from '../../src/telemetry/otlp/proto-writer.ts'
import { CHUNK_SPANS, MAX_SPANS_A_REQUEST, SpanQueue } from '../../src/telemetry/otlp/span-queue.ts'
import { writeRequest } from '../../src/telemetry/otlp/span-proto.ts'
import * as spanProto from '../../src/telemetry/otlp/span-proto.ts'

const SPAN: SpanData = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  parentSpanId: '',
  remoteParent: false,
  traceState: '',
  kind: 'client',
  name: 'POST',
  startAt: 1,
  endAt: 2,
  attributes: {},
  events: [],
  links: [],
  error: null,
}
const spans = (n: number): SpanData[] => Array.from({ length: n }, (_, i) => ({ ...SPAN, name: `span ${i}` }))

const open: (() => void)[] = []
afterEach(() => {
  for (const close of open.splice(0)) close()
  vi.restoreAllMocks()
})

function queue(maxQueue = 1000, json = false) {
  const { port1, port2 } = new MessageChannel()
  const counts = new Counts()
  const link: TelemetryLink = {
    port: port1,
    counts: counts.buffer,
    json,
    batch: { maxQueue, maxBatch: 512, delayMs: 5000 },
  }
  let tick = (): void => {}
  const stopped = vi.fn<() => void>()
  const made = new SpanQueue(link, {
    every: (task) => {
      tick = task
      return stopped
    },
  })
  open.push(
    () => port2.close(),
    () => port1.close(),
  )
  const received = (): SpanChunk[] => {
    const all: SpanChunk[] = []
    for (let next = receiveMessageOnPort(port2); next !== undefined; next = receiveMessageOnPort(port2))
      all.push(next.message as SpanChunk)
    return all
  }
  return { made, counts, received, tick: () => tick(), stopped }
}

const ORIGIN = { resource: {}, scope: '', version: '', schemaUrl: '' }
const namesIn = (chunks: readonly SpanChunk[]): string[] =>
  spansOfProto(
    Buffer.from(
      writeRequest(
        new ProtoWriter(),
        ORIGIN,
        chunks.map(({ data }) => data as Uint8Array),
      ),
    ),
  ).map(({ name }) => name)

test('small parts go over as they fill, the rest with the clock', () => {
  const { made, counts, received, tick } = queue()
  for (let i = 0; i < 85; i++) made.write(spans(3))
  expect(received()).toEqual([])
  made.write(spans(3))
  const [chunk, ...none] = received()
  expect([chunk?.spans, none.length, counts.queued]).toEqual([258, 0, 258])
  expect(namesIn([chunk!])).toHaveLength(258)
  made.write(spans(2))
  tick()
  expect(namesIn(received())).toEqual(['span 0', 'span 1'])
  tick()
  expect(received()).toEqual([])
})

test('what there is no room for is dropped and counted; room comes back when spans are out', () => {
  const { made, counts, received, tick } = queue(10)
  made.write(spans(6))
  tick()
  made.write(spans(6))
  expect([counts.queued, counts.dropped]).toEqual([6, 6])
  counts.done(6, 2, 0)
  made.write(spans(6))
  tick()
  expect([counts.queued, counts.exported, counts.failed, counts.dropped]).toEqual([6, 4, 2, 6])
  expect(received().map((chunk) => chunk.spans)).toEqual([6, 6])
})

test('AC-TR-7 the mechanism: no turn encodes more than the spans of one request, and those are bounded', () => {
  const written = vi.spyOn(spanProto, 'writeSpan')
  const { made, counts, tick } = queue()
  const most = { encoded: 0 }
  const measure = (turn: () => void): void => {
    const before = counts.queued
    const encodedBefore = written.mock.calls.length
    turn()
    most.encoded = Math.max(most.encoded, written.mock.calls.length - encodedBefore)
    expect(counts.queued - before).toBeLessThanOrEqual(CHUNK_SPANS + MAX_SPANS_A_REQUEST)
  }
  for (let i = 0; i < 500; i++) {
    measure(() => made.write(spans(i % 60)))
    measure(tick)
    // The collector keeps up.
    counts.done(counts.queued, 0, counts.queuedBytes)
  }
  expect(most.encoded).toBe(MAX_SPANS_A_REQUEST)
  expect(counts.dropped).toBeGreaterThan(0)
})

test('a span that cannot be written takes nobody with it', () => {
  const { made, counts, received, tick } = queue()
  const broken = { ...SPAN, attributes: { bad: undefined as unknown as string } }
  made.write([{ ...SPAN, name: 'before' }, broken, { ...SPAN, name: 'after' }])
  tick()
  expect(namesIn(received())).toEqual(['before', 'after'])
  expect(counts.dropped).toBe(1)
})

test('JSON goes over as text', () => {
  const { made, received, tick } = queue(100, true)
  made.write(spans(2))
  tick()
  const [chunk] = received()
  expect(JSON.parse(`[${chunk!.data as string}]`)).toHaveLength(2)
})

test('closed, it hands over the rest and takes no more', () => {
  const { made, counts, received, stopped } = queue()
  made.write(spans(2))
  made.close()
  made.write(spans(3))
  expect(received().map((chunk) => chunk.spans)).toEqual([2])
  expect(counts.dropped).toBe(3)
  expect(stopped).toHaveBeenCalledOnce()
})

test('is bounded in bytes as well: spans with prompts and answers are large', () => {
  const { made, counts, received } = queue(1_000_000)
  const large = [{ ...SPAN, attributes: { text: 'x'.repeat(1024 * 1024) } }]
  for (let i = 0; i < 80; i++) made.write(large)
  const bytes = received().reduce((sum, { data }) => sum + data.length, 0)
  expect(bytes).toBeGreaterThan(60 * 1024 * 1024)
  expect(bytes).toBeLessThan(66 * 1024 * 1024)
  expect(counts.queued + counts.dropped).toBe(80)
  // What is exported makes room again.
  counts.done(10, 0, 10 * 1024 * 1024)
  made.write(large)
  expect(received()).toHaveLength(1)
})
