import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeEventStream } from '../protocol/bedrock/event-stream.ts'
import { harness } from './attempt-fixture.ts'
import { FrameStream } from './frame-stream.ts'

const TYPE = { 'content-type': 'application/vnd.amazon.eventstream' }
const START = encodeEventStream('messageStart', '{"role":"assistant"}')
const TEXT = encodeEventStream('contentBlockDelta', '{"contentBlockIndex":0,"delta":{"text":"Grüezi"},"p":"abc"}')
const STOP = encodeEventStream('messageStop', '{"stopReason":"end_turn"}')
const USED = encodeEventStream('metadata', '{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}')
const FAILS = encodeEventStream('throttlingException', '{"message":"Too many requests."}', 'exception')

const started = () => {
  const h = harness()
  const attempt = new FrameStream(h.plan({}))
  h.start(attempt, TYPE)
  const feed = (...pieces: readonly Buffer[]): void => {
    for (const piece of pieces) h.backend.sink.onData(Buffer.from(piece))
  }
  return { h, attempt, feed }
}

test('frames go on as the bytes that came, in whatever pieces', () => {
  const all = Buffer.concat([START, TEXT, TEXT, STOP, USED])
  fc.assert(
    fc.property(fc.array(fc.nat(all.length), { maxLength: 8 }), (cuts) => {
      const { h, attempt, feed } = started()
      const at = [0, ...cuts.sort((a, b) => a - b), all.length]
      for (let i = 1; i < at.length; i++) if (at[i]! > at[i - 1]!) feed(all.subarray(at[i - 1], at[i]))
      expect(h.events).toEqual(['commit', 'end', 'done'])
      expect(h.written().equals(all)).toBe(true)
      expect(attempt.usage).toMatchObject({ inputTokens: 3, outputTokens: 4 })
    }),
  )
})

test('nothing goes out before something that a user sees, and a failure before it can be tried elsewhere', () => {
  const { h, feed } = started()
  feed(START, FAILS)
  expect(h.events).toEqual([expect.stringMatching(/^failed /)])
  expect(h.failures[0]).toMatchObject({ error: { code: 'upstream_rate_limited' } })
  expect(h.written()).toHaveLength(0)
})

test('damage right behind the first content can be tried elsewhere, too', () => {
  const { h, feed } = started()
  feed(Buffer.concat([START, TEXT, Buffer.from(STOP).fill(0, 20, 30)]))
  expect(h.events).toEqual(['failed invalid_event'])
  expect(h.written()).toHaveLength(0)
})

test('a failure later is not passed on, what came before it is', () => {
  const { h, feed } = started()
  feed(START, TEXT)
  feed(Buffer.concat([TEXT, FAILS]))
  expect(h.events).toEqual(['commit', expect.stringMatching(/^broken /)])
  expect(h.written().equals(Buffer.concat([START, TEXT, TEXT]))).toBe(true)
})

test.each([
  ['cut within a frame', [START, TEXT, STOP, USED.subarray(0, 20)], 'broken event_cut'],
  ['cut before it has said why it ends', [START, TEXT], 'broken stream_cut'],
  ['damaged', [START, TEXT, Buffer.from(STOP).fill(0, 20, 30)], 'broken invalid_event'],
])('an answer that is %s is no whole one', (_name, pieces, expected) => {
  const { h, feed } = started()
  feed(...pieces)
  h.backend.sink.onEnd()
  expect(h.events).toEqual(['commit', expected])
})

test('without its counts it is whole all the same', () => {
  const { h, feed } = started()
  feed(START, TEXT, STOP)
  h.backend.sink.onEnd()
  expect(h.events).toEqual(['commit', 'end', 'done'])
})

test('what is no such stream is no answer', () => {
  const h = harness()
  h.start(new FrameStream(h.plan({})), { 'content-type': 'text/html' })
  h.backend.sink.onData(Buffer.from('<html>'))
  h.backend.sink.onEnd()
  expect(h.events).toEqual(['failed wrong_content_type'])
})
