// Peers that would have a connection cost more than it may: each is stopped, and bounded until then.
import { describe, expect, test } from 'vitest'
import {
  data,
  frame,
  head,
  HELLO,
  numbers,
  PREFACE,
  REQUEST,
  resetsOf,
  Rig,
  settings,
} from '../../../test/support/h2-wire.ts'
import { Code, Flag, Frame, Setting } from './constants.ts'
import { encodeHeaders } from './hpack-encoder.ts'
import type { Http2Options } from './options.ts'
import type { Http2Stream } from './stream.ts'

const OK = encodeHeaders([':status', '200'])

function rigOf(options: Partial<Http2Options> = {}, hello = true) {
  const streams: Http2Stream[] = []
  const codes: number[] = []
  const rig = new Rig((stream) => {
    streams.push(stream)
    stream.handler = { onData() {}, onEnd() {}, onClose: (code) => void codes.push(code), onDrain() {} }
  }, options)
  if (hello) rig.say(HELLO)
  rig.hear()
  return { rig, streams, codes }
}

/** Says the same until the session has had enough; returns how often. */
function until(rig: Rig, part: (i: number) => Buffer, most: number): number {
  for (let i = 0; i < most; i++) {
    if (rig.session.dead || rig.socket.destroyed) return i
    rig.say(part(i))
  }
  return most
}

describe('a flood of', () => {
  const cancel = (i: number): Buffer =>
    Buffer.concat([head(i * 2 + 1, false), frame(Frame.RST_STREAM, 0, i * 2 + 1, numbers(Code.CANCEL))])

  test('streams that are taken back at once (CVE-2023-44487)', () => {
    const { rig, codes } = rigOf({ maxStreams: 100 })
    const count = until(rig, cancel, 10_000)
    expect(count).toBeLessThanOrEqual(102)
    expect(rig.farewell).toBe(Code.ENHANCE_YOUR_CALM)
    expect(codes.length).toBeLessThanOrEqual(102)
  })

  test('streams taken back now and then, as clients of proxies do, is none', () => {
    const { rig } = rigOf({ maxStreams: 100 })
    for (let i = 0; i < 2000; i++) {
      rig.now += 5
      rig.say(cancel(i))
    }
    expect(rig.farewell).toBe(-1)
  })

  test('errors that make us reset (CVE-2025-8671)', () => {
    const { rig } = rigOf({ maxStreams: 100 })
    const bad = (i: number): Buffer =>
      Buffer.concat([head(i * 2 + 1, false), frame(Frame.WINDOW_UPDATE, 0, i * 2 + 1, numbers(0))])
    expect(until(rig, bad, 10_000)).toBeLessThanOrEqual(102)
    expect(rig.farewell).toBe(Code.ENHANCE_YOUR_CALM)
  })

  test('CONTINUATION without end, in bytes and in frames', () => {
    for (const size of [1, 1000, 16_384]) {
      const { rig } = rigOf()
      rig.say(frame(Frame.HEADERS, 0, 1, encodeHeaders(REQUEST)))
      const count = until(rig, () => frame(Frame.CONTINUATION, 0, 1, Buffer.alloc(size, 0x82)), 10_000)
      expect(count).toBeLessThanOrEqual(size === 1 ? 65 : Math.ceil(32_768 / size) + 1)
      expect(rig.farewell).toBe(Code.ENHANCE_YOUR_CALM)
    }
  })

  test.each([
    ['PING', () => frame(Frame.PING, 0, 0, Buffer.alloc(8))],
    ['SETTINGS', () => settings([Setting.INITIAL_WINDOW_SIZE, 70_000])],
    ['empty DATA', () => data(1, '')],
    ['PRIORITY', () => frame(Frame.PRIORITY, 0, 3, Buffer.alloc(5))],
    ['WINDOW_UPDATE', () => frame(Frame.WINDOW_UPDATE, 0, 1, numbers(1))],
    ['frames of no type', () => frame(0x77, 0, 0)],
  ])('%s', (_name, part) => {
    const { rig } = rigOf()
    rig.say(head(1, false))
    expect(until(rig, part, 50_000)).toBeLessThanOrEqual(10_010)
    expect(rig.farewell).toBe(Code.ENHANCE_YOUR_CALM)
  })

  test('what we must answer, from a peer that does not read', () => {
    const { rig } = rigOf()
    rig.socket.stuck = true
    let said = 0
    // Frames that carry something keep the other bound away.
    while (!rig.socket.destroyed && said < 5_000_000) {
      rig.now += 100
      const pings = Array.from({ length: 90 }, () => frame(Frame.PING, 0, 0, Buffer.alloc(8)))
      rig.say(...pings)
      said += 90
    }
    expect(rig.socket.destroyed).toBe(true)
    expect(rig.socket.writableLength).toBeLessThan(1_100_000)
  })
})

