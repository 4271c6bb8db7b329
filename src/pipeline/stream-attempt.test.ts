import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chatStream, responsesStream } from '../protocol/openai/answer.ts'
import { harness } from './attempt-fixture.ts'
import type { Harness } from './attempt-fixture.ts'
import { StreamAttempt } from './stream-attempt.ts'

const chunk = (content: string, rest: object = {}): string =>
  `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content }, finish_reason: null }], ...rest })}\n\n`
const role = `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] })}\n\n`
const usage = `data: ${JSON.stringify({ id: 'c', choices: [], usage: { prompt_tokens: 7, completion_tokens: 5 } })}\n\n`
const DONE = 'data: [DONE]\n\n'

const attemptOf = (
  h: Harness,
  options: {
    readonly dropUsage?: boolean
    readonly keepText?: boolean
    readonly responses?: boolean
    readonly resumes?: boolean
  } = {},
): StreamAttempt =>
  new StreamAttempt(
    h.plan({
      dialect: options.responses === true ? responsesStream : chatStream,
      dropUsage: options.dropUsage === true,
      keepText: options.keepText === true,
      resumes: options.resumes === true,
    }),
  )

const feed = (bytes: Buffer, cuts: readonly number[], options: Parameters<typeof attemptOf>[1] = {}) => {
  const h = harness()
  const attempt = attemptOf(h, options)
  h.start(attempt)
  let at = 0
  for (const cut of [...cuts, bytes.length]) {
    if (cut > at) h.backend.sink.onData(Buffer.from(bytes.subarray(at, cut)))
    at = Math.max(at, cut)
  }
  h.backend.sink.onEnd()
  return {
    text: h.written().toString('latin1'),
    usage: attempt.usage,
    ending: h.events.at(-1),
    events: h.events,
    kept: attempt.text,
  }
}

const eol = fc.constantFrom('\n', '\r\n', '\r')
const piece = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).map((text) => chunk(text)),
  fc.constantFrom(
    role,
    usage,
    ': comment\n\n',
    `data: {"choices":[],\ndata: "prompt_filter_results":[]}\n\n`,
    `event: message\nid: 7\n${chunk('x')}`,
    `data:${chunk('tight').slice(6)}`,
    '\n',
  ),
)
const ending = fc.constantFrom(
  DONE,
  '',
  'data: {"choi',
  `data: {"error":{"message":"m","type":"server_error"}}\n\n`,
  'data: nonsense\n\n',
  `${DONE}${chunk('surplus')}`,
)
const streams = fc
  .tuple(fc.array(piece, { maxLength: 8 }), ending, eol)
  .map(([pieces, last, nl]) => Buffer.from((pieces.join('') + last).replaceAll('\n', nl)))

describe('framing', () => {
  test('how the bytes are cut changes nothing', () => {
    fc.assert(
      fc.property(
        streams,
        fc.array(fc.nat(400), { maxLength: 12 }),
        fc.boolean(),
        fc.boolean(),
        (bytes, cuts, dropUsage, keepText) => {
          const whole = feed(bytes, [], { dropUsage, keepText })
          const cut = feed(
            bytes,
            cuts.map((c) => Math.min(c, bytes.length)).toSorted((a, b) => a - b),
            { dropUsage, keepText },
          )
          // A failure in the same read as the first text is still invisible; the same failure in a later read is not.
          const invisible = whole.ending?.startsWith('failed') === true && cut.ending?.startsWith('broken') === true
          if (invisible) return whole.text === '' && cut.ending === whole.ending!.replace('failed', 'broken')
          expect(cut).toEqual(whole)
          return true
        },
      ),
      { numRuns: 400 },
    )
  })

  test('byte by byte', () => {
    for (const nl of ['\n', '\r\n']) {
      const bytes = Buffer.from((role + chunk('Grüße 😀') + usage + DONE).replaceAll('\n', nl))
      const result = feed(bytes, Array.from(bytes.keys()))
      expect({ text: result.text, ending: result.ending }).toEqual({ text: bytes.toString('latin1'), ending: 'done' })
      expect(result.usage).toMatchObject({ inputTokens: 7, outputTokens: 5 })
    }
  })

  test('usage that the client did not ask for is taken out, all else stays as it came', () => {
    const result = feed(Buffer.from(role + chunk('a') + usage + DONE), [], { dropUsage: true })
    expect(result.text).toBe(role + chunk('a') + DONE)
    expect(result.usage).toMatchObject({ outputTokens: 5 })
  })

  test('what follows the end marker is not passed on', () => {
    expect(feed(Buffer.from(role + chunk('a') + DONE + chunk('b')), []).text).toBe(role + chunk('a') + DONE)
  })

  test('a byte order mark is dropped', () => {
    expect(feed(Buffer.from(`\ufeff${role}${chunk('a')}${DONE}`), []).ending).toBe('done')
  })

  test('text is kept while it can be continued, and only then', () => {
    const kept = (...events: string[]) => feed(Buffer.from(events.join('') + DONE), [], { keepText: true }).kept
    expect(kept(role, chunk('wo'), chunk('ven'))).toBe('woven')
    expect(
      kept(
        chunk('wo'),
        `data: ${JSON.stringify({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0 }] } }] })}\n\n`,
      ),
    ).toBeNull()
    expect(
      kept(chunk('wo'), `data: ${JSON.stringify({ choices: [{ index: 1, delta: { content: 'x' } }] })}\n\n`),
    ).toBeNull()
  })
})

