import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import { FAULTS, SPLIT_UTF8_TEXT, startSim } from '../../src/sim/index.ts'
import type { Exchange, Message } from './sim-client.ts'
import { exchange, readMessage } from './sim-client.ts'

let sim: Sim

beforeAll(async () => {
  sim = await startSim()
})

afterAll(() => sim.close())

const KEY = 'sk-test-0123456789'
const ANSWER = 'The capital of France is Paris.'

interface Seen extends Exchange {
  readonly message: () => Message
  readonly json: () => { error?: { message?: string; code?: string | number; type?: string; details?: unknown } }
  /** Text of the content deltas that came whole. */
  readonly text: () => string
}

/** Silence that ends an exchange, ms: short only where silence is what the fault is about. */
const quietAfter = (spec: string, close: boolean): number => {
  if (spec === 'stall') return 200
  return spec.startsWith('stall_after') || !close ? 700 : 10_000
}

const ask = async (spec: string, stream: boolean, close = true): Promise<Seen> => {
  const messages = [{ role: 'user', content: 'What is the capital of France?' }]
  const body = JSON.stringify({ model: `sim-chat${spec === '' ? '' : `~${spec}`}`, messages, stream })
  const seen = await exchange({
    port: sim.port,
    body,
    close,
    quietMs: quietAfter(spec, close),
    headers: { authorization: `Bearer ${KEY}` },
  })
  const message = (): Message => readMessage(seen.bytes)
  const text = (): string => {
    const raw = message().body.toString('utf8')
    if (!stream)
      return (JSON.parse(raw) as { choices: { message: { content: string } }[] }).choices[0]?.message.content ?? ''
    const frames = raw.split(/\r?\n\r?\n/).flatMap((frame) => /^data: (\{.*\})$/m.exec(frame)?.[1] ?? [])
    return frames
      .map(
        (frame) =>
          (JSON.parse(frame) as { choices?: { delta: { content?: string | null } }[] }).choices?.[0]?.delta.content ??
          '',
      )
      .join('')
  }
  return { ...seen, message, json: () => JSON.parse(message().body.toString()) as ReturnType<Seen['json']>, text }
}

const raw = (seen: Seen): string => seen.message().body.toString('utf8')

/** After this many informational answers the real one comes, whole. */
const informational = (seen: Seen, ...statuses: number[]): void => {
  let rest = seen.bytes
  for (const status of statuses) {
    const message = readMessage(rest)
    expect(message.status).toBe(status)
    rest = message.rest
  }
  const last = readMessage(rest)
  expect(last.status).toBe(200)
  expect(last.complete).toBe(true)
}

const refused = (status: number, code: string | null) => (seen: Seen) => {
  expect(seen.message().status).toBe(status)
  expect(seen.message().headers.get('content-type')).toBe('application/json')
  expect(seen.json().error?.code).toBe(code)
}

const quotesKey = (status: number) => (seen: Seen) => {
  expect(seen.message().status).toBe(status)
  expect(seen.json().error?.message).toContain(KEY)
}

const late = (seen: Seen): void => {
  expect(seen.firstByteMs + seen.totalMs).toBeGreaterThan(60)
  expect(seen.text()).toBe(ANSWER)
}

const whole = (seen: Seen): void => expect(seen.text()).toBe(ANSWER)

const body200 = (text: string) => (seen: Seen) => {
  expect(seen.message()).toMatchObject({ status: 200, complete: true })
  expect(raw(seen)).toBe(text)
}

type Check = (seen: Seen, stream: boolean) => void