describe('streams', () => {
  test('beyond those that are allowed are refused, and may come again', () => {
    const { rig, streams } = rigOf({ maxStreams: 2 })
    rig.say(head(1, true), head(3, true), head(5, true), head(7, false), data(7, 'under way'))
    expect(resetsOf(rig.hear())).toEqual([
      [5, Code.REFUSED_STREAM],
      [7, Code.REFUSED_STREAM],
    ])
    streams[0]!.respond(OK, true)
    rig.say(head(9, true))
    expect(streams.map(({ id }) => id)).toEqual([1, 3, 9])
    expect(rig.farewell).toBe(-1)
  })

  test('are not taken while too much waits for a peer that opens no window', () => {
    const { rig, streams } = rigOf({ maxQueued: 100_000 })
    rig.say(settings([Setting.INITIAL_WINDOW_SIZE, 0]))
    for (let i = 0; i < 50; i++) {
      rig.say(head(i * 2 + 1, true))
      const stream = streams.find(({ id }) => id === i * 2 + 1)
      stream?.answer(OK, Buffer.alloc(10_000), OK)
    }
    expect(streams.length).toBe(11)
    expect(rig.session.sender.queued).toBe(110_000)
    expect(resetsOf(rig.hear()).every(([, code]) => code === Code.REFUSED_STREAM)).toBe(true)
    for (const { id } of streams) rig.say(frame(Frame.WINDOW_UPDATE, 0, id, numbers(10_000)))
    rig.say(frame(Frame.WINDOW_UPDATE, 0, 0, numbers(1_000_000)))
    expect(rig.session.sender.queued).toBe(0)
  })

  test('with a head beyond the limit are answered 431, and the connection goes on', () => {
    const { rig, streams } = rigOf({ maxHeaderList: 1000 })
    rig.say(head(1, true, ['x', 'y'.repeat(1000)]), head(3, true))
    const [answer] = rig.hear()
    expect(answer).toMatchObject({ type: Frame.HEADERS, id: 1, flags: Flag.END_HEADERS | Flag.END_STREAM })
    expect(answer!.payload.toString('latin1')).toContain('431')
    expect(streams.map(({ id }) => id)).toEqual([3])
  })

  test.each([
    ['names in upper case', ['X-A', 'b']],
    ['headers of a connection', ['connection', 'close']],
    ['a pseudo-header behind others', ['a', 'b', ':path', '/other']],
    ['a pseudo-header twice', [':path', '/other']],
    ['a length and no body', ['content-length', '5']],
  ])('with %s are refused', (_name, more) => {
    const { rig, streams } = rigOf()
    rig.say(head(1, true, more), head(3, true))
    expect(resetsOf(rig.hear())).toEqual([[1, Code.PROTOCOL_ERROR]])
    expect(streams.filter(({ closed }) => !closed).map(({ id }) => id)).toEqual([3])
  })

  test.each([
    ['more', 'hello world', 5],
    ['less', 'hell', 5],
  ])('whose body is %s than announced', (_name, body, length) => {
    const { rig, codes } = rigOf()
    rig.say(head(1, false, ['content-length', String(length)]), data(1, body, true))
    expect(resetsOf(rig.hear())).toEqual([[1, Code.PROTOCOL_ERROR]])
    expect(codes).toEqual([Code.PROTOCOL_ERROR])
  })

  test('what was under way to one that we have reset is dropped', () => {
    const { rig, streams } = rigOf()
    rig.say(head(1, false))
    streams[0]!.reset(Code.CANCEL)
    rig.say(data(1, 'late'), head(1, true, ['t', 'u']), frame(Frame.WINDOW_UPDATE, 0, 1, numbers(5)), head(3, true))
    expect(rig.farewell).toBe(-1)
    expect(resetsOf(rig.hear())).toEqual([[1, Code.CANCEL]])
    expect(streams.length).toBe(2)
  })

  test('a handler that fails ends its own stream', () => {
    const faults: unknown[] = []
    const rig = new Rig(
      (stream, { headers }) => {
        if (headers.length > 0) throw new Error('of ours')
        stream.respond(OK, true)
      },
      { onFault: (error) => void faults.push(error) },
    )
    rig.say(HELLO, head(1, true, ['a', 'b']), head(3, true))
    const heard = rig.hear()
    expect(resetsOf(heard)).toEqual([[1, Code.INTERNAL_ERROR]])
    expect(heard.some(({ type, id }) => type === Frame.HEADERS && id === 3)).toBe(true)
    expect(faults.length).toBe(1)
  })
})