describe('commit', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['a role and the end', role + DONE, 'done'],
    ['annotations and [DONE] only', `data: {"choices":[]}\n\n${DONE}`, 'failed no_choices'],
    ['[DONE] alone', DONE, 'failed no_choices'],
    ['nothing at all', '', 'failed stream_cut'],
    ['half an event', 'data: {"cho', 'failed event_cut'],
    [
      'an error after a role',
      `${role}data: {"error":{"type":"overloaded_error","message":"m"}}\n\n`,
      'failed error_in_200_overloaded_error',
    ],
    ['`event: error` with a bare message', `${role}event: error\ndata: {"message":"no"}\n\n`, 'failed error_in_200'],
    ['"error": null is none', chunk('a', { error: null }) + DONE, 'done'],
    ['invalid UTF-8', `${role}data: {"a":"\xff"}\n\n`, 'failed invalid_utf8'],
    ['JSON that is not', `${role}data: {a}\n\n`, 'failed invalid_event'],
  ]

  test.each(cases)('%s', (_name, text, expected) => {
    const result = feed(Buffer.from(text, 'latin1'), [])
    expect(result.ending).toBe(expected)
    if (expected !== 'done') expect(result.text).toBe('')
  })

  test.each(['content', 'refusal', 'reasoning_content', 'reasoning'])('%s commits', (field) => {
    const h = harness()
    h.start(attemptOf(h))
    h.backend.sink.onData(Buffer.from(role))
    expect(h.events).toEqual([])
    h.backend.sink.onData(
      Buffer.from(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { [field]: 'x' } }] })}\n\n`),
    )
    expect(h.events).toEqual(['commit'])
    expect(h.written().toString()).toContain(role)
  })

  test('responses: lifecycle events are held, a delta commits, completed ends', () => {
    const h = harness()
    h.start(attemptOf(h, { responses: true }))
    const event = (type: string, more: object = {}): Buffer =>
      Buffer.from(`event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`)
    h.backend.sink.onData(event('response.created', { response: { id: 'r', error: null } }))
    h.backend.sink.onData(event('response.output_item.added', { item: { type: 'message' } }))
    expect(h.events).toEqual([])
    h.backend.sink.onData(event('response.output_text.delta', { delta: 'x' }))
    expect(h.events).toEqual(['commit'])
    h.backend.sink.onData(event('response.completed', { response: { usage: { input_tokens: 1, output_tokens: 2 } } }))
    expect(h.events).toEqual(['commit', 'end', 'done'])
  })

  test('held bytes are bounded', () => {
    const h = harness({ commit: { maxBytes: 1000, maxMs: 0 } })
    h.start(attemptOf(h))
    for (let i = 0; i < 20; i++) h.backend.sink.onData(Buffer.from(role))
    expect(h.events).toEqual(['commit'])
  })

  test('an event without end is bounded', () => {
    const h = harness()
    h.start(attemptOf(h))
    for (let i = 0; i < 40 && h.events.length === 0; i++) h.backend.sink.onData(Buffer.alloc(65_536, 0x61))
    expect(h.events).toEqual(['failed event_too_large'])
    expect(h.backend.aborted).toBe(true)
  })
})

describe('timers', () => {
  const committed = (h: Harness): StreamAttempt => {
    const attempt = attemptOf(h)
    h.start(attempt)
    h.backend.sink.onData(Buffer.from(role + chunk('a')))
    return attempt
  }

  test('first token: opening events do not count', () => {
    const h = harness()
    h.start(attemptOf(h))
    h.clock.pass(900)
    h.backend.sink.onData(Buffer.from(role))
    h.clock.pass(90)
    expect(h.events).toEqual([])
    h.clock.pass(30)
    expect(h.events).toEqual(['failed first_token_timeout'])
  })

  test('idle counts from the last byte', () => {
    const h = harness()
    committed(h)
    h.clock.pass(900)
    h.backend.sink.onData(Buffer.from(chunk('b')))
    h.clock.pass(900)
    expect(h.events).toEqual(['commit'])
    h.clock.pass(200)
    expect(h.events).toEqual(['commit', 'broken idle_timeout'])
    expect(h.backend.aborted).toBe(true)
  })

  test('a silent stream gets a comment now and then, and still runs into its idle time', () => {
    const h = harness()
    h.heartbeatMs = 300
    committed(h)
    const before = h.written().length
    h.clock.pass(290)
    expect(h.written().length).toBe(before)
    h.clock.pass(20)
    expect(h.written().subarray(before).toString()).toBe(': heartbeat\n\n')
    h.clock.pass(600)
    expect(h.written().subarray(before).toString()).toBe(': heartbeat\n\n'.repeat(3))
    h.clock.pass(100)
    expect(h.events).toEqual(['commit', 'broken idle_timeout'])
  })

  test('comments wait for tokens like everything else: none before commit, none amid an event, none while tokens come', () => {
    const h = harness({ timeouts: { connectMs: 0, firstTokenMs: 0, idleMs: 0, attemptMs: 0, totalMs: 0 } })
    h.heartbeatMs = 300
    h.start(attemptOf(h))
    h.clock.pass(1000)
    expect(h.written().length).toBe(0)
    const [text, half] = [chunk('a'), chunk('b')]
    h.backend.sink.onData(Buffer.from(text + half.slice(0, 20)))
    for (let i = 0; i < 4; i++) {
      h.clock.pass(290)
      h.backend.sink.onData(Buffer.from(chunk('c').slice(0, 0)))
    }
    expect(h.written().toString()).toBe(text)
    h.clock.pass(320)
    h.backend.sink.onData(Buffer.from(half.slice(20)))
    expect(h.written().toString()).toBe(`${text}: heartbeat\n\n${half}`)
  })

  test('a client whose stream another target goes on with is not left in silence until it does', () => {
    const h = harness({ timeouts: { connectMs: 0, firstTokenMs: 2000, idleMs: 0, attemptMs: 0, totalMs: 0 } })
    h.heartbeatMs = 300
    h.start(attemptOf(h, { resumes: true }))
    h.clock.pass(650)
    expect(h.written().toString()).toBe(': heartbeat\n\n'.repeat(2))
    // A role is no token: it is held back, and comments go on.
    h.backend.sink.onData(Buffer.from('data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'))
    h.clock.pass(300)
    expect(h.written().toString()).toBe(': heartbeat\n\n'.repeat(3))
    expect(h.events).toEqual([])
    h.clock.pass(1100)
    expect(h.events).toEqual(['failed first_token_timeout'])
  })

  test.each([[1000], [0]])('a slow client is dropped after its own time, not the backend’s (idle %d)', (idleMs) => {
    const h = harness({ timeouts: { connectMs: 0, firstTokenMs: 1000, idleMs, attemptMs: 5000, totalMs: 0 } })
    committed(h)
    h.clock.pass(950)
    h.accepting = false
    h.backend.sink.onData(Buffer.from(chunk('b')))
    expect(h.backend.paused).toBe(true)
    // The idle timer comes due now: a client that has just begun to be slow is not one that has stalled.
    h.clock.pass(2900)
    expect(h.events).toEqual(['commit'])
    h.clock.pass(200)
    expect(h.events).toEqual(['commit', 'stalled'])
  })

  test('a client that reads again gets the full time again', () => {
    const h = harness()
    const attempt = committed(h)
    for (let i = 0; i < 5; i++) {
      h.accepting = false
      h.backend.sink.onData(Buffer.from(chunk('b')))
      h.clock.pass(2500)
      h.accepting = true
      attempt.resume()
      expect(h.backend.paused).toBe(false)
      h.clock.pass(500)
    }
    expect(h.events).toEqual(['commit'])
  })

  test('a backend that does not close after its end marker is closed', () => {
    const h = harness()
    committed(h)
    h.backend.sink.onData(Buffer.from(DONE))
    expect([h.events.at(-1), h.backend.aborted]).toEqual(['done', false])
    h.clock.pass(1100)
    expect(h.backend.aborted).toBe(true)
    expect(h.target.health.inflight).toBe(0)
  })

  test('no timer is left when all is over', () => {
    const h = harness()
    committed(h)
    h.backend.sink.onData(Buffer.from(DONE))
    h.backend.sink.onEnd()
    expect(h.clock.wheel.armed).toBe(0)
  })
})
