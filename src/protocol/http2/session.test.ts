import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { data, frame, framesOf, head, HELLO, numbers, resetsOf, Rig, settings } from '../../../test/support/h2-wire.ts'
import { Code, Flag, Frame, Setting } from './constants.ts'
import { encodeHeaders } from './hpack-encoder.ts'
import type { Acceptor, Http2Stream } from './stream.ts'

const OK = encodeHeaders([':status', '200'])
const END = encodeHeaders(['x-end', '1'])

/** Answers each request with its own body, when it is complete; and writes down what it was told. */
function echo(): { readonly accept: Acceptor; readonly events: string[]; readonly streams: Http2Stream[] } {
  const events: string[] = []
  const streams: Http2Stream[] = []
  const accept: Acceptor = (stream, { method, path, headers }, ended) => {
    const { id } = stream
    const parts: Buffer[] = []
    streams.push(stream)
    events.push(`${id} head ${method} ${path} ${headers.join(' ')}`)
    const answer = (trailers: readonly string[] | null): void => {
      events.push(`${id} end ${Buffer.concat(parts).toString('latin1')} ${trailers?.join(' ') ?? '-'}`)
      stream.answer(OK, Buffer.concat(parts), END)
    }
    stream.handler = {
      onData: (chunk) => void parts.push(Buffer.from(chunk)),
      onEnd: answer,
      onClose: (code) => void events.push(`${id} close ${code}`),
      onDrain: () => void events.push(`${id} drain`),
    }
    if (ended) answer(null)
  }
  return { accept, events, streams }
}

/** Takes streams and says nothing. */
function silent(): { readonly accept: Acceptor; readonly streams: Http2Stream[]; readonly closed: number[] } {
  const streams: Http2Stream[] = []
  const closed: number[] = []
  const accept: Acceptor = (stream) => {
    streams.push(stream)
    stream.handler = { onData() {}, onEnd() {}, onClose: (code) => void closed.push(code), onDrain() {} }
  }
  return { accept, streams, closed }
}

/** All that clients do in one conversation. */
const CONVERSATION = Buffer.concat([
  HELLO,
  settings([Setting.INITIAL_WINDOW_SIZE, 100_000], [Setting.HEADER_TABLE_SIZE, 0]),
  head(1, true, ['a', 'b']),
  frame(Frame.PING, 0, 0, Buffer.from('12345678')),
  head(3, false, ['content-length', '11']),
  data(3, 'hello '),
  frame(Frame.PRIORITY, 0, 9, numbers(1, 0).subarray(0, 5)),
  frame(Frame.DATA, Flag.PADDED, 3, Buffer.from('\x03world\0\0\0')),
  frame(Frame.WINDOW_UPDATE, 0, 0, numbers(1000)),
  frame(Frame.HEADERS, Flag.END_STREAM | Flag.END_HEADERS, 3, encodeHeaders(['t', 'u'])),
  frame(
    Frame.HEADERS,
    Flag.END_STREAM | Flag.PADDED,
    5,
    Buffer.concat([Buffer.of(2), encodeHeaders([':method', 'GET', ':scheme', 'http']), Buffer.alloc(2)]),
  ),
  frame(Frame.CONTINUATION, 0, 5, encodeHeaders([':path', '/long']).subarray(0, 3)),
  frame(Frame.CONTINUATION, Flag.END_HEADERS, 5, encodeHeaders([':path', '/long']).subarray(3)),
  head(7, false),
  data(7, 'x'),
  frame(Frame.RST_STREAM, 0, 7, numbers(Code.CANCEL)),
  head(9, false),
  data(9, Buffer.alloc(16_000, 'y')),
  data(9, '', true),
  frame(0x42, 0xff, 3, Buffer.from('unknown')),
  frame(Frame.SETTINGS, Flag.ACK, 0),
])

const play = (pieces: readonly Buffer[]): { readonly events: string[]; readonly answers: string[] } => {
  const { accept, events } = echo()
  const rig = new Rig(accept)
  for (const piece of pieces) rig.say(piece)
  const answers = framesOf(rig.bytes).map(
    ({ type, flags, id, payload }) => `${type} ${flags} ${id} ${payload.toString('hex')}`,
  )
  return { events, answers }
}