/** What a client sees of each fault. A fault without an entry fails the test below. */
const CHECKS: Readonly<Record<string, readonly [spec: string, check: Check]>> = {
  refuse: ['refuse', (seen) => expect(seen.bytes.length).toBe(0)],
  reset_before_headers: [
    'reset_before_headers',
    (seen) => expect([seen.ending, seen.bytes.length]).toEqual(['reset', 0]),
  ],
  reset_after: [
    'reset_after=2',
    (seen, stream) => {
      expect(seen.ending).toBe('reset')
      expect(seen.message().complete).toBe(false)
      if (stream) expect(seen.text()).toBe('The capital')
    },
  ],
  delay_headers: ['delay_headers=70', late],
  delay_first: ['delay_first=70', late],
  interval: ['interval=15', late],
  stall: ['stall', (seen) => expect([seen.ending, seen.bytes.length]).toEqual(['quiet', 0])],
  stall_after: [
    'stall_after=2',
    (seen, stream) => {
      expect([seen.ending, seen.message().complete]).toEqual(['quiet', false])
      if (stream) expect(seen.text()).toBe('The capital')
    },
  ],
  status: ['status=503', refused(503, 'service_unavailable')],
  overloaded_body: [
    'overloaded_body=200-anthropic',
    (seen) => expect(seen.json()).toMatchObject({ type: 'error', error: { type: 'overloaded_error' } }),
  ],
  rate_limit: [
    'rate_limit=seconds',
    (seen) => expect([seen.message().status, seen.message().headers.get('retry-after')]).toEqual([429, '2']),
  ],
  insufficient_quota: ['insufficient_quota', refused(429, 'insufficient_quota')],
  auth_401: ['auth_401', quotesKey(401)],
  auth_403: ['auth_403', quotesKey(403)],
  context_length: ['context_length', refused(400, 'context_length_exceeded')],
  content_filter: ['content_filter', refused(400, 'content_filter')],
  html: [
    'html',
    (seen) =>
      expect([seen.message().headers.get('content-type'), raw(seen).slice(0, 15)]).toEqual([
        'text/html; charset=utf-8',
        '<!doctype html>',
      ]),
  ],
  null_body: ['null_body', body200('null')],
  array_body: ['array_body', body200('[]')],
  no_choices: ['no_choices', (seen, stream) => expect(raw(seen)).not.toContain(stream ? '"delta"' : '"choices"')],
  empty_body: ['empty_body', body200('')],
  wrong_content_type: [
    'wrong_content_type',
    (seen) => {
      whole(seen)
      expect(seen.message().headers.get('content-type')).toBe('text/plain')
    },
  ],
  truncated_json: [
    'truncated_json',
    (seen) => {
      expect(seen.message().complete).toBe(true)
      expect(() => seen.json()).toThrow(SyntaxError)
    },
  ],
  truncated_event: [
    'truncated_event=2',
    (seen) => {
      expect(seen.message().complete).toBe(true)
      expect(() => JSON.parse(raw(seen).trimEnd().split('data: ').at(-1) ?? '') as unknown).toThrow(SyntaxError)
    },
  ],
  cut_stream_after: [
    'cut_stream_after=2',
    (seen) => {
      expect([seen.message().complete, seen.text()]).toEqual([true, 'The capital'])
      expect(raw(seen)).not.toContain('[DONE]')
    },
  ],
  no_done: [
    'no_done',
    (seen) => {
      whole(seen)
      expect(raw(seen)).toContain('"finish_reason":"stop"')
      expect(raw(seen)).not.toContain('[DONE]')
    },
  ],
  torn_utf8: ['torn_utf8', (seen) => expect(raw(seen)).toContain('\uFFFD')],
  split_utf8: [
    'split_utf8',
    (seen) => {
      expect(seen.text()).toBe(ANSWER + SPLIT_UTF8_TEXT)
      expect(seen.reads.length).toBeGreaterThan(1)
    },
  ],
  duplicate_frames: ['duplicate_frames', (seen) => expect(seen.text()).toContain('TheThe capital capital')],
  huge_event: ['huge_event=300000', (seen) => expect(seen.text()).toBe('x'.repeat(300_000) + ANSWER)],
  early_error: [
    'early_error',
    (seen) => {
      expect([seen.message().status, seen.text()]).toEqual([200, ''])
      expect(raw(seen)).toMatch(/"role":"assistant"[\s\S]+data: \{"error":[^\n]+\n\n$/)
    },
  ],
  error_after: [
    'error_after=2',
    (seen) => {
      expect(seen.text()).toBe('The capital')
      expect(raw(seen)).toMatch(/data: \{"error":[^\n]+\n\n$/)
    },
  ],
  annotations_first: [
    'annotations_first',
    (seen) => {
      whole(seen)
      expect(raw(seen).split('\n')[0]).toContain('"choices":[],"prompt_filter_results"')
    },
  ],
  comments: [
    'comments',
    (seen) => {
      whole(seen)
      expect(raw(seen).startsWith(': keep-alive\n\n')).toBe(true)
    },
  ],
  crlf: [
    'crlf',
    (seen) => {
      whole(seen)
      expect(raw(seen)).toContain('\r\n\r\ndata: [DONE]\r\n\r\n')
    },
  ],
  early_hints: ['early_hints=2', (seen) => informational(seen, 103, 103)],
  switching: ['switching', (seen) => informational(seen, 102)],
  set_cookie: [
    'set_cookie',
    (seen) => {
      whole(seen)
      for (const name of ['set-cookie', 'server', 'x-evil', 'x-api-key'])
        expect(seen.message().headers.has(name)).toBe(true)
      expect(seen.message().headers.get('connection')).toContain('x-evil')
    },
  ],
  redirect: [
    'redirect',
    (seen) =>
      expect([seen.message().status, seen.message().headers.get('location')]).toEqual([
        302,
        'http://redirected.invalid/v1/chat/completions',
      ]),
  ],
  gzip_body: [
    'gzip_body',
    (seen) => {
      expect(seen.message().headers.get('content-encoding')).toBe('gzip')
      expect(gunzipSync(seen.message().body).toString()).toContain('Paris')
    },
  ],
  gzip_bomb: [
    'gzip_bomb=3000000',
    (seen) => {
      expect(seen.message().body.length).toBeLessThan(10_000)
      expect(gunzipSync(seen.message().body).length).toBeGreaterThan(3_000_000)
    },
  ],
  slow_body: ['slow_body=10', late],
  surplus_bytes: [
    'surplus_bytes',
    (seen) => {
      whole(seen)
      expect(seen.message().complete).toBe(true)
      expect(readMessage(seen.message().rest)).toMatchObject({ status: 200, complete: true })
    },
  ],
  times: ['status=500~times=0', whole],
  prob: ['status=500~prob=0', whole],
}

describe('faults over a socket', () => {
  it('has a check for every fault', () => {
    expect(Object.keys(CHECKS).toSorted()).toEqual(FAULTS.map(({ name }) => name).toSorted())
  })

  const cases = FAULTS.flatMap(({ name, on }) => on.map((kind) => [name, kind] as const))

  it.concurrent.each(cases)('%s (%s)', async (name, kind) => {
    const [spec, check] = CHECKS[name] ?? ['', () => expect.unreachable()]
    // What follows an answer shows only on a connection that stays open.
    check(await ask(spec, kind === 'stream', name !== 'surplus_bytes'), kind === 'stream')
  })

  it.concurrent.each(['json', 'stream'])('without a fault the answer is whole (%s)', async (kind) => {
    const seen = await ask('', kind === 'stream')
    whole(seen)
    expect(seen.message()).toMatchObject({ status: 200, complete: true })
    expect(seen.message().headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{32}$/)
  })

  it.concurrent.each([
    ['date', 'retry-after', /GMT$/],
    ['ms', 'retry-after-ms', /^2000$/],
    ['go', 'x-ratelimit-reset-requests', /^2s$/],
    ['long', 'retry-after', /^86400$/],
  ])('rate_limit=%s sends %s', async (hint, header, value) => {
    const seen = await ask(`rate_limit=${hint}`, false)
    expect(seen.message().status).toBe(429)
    expect(seen.message().headers.get(header)).toMatch(value)
  })

  it('rate_limit=google hints in the body, rate_limit=none nowhere', async () => {
    const google = await ask('rate_limit=google', false)
    expect(google.json().error?.details).toEqual([
      { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '2s' },
    ])
    for (const seen of [google, await ask('rate_limit=none', false)])
      expect(seen.message().headers.has('retry-after')).toBe(false)
  })

  it('combines faults, from the header too, and strips them from the name', async () => {
    const body = JSON.stringify({
      model: 'gpt-4o~comments',
      stream: true,
      messages: [{ role: 'user', content: 'capital of France' }],
    })
    const seen = await exchange({ port: sim.port, body, headers: { 'x-sim-fault': 'crlf; cut_stream_after=1' } })
    const text = readMessage(seen.bytes).body.toString()
    expect(text).toContain(': keep-alive\r\n\r\n')
    expect(text).toContain('"model":"gpt-4o"')
    expect(text).not.toContain('capital')
  })

  it('applies `times` to the first requests, then answers', async () => {
    const statuses: number[] = []
    for (let i = 0; i < 3; i++) statuses.push((await ask('status=429~times=2', false)).message().status)
    expect(statuses).toEqual([429, 429, 200])
  })

  it('explains a fault that does not exist', async () => {
    const seen = await ask('no_such_fault', false)
    expect(seen.message().status).toBe(400)
    expect(seen.json().error).toMatchObject({ code: 'sim_bad_fault' })
    expect(seen.json().error?.message).toContain('no_such_fault')
  })
})
