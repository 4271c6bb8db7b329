import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SseReader, sseEvent, type SseEvent } from './sse-reader.ts'

function readAll(
  text: string,
  cuts: readonly number[],
  max = 1000,
): { events: SseEvent[]; reader: SseReader; whole: boolean } {
  const events: SseEvent[] = []
  const reader = new SseReader(max, (event) => void events.push(event))
  const bytes = Buffer.from(text)
  const points = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b)
  let from = 0
  let whole = true
  for (const point of [...points, bytes.length]) {
    whole &&= reader.push(bytes.subarray(from, point))
    from = point
  }
  return { events, reader, whole }
}

const STREAM =
  '\uFEFFid: 1\nretry: 250\ndata: \n\n: hello\r\nevent: message\r\ndata: {"ä":1}\r\n\r\nevent: other\ndata: x\n\ndata: a\ndata:b\nid\n\nid: 2\rdata: last\r\r'

test('events are the same however the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(500), { maxLength: 20 }), (cuts) => {
      const { events, reader, whole } = readAll(STREAM, cuts)
      expect(events).toEqual([
        { data: '{"ä":1}', id: '1' },
        { data: 'a\nb', id: '' },
        { data: 'last', id: '2' },
      ])
      expect([reader.lastId, reader.retryMs, whole]).toEqual(['2', 250, true])
    }),
  )
})

test('an event that is too large ends it, a stream of small ones does not', () => {
  expect(readAll(`data: ${'x'.repeat(2000)}`, []).whole).toBe(false)
  expect(readAll('data: x\n'.repeat(300), []).whole).toBe(false)
  expect(readAll(`: ${'c'.repeat(90)}\ndata: y\n\n`.repeat(100), [50, 900, 4000]).whole).toBe(true)
})

test('what is written is read back', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(readAll(sseEvent(JSON.stringify(JSON.parse(text))), [], 100_000).events).toEqual([
        { data: JSON.stringify(JSON.parse(text)), id: '' },
      ])
    }),
  )
})
