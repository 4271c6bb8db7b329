import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { frameOf, MessageReader, type MessageOwner } from './messages.ts'
import { escapeMessage, GRPC } from './status.ts'
import { timeoutMs } from './timeout.ts'
import { WireFault, WireReader, WireWriter } from './wire.ts'

const LIMITS = { maxMessage: 100_000, maxPartial: 1_000_000 }

class Owner implements MessageOwner {
  stopped = false
  readonly got: string[] = []
  readonly bad: number[] = []
  /** Stops after each so many. */
  every = 0

  onMessage(bytes: Buffer): void {
    this.got.push(bytes.toString('hex'))
    if (this.every > 0 && this.got.length % this.every === 0) this.stopped = true
  }

  onBadMessage(code: number): void {
    this.bad.push(code)
    this.stopped = true
  }
}

const messages = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.integer({ min: 0, max: 9000 }).map((size) => new Uint8Array(size).fill(7)),
  ),
  { maxLength: 12, size: 'max' },
)
const sizes = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 })

function* piecesOf(all: Buffer, lengths: readonly number[]): Generator<Buffer> {
  for (let at = 0, i = 0; at < all.length; i++) {
    const size = lengths[i % lengths.length]!
    yield all.subarray(at, at + size)
    at += size
  }
}

function go(owner: Owner, reader: MessageReader): void {
  while (owner.stopped) {
    owner.stopped = false
    reader.resume()
  }
}

describe('messages', () => {
  test('come out as they went in, in whatever pieces, and however often they are stopped', () => {
    fc.assert(
      fc.property(messages, sizes, fc.integer({ min: 0, max: 3 }), (list, lengths, every) => {
        const owner = new Owner()
        owner.every = every
        const partial = { bytes: 0 }
        const reader = new MessageReader(owner, LIMITS, partial)
        for (const piece of piecesOf(Buffer.concat(list.map(frameOf)), lengths)) {
          reader.push(piece)
          if (every === 2) go(owner, reader)
        }
        go(owner, reader)
        expect(owner.got).toEqual(list.map((bytes) => Buffer.from(bytes).toString('hex')))
        expect([reader.incomplete, reader.holds, partial.bytes]).toEqual([false, false, 0])
      }),
      { numRuns: 300 },
    )
  })

  test('too large, compressed, of no form: refused before they are read', () => {
    for (const [hex, code] of [
      ['00ffffffff', GRPC.RESOURCE_EXHAUSTED],
      ['0100000001aa', GRPC.UNIMPLEMENTED],
      ['0700000001aa', GRPC.INTERNAL],
    ] as const) {
      const owner = new Owner()
      new MessageReader(owner, LIMITS, { bytes: 0 }).push(Buffer.from(hex, 'hex'))
      expect([owner.got, owner.bad]).toEqual([[], [code]])
    }
  })

  test('what is incomplete is counted, bounded over all calls, and forgotten with its call', () => {
    const partial = { bytes: 0 }
    const limits = { maxMessage: 100_000, maxPartial: 150_000 }
    const half = frameOf(Buffer.alloc(90_000)).subarray(0, 80_005)
    const first = new MessageReader(new Owner(), limits, partial)
    first.push(half)
    expect(partial.bytes).toBe(80_000)
    const owner = new Owner()
    const second = new MessageReader(owner, limits, partial)
    second.push(half)
    expect(owner.bad).toEqual([GRPC.RESOURCE_EXHAUSTED])
    first.close()
    second.close()
    expect(partial.bytes).toBe(0)
  })

  test('a message of single bytes holds about its size', () => {
    const owner = new Owner()
    const reader = new MessageReader(owner, LIMITS, { bytes: 0 })
    const all = frameOf(Buffer.alloc(50_000, 'x'))
    const before = process.memoryUsage().external + process.memoryUsage().arrayBuffers
    for (let i = 0; i < all.length - 1; i++) reader.push(Buffer.from(all.subarray(i, i + 1)))
    expect(process.memoryUsage().external + process.memoryUsage().arrayBuffers - before).toBeLessThan(5_000_000)
    reader.push(all.subarray(-1))
    expect(owner.got).toEqual([Buffer.alloc(50_000, 'x').toString('hex')])
  })
})

test('grpc-message is percent-encoded UTF-8, and comes back', () => {
  expect(escapeMessage('all is well')).toBe('all is well')
  expect(escapeMessage('100 % é\n')).toBe('100 %25 %C3%A9%0A')
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
      const escaped = escapeMessage(text)
      expect(escaped).toMatch(/^[\x20-\x7e]*$/)
      expect(decodeURIComponent(escaped)).toBe(text.toWellFormed())
    }),
  )
})

test.each([
  [undefined, Infinity],
  ['200m', 200],
  ['1S', 1000],
  ['2M', 120_000],
  ['1H', 3_600_000],
  ['1500u', 1.5],
  ['0n', 0],
  ['99999999H', Infinity],
  ['123456789m', Number.NaN],
  ['1', Number.NaN],
  ['-1S', Number.NaN],
  ['1s', Number.NaN],
])('a timeout of %s is %s ms', (text, ms) => {
  expect(timeoutMs(text)).toBe(ms)
})

describe('fields by hand', () => {
  test('numbers of all sizes, and texts of all kinds, come back', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 0xffff_ffff }),
        fc.string({ unit: 'binary', maxLength: 100 }),
        fc.uint8Array(),
        (n, text, bytes) => {
          const out = new WireWriter()
          out.begin()
          out.data(1000, bytes, true)
          const inner = out.mark()
          out.text(2, text, true)
          out.close(3, inner)
          out.number(1, n)
          const r = new WireReader(out.frame().subarray(5))
          expect([r.next(), r.no, r.varint()]).toEqual([true, 1, n])
          expect([r.next(), r.no]).toEqual([true, 3])
          const outer = r.enter()
          expect([r.next(), r.no, r.text(), r.next()]).toEqual([true, 2, text.toWellFormed(), false])
          r.leave(outer)
          expect([r.next(), r.no, Buffer.from(r.bytes()).equals(bytes), r.next()]).toEqual([true, 1000, true, false])
        },
      ),
    )
  })

  test('a group in a group in a group ends somewhere', () => {
    const r = new WireReader(Buffer.alloc(10_000, 0x0b))
    expect(r.next()).toBe(true)
    expect(() => r.skip()).toThrow(WireFault)
  })
})