describe('a conversation', () => {
  const whole = play([CONVERSATION])

  test('is understood', () => {
    expect(whole.events).toEqual([
      '1 head POST /x a b',
      '1 end  -',
      '1 close -1',
      '3 head POST /x content-length 11',
      '3 end hello world t u',
      '3 close -1',
      '5 head GET /long ',
      '5 end  -',
      '5 close -1',
      '7 head POST /x ',
      `7 close ${Code.CANCEL}`,
      '9 head POST /x ',
      `9 end ${'y'.repeat(16_000)} -`,
      '9 close -1',
    ])
    expect(whole.answers.filter((line) => line.startsWith(`${Frame.GOAWAY} `))).toEqual([])
    // The first block says that no table is used: the peer has asked for none (RFC 7541 4.2).
    expect(whole.answers.find((line) => line.startsWith(`${Frame.HEADERS} `))).toContain(' 1 2088')
  })

  test('is the same in whatever pieces it comes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 50 }), (sizes) => {
        const pieces: Buffer[] = []
        for (let at = 0, i = 0; at < CONVERSATION.length; i++) {
          const size = at > 2000 ? 4000 : sizes[i % sizes.length]!
          pieces.push(CONVERSATION.subarray(at, at + size))
          at += size
        }
        expect(play(pieces)).toEqual(whole)
      }),
    )
  })

  test('byte by byte as well', () => {
    expect(play(Array.from(CONVERSATION, (byte) => Buffer.of(byte)))).toEqual(whole)
  })

  test('all that is written in one turn of reading is one write', () => {
    const { accept } = echo()
    const rig = new Rig(accept)
    rig.say(HELLO)
    const before = rig.socket.written.length
    rig.say(...Array.from({ length: 20 }, (_, i) => head(i * 2 + 1, true)))
    expect(rig.socket.written.length).toBe(before + 1)
    expect(rig.hear().filter(({ type }) => type === Frame.HEADERS).length).toBe(40)
  })
})

describe('bytes that nobody sends', () => {
  test('whatever they are: nothing is thrown, nothing stays open', () => {
    const change = fc.array(fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }), { maxLength: 8 })
    fc.assert(
      fc.property(change, fc.nat(), (changes, cut) => {
        const bytes = Buffer.from(CONVERSATION)
        for (const { at, byte } of changes) bytes[24 + (at % (bytes.length - 24))] = byte
        const { accept, streams } = echo()
        const faults: unknown[] = []
        const rig = new Rig(accept, { onFault: (error) => void faults.push(error) })
        const middle = cut % bytes.length
        rig.say(bytes.subarray(0, middle))
        rig.say(bytes.subarray(middle))
        expect(faults).toEqual([])
        rig.session.destroy()
        expect(rig.gone).toBe(1)
        expect(streams.every(({ closed }) => closed)).toBe(true)
        expect(rig.bytes.length).toBeLessThan(100_000)
      }),
      { numRuns: 2000 },
    )
  })

  test('random ones after the preface', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const { accept } = echo()
        const faults: unknown[] = []
        const rig = new Rig(accept, { onFault: (error) => void faults.push(error) })
        rig.say(HELLO, Buffer.from(bytes))
        expect(faults).toEqual([])
      }),
      { numRuns: 1000 },
    )
  })
})

