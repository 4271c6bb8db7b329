import { crc32 } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeEventStream, type EventStreamFault, type EventStreamMessage, EventStreamReader } from './event-stream.ts'

const BOUND = 64 * 1024

function readAll(
  chunks: readonly Buffer[],
  bound = BOUND,
): { messages: EventStreamMessage[]; fault: EventStreamFault | null; waits: boolean } {
  const reader = new EventStreamReader(bound)
  const messages: EventStreamMessage[] = []
  let fault: EventStreamFault | null = null
  for (const chunk of chunks) {
    fault = reader.push(chunk)
    for (let message = reader.next(); message !== null; message = reader.next()) messages.push(message)
  }
  return { messages, fault, waits: reader.waits }
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    chunks.push(bytes.subarray(at, at + sizes[i % sizes.length]!))
    at += sizes[i % sizes.length]!
  }
  return chunks
}

/** As the encoder, with any headers. */
function message(headers: Buffer, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(16 + headers.length + payload.length)
  bytes.writeUInt32BE(bytes.length, 0)
  bytes.writeUInt32BE(headers.length, 4)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 8)), 8)
  headers.copy(bytes, 12)
  payload.copy(bytes, 12 + headers.length)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  return bytes
}
const header = (name: string, type: number, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from([name.length]), Buffer.from(name), Buffer.from([type]), value])
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}

describe('EventStreamReader', () => {
  it('gives back what was written, in any pieces', () => {
    const one = fc.record({
      name: fc.string({ minLength: 1, maxLength: 30 }),
      data: fc.string({ unit: 'grapheme', maxLength: 60 }),
      exception: fc.boolean(),
    })
    fc.assert(
      fc.property(
        fc.array(one, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 }),
        (all, sizes) => {
          const bytes = Buffer.concat(
            all.map(({ name, data, exception }) => encodeEventStream(name, data, exception ? 'exception' : 'event')),
          )
          const { messages, fault, waits } = readAll(cut(bytes, sizes))
          expect(fault).toBeNull()
          expect(waits).toBe(false)
          expect(messages).toEqual(all.map(({ name, data }) => ({ name, data })))
        },
      ),
    )
  })

  it('reads messages much greater than a chunk', () => {
    const data = JSON.stringify('x'.repeat(50_000))
    expect(readAll(cut(encodeEventStream('big', data), [700])).messages).toEqual([{ name: 'big', data }])
  })

  it('reads headers of all types', () => {
    const headers = Buffer.concat([
      header('a', 0, Buffer.alloc(0)),
      header('b', 1, Buffer.alloc(0)),
      header('c', 2, Buffer.alloc(1)),
      header('d', 3, Buffer.alloc(2)),
      header('e', 4, Buffer.alloc(4)),
      header('f', 5, Buffer.alloc(8)),
      header('g', 6, text('bytes')),
      header('h', 8, Buffer.alloc(8)),
      header('i', 9, Buffer.alloc(16)),
      header(':event-type', 7, text('chunk')),
    ])
    expect(readAll([message(headers, Buffer.from('{}'))]).messages).toEqual([{ name: 'chunk', data: '{}' }])
    const error = Buffer.concat([
      header(':message-type', 7, text('error')),
      header(':error-code', 7, text('Busy')),
      header(':error-message', 7, text('no')),
    ])
    expect(readAll([message(error, Buffer.alloc(0))]).messages).toEqual([
      { name: 'error', data: '{"type":"Busy","message":"no"}' },
    ])
  })

  it('finds every changed bit', () => {
    const good = Buffer.concat([encodeEventStream('a', '{"x":1}'), encodeEventStream('b', '{}')])
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      const { fault, messages } = readAll([bad])
      expect(fault).not.toBeNull()
      expect(messages.length).toBeLessThan(2)
    }
  })

  it('refuses headers that do not fit, and messages that are too long', () => {
    const headers = header(':event-type', 7, text('chunk'))
    for (let length = 1; length < headers.length; length++)
      expect(readAll([message(headers.subarray(0, length), Buffer.alloc(0))]).fault).toBe('invalid_event')
    expect(readAll([message(header('x', 10, Buffer.alloc(0)), Buffer.alloc(0))]).fault).toBe('invalid_event')
    expect(readAll([encodeEventStream('a', 'x'.repeat(200))], 100).fault).toBe('event_too_large')
    const short = Buffer.alloc(12)
    short.writeUInt32BE(8, 0)
    short.writeUInt32BE(crc32(short.subarray(0, 8)), 8)
    expect(readAll([short]).fault).toBe('invalid_event')
  })

  it('gives what was whole before a fault, and nothing after it', () => {
    const reader = new EventStreamReader(BOUND)
    const bad = Buffer.from(encodeEventStream('b', '{}'))
    bad[20]! ^= 1
    expect(reader.push(Buffer.concat([encodeEventStream('a', '{}'), bad]))).toBe('invalid_event')
    expect(reader.next()).toEqual({ name: 'a', data: '{}' })
    expect(reader.push(encodeEventStream('c', '{}'))).toBe('invalid_event')
    expect(reader.next()).toBeNull()
  })

  it('says that it waits', () => {
    const bytes = encodeEventStream('a', '{}')
    for (let at = 1; at < bytes.length; at++)
      expect(readAll([bytes.subarray(0, at)])).toEqual({ messages: [], fault: null, waits: true })
  })

  it('survives any bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 80 })), (chunks) => {
        expect(() => readAll(chunks.map((chunk) => Buffer.from(chunk)))).not.toThrow()
      }),
    )
  })
})