describe('time', () => {
  test('a peer that says nothing, or no preface, has ten seconds', () => {
    for (const said of [Buffer.alloc(0), PREFACE.subarray(0, 10), PREFACE]) {
      const { rig } = rigOf({}, false)
      rig.say(said)
      rig.session.check(9_000)
      expect(rig.socket.destroyed).toBe(false)
      rig.session.check(10_001)
      expect(rig.socket.destroyed).toBe(true)
    }
  })

  test('what is no preface is not waited for', () => {
    const { rig } = rigOf({}, false)
    rig.say(Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'))
    expect([rig.farewell, rig.socket.ended]).toEqual([Code.PROTOCOL_ERROR, true])
    // One that does not end its side is cut.
    rig.session.check(1001)
    expect(rig.socket.destroyed).toBe(true)
  })

  test('a silent peer is asked, and cut when it does not answer', () => {
    const { rig, codes } = rigOf()
    rig.say(head(1, false))
    rig.session.check(59_000)
    expect(rig.hear()).toEqual([])
    rig.session.check(60_000)
    rig.session.check(61_000)
    expect(rig.hear().map(({ type }) => type)).toEqual([Frame.PING])
    rig.now = 70_000
    rig.say(frame(Frame.PING, Flag.ACK, 0, Buffer.from('heddleka')))
    rig.session.check(100_000)
    expect(rig.socket.destroyed).toBe(false)
    rig.session.check(130_000)
    rig.session.check(150_000)
    expect(rig.socket.destroyed).toBe(true)
    expect(codes).toEqual([Code.CANCEL])
  })
})

describe('a drain', () => {
  test('says that it comes, takes what was under way, says which was the last, and ends with it', () => {
    const { rig, streams } = rigOf()
    rig.say(head(1, true))
    rig.session.drain()
    const [first, ping] = rig.hear()
    expect([first!.type, first!.payload.readUInt32BE(0)]).toEqual([Frame.GOAWAY, 0x7fff_ffff])
    rig.say(head(3, true))
    expect(streams.length).toBe(2)
    rig.say(frame(Frame.PING, Flag.ACK, 0, ping!.payload))
    const [last] = rig.hear()
    expect([last!.type, last!.payload.readUInt32BE(0), last!.payload.readUInt32BE(4)]).toEqual([Frame.GOAWAY, 3, 0])
    rig.say(head(5, true))
    expect(streams.length).toBe(2)
    for (const stream of streams) stream.respond(OK, true)
    rig.session.flush()
    expect([rig.socket.ended, rig.session.dead]).toEqual([true, true])
  })

  test('does not wait for a peer that answers no pings', () => {
    const { rig } = rigOf()
    rig.session.drain()
    rig.now = 2000
    rig.session.check(2000)
    rig.session.flush()
    expect(rig.socket.ended).toBe(true)
  })
})