describe('flow control', () => {
  test('what has no window waits, is told of, and comes in turn', () => {
    const { accept, streams } = silent()
    const rig = new Rig(accept)
    rig.say(HELLO, settings([Setting.INITIAL_WINDOW_SIZE, 10]), head(1, true), head(3, true))
    rig.hear()
    for (const stream of streams) {
      stream.respond(OK)
      expect(stream.write(Buffer.alloc(25, 'a'))).toBe(false)
      stream.end(END)
    }
    rig.session.flush()
    expect(rig.hear().map(({ type, id, payload }) => [type, id, payload.length])).toEqual([
      [Frame.HEADERS, 1, OK.length],
      [Frame.DATA, 1, 10],
      [Frame.HEADERS, 3, OK.length],
      [Frame.DATA, 3, 10],
    ])
    rig.say(frame(Frame.WINDOW_UPDATE, 0, 3, numbers(15)))
    expect(rig.hear().map(({ type, id, flags, payload }) => [type, id, flags, payload.length])).toEqual([
      [Frame.DATA, 3, 0, 15],
      [Frame.HEADERS, 3, Flag.END_HEADERS | Flag.END_STREAM, END.length],
    ])
    // A larger window for all, and a smaller one: below zero it waits until it is above.
    rig.say(settings([Setting.INITIAL_WINDOW_SIZE, 5]), frame(Frame.WINDOW_UPDATE, 0, 1, numbers(5)))
    expect(rig.hear().filter(({ type }) => type === Frame.DATA)).toEqual([])
    rig.say(settings([Setting.INITIAL_WINDOW_SIZE, 50]))
    expect(
      rig
        .hear()
        .filter(({ id }) => id === 1)
        .map(({ type }) => type),
    ).toEqual([Frame.DATA, Frame.HEADERS])
    expect(rig.session.streams.count).toBe(0)
    expect(rig.session.sender.queued).toBe(0)
  })

  test('the connection’s window is shared frame by frame, and all of it comes', () => {
    const { accept, streams } = silent()
    const rig = new Rig(accept)
    rig.say(HELLO, settings([Setting.INITIAL_WINDOW_SIZE, 1_000_000]), head(1, true), head(3, true))
    for (const stream of streams) {
      stream.respond(OK)
      stream.write(Buffer.alloc(100_000, stream.id === 1 ? 'a' : 'b'))
      stream.end(null)
    }
    rig.session.flush()
    const lengths = (id: number): number =>
      framesOf(rig.bytes).reduce((sum, f) => sum + (f.type === Frame.DATA && f.id === id ? f.payload.length : 0), 0)
    expect(lengths(1) + lengths(3)).toBe(65_535)
    rig.hear()
    rig.say(frame(Frame.WINDOW_UPDATE, 0, 0, numbers(50_000)))
    expect(new Set(rig.hear().map(({ id }) => id))).toEqual(new Set([1, 3]))
    rig.say(frame(Frame.WINDOW_UPDATE, 0, 0, numbers(1_000_000)))
    expect([lengths(1), lengths(3), rig.session.streams.count]).toEqual([100_000, 100_000, 0])
  })

  test('windows of both kinds that open at once bring each byte once, in order', () => {
    const { accept, streams } = silent()
    const rig = new Rig(accept)
    rig.say(HELLO, settings([Setting.INITIAL_WINDOW_SIZE, 1000]), head(1, true), head(3, true))
    const body = Buffer.alloc(400_000)
    for (let i = 0; i < body.length; i += 4) body.writeUInt32BE(i, i)
    for (const stream of streams) {
      stream.respond(OK)
      stream.write(body.subarray(0, 300_000))
      stream.write(body.subarray(300_000))
      stream.end(null)
    }
    const grow = (id: number, by: number): Buffer => frame(Frame.WINDOW_UPDATE, 0, id, numbers(by))
    // Both now wait for the connection; then all of it opens in the middle of what is read.
    rig.say(grow(1, 200_000), grow(3, 200_000))
    rig.say(grow(0, 1_000_000), grow(1, 300_000), grow(3, 300_000))
    const got = (id: number): Buffer =>
      Buffer.concat(framesOf(rig.bytes).flatMap((f) => (f.type === Frame.DATA && f.id === id ? [f.payload] : [])))
    expect(got(1).equals(body)).toBe(true)
    expect(got(3).equals(body)).toBe(true)
    expect([rig.session.streams.count, rig.session.sender.queued]).toEqual([0, 0])
  })

  test('a socket that takes no more keeps data back, and goes on when it does', () => {
    const { accept, streams } = silent()
    const rig = new Rig(accept)
    rig.say(HELLO, settings([Setting.INITIAL_WINDOW_SIZE, 10_000_000]), head(1, true))
    rig.say(frame(Frame.WINDOW_UPDATE, 0, 0, numbers(10_000_000)))
    const [stream] = streams
    stream!.respond(OK)
    rig.socket.stuck = true
    expect(stream!.write(Buffer.alloc(1_000_000))).toBe(false)
    expect(rig.socket.writableLength).toBeLessThan(300_000)
    stream!.end(null)
    while (rig.session.streams.count > 0) rig.socket.drain()
    const sent = framesOf(rig.bytes).reduce((sum, f) => sum + (f.type === Frame.DATA ? f.payload.length : 0), 0)
    expect(sent).toBe(1_000_000)
  })

  test('room is given back as it is taken, and not to a stream that is paused', () => {
    const { accept, streams } = silent()
    const rig = new Rig(accept, { streamWindow: 65_535, connectionWindow: 65_535 })
    rig.say(HELLO, head(1, false), head(3, false))
    rig.hear()
    streams[1]!.pause()
    for (let i = 0; i < 3; i++) rig.say(data(1, Buffer.alloc(16_000)), data(3, Buffer.alloc(16_000)))
    const updates = rig.hear().filter(({ type }) => type === Frame.WINDOW_UPDATE)
    expect(updates.filter(({ id }) => id === 1).map(({ payload }) => payload.readUInt32BE(0))).toEqual([48_000])
    expect(updates.filter(({ id }) => id === 3)).toEqual([])
    expect(updates.filter(({ id }) => id === 0).length).toBe(2)
    streams[1]!.resume()
    rig.session.flush()
    expect(rig.hear().map(({ type, id }) => [type, id])).toEqual([[Frame.WINDOW_UPDATE, 3]])
    for (let i = 0; i < 4; i++) rig.say(data(1, Buffer.alloc(16_000)))
    rig.say(data(1, Buffer.alloc(16_384)))
    expect(rig.farewell).toBe(-1)
  })

  test('more than a window holds is an error: of the stream, or of the connection', () => {
    const one = silent()
    const rig = new Rig(one.accept, { streamWindow: 20_000 })
    rig.say(HELLO, head(1, false))
    one.streams[0]!.pause()
    rig.say(data(1, Buffer.alloc(16_384)), data(1, Buffer.alloc(16_384)))
    expect(resetsOf(rig.hear())).toEqual([[1, Code.FLOW_CONTROL_ERROR]])
    expect(one.closed).toEqual([Code.FLOW_CONTROL_ERROR])
    for (const id of [0, 3]) {
      const other = new Rig(silent().accept)
      other.say(HELLO, head(3, false), frame(Frame.WINDOW_UPDATE, 0, id, numbers(0x7fff_ffff)))
      if (id === 0) expect(other.farewell).toBe(Code.FLOW_CONTROL_ERROR)
      else expect(resetsOf(other.hear())).toEqual([[3, Code.FLOW_CONTROL_ERROR]])
    }
  })
})
