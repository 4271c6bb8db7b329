import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startSim } from '../../src/sim/index.ts'
import type { Sim } from '../../src/sim/index.ts'
import type { Backend } from '../support/backend.ts'
import type { Gateway } from '../support/gateway.ts'
import { sendJson, startBackend } from '../support/backend.ts'
import { call, chat, headOf, open, readAnswer, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'

let a: Sim
let b: Sim
let endless: Backend
let gateway: Gateway

const chunk = (delta: object, rest: object = {}): string =>
  `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: null }], ...rest })}\n\n`

beforeAll(async () => {
  a = await startSim()
  b = await startSim()
  // By model: `finish` never sends [DONE]; `role` sends a role and nothing else; `flood` sends for as long as anybody reads.
  endless = await startBackend((res, _n, _req, body) => {
    const { model } = JSON.parse(body.toString()) as { model: string }
    if (model === 'plain') return sendJson(res, 200, { error: { message: 'wrapped', type: 'rate_limit_error' } })
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(chunk({ role: 'assistant', content: '' }))
    if (model === 'role') return
    if (model === 'finish') {
      res.write(chunk({ content: 'woven' }))
      res.end(`data: ${JSON.stringify({ id: 'x', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}\n\n`)
      return
    }
    const line = chunk({ content: 'x'.repeat(32_000) })
    const pump = (): void => {
      while (!res.destroyed && res.write(line));
      res.once('drain', pump)
    }
    pump()
  })
  // Timers are short only where one is to run out: backends, gateway and client share this process, and a busy machine
  // lets the first request alone take longer than that.
  gateway = await startGateway(`
server: { log: { level: silent, access: false }, limits: { client_stall: 600ms } }
defaults:
  retries: { max_attempts: 3, backoff: { base: 0, max: 0 } }
providers:
  a: { type: openai_compatible, base_url: "${a.url}" }
  b: { type: openai_compatible, base_url: "${b.url}" }
  deaf: { type: openai_compatible, base_url: "${a.url}", stream_usage: false }
  odd: { type: openai_compatible, base_url: "${endless.url}", stream_end: finish_reason }
models:
  two-breaks: { targets: ["a/t~error_after=2~interval=30", "b/t~cut_stream_after=1~interval=30", a/t], continuation: true }
  refused-next: { targets: ["a/r~cut_stream_after=3~interval=30", "b/r~status=500", "b/second"], continuation: true }
  all-refuse: { targets: ["a/q~cut_stream_after=2~interval=30", "b/q~status=500"], continuation: true }
  goes-on: { targets: ["a/g~error_after=3~interval=30", b/g], continuation: true }
  alone: { targets: ["a/alone~error_after=2~interval=30"], continuation: true }
  tools: { targets: ["a/tools~error_after=2~interval=30", b/tools], continuation: true }
  held: { targets: [odd/role, b/held], timeouts: { first_token: 1s } }
  commit: { targets: [odd/role], commit: { max_wait: 60ms }, timeouts: { idle: 400ms } }
  finish: odd/finish
  flood: odd/flood
  wrapped: { targets: [odd/plain, b/wrapped] }
  usage: a/usage
  deaf: deaf/usage
  exact: a/exact
  slow: { targets: [a/slow~delay_headers=600], timeouts: { first_token: 400ms } }
  trickle: { targets: [a/trickle~slow_body=90], timeouts: { attempt: 800ms } }
  dripping: { targets: [a/dripping~interval=150], timeouts: { attempt: 800ms } }
`)
})

afterAll(async () => {
  await gateway.stop()
  await Promise.all([a.close(), b.close(), endless.close()])
})

const target = (headers: Readonly<Record<string, unknown>>): string => String(headers['x-heddle-target'])
const handovers = (answer: Awaited<ReturnType<typeof chat>>) =>
  answer.chunks.flatMap((c) => (c.heddle?.continuation === undefined ? [] : [c.heddle.continuation]))

describe('continuation', () => {
  test('another target goes on where the stream broke', async () => {
    const answer = await chat(gateway.url, 'goes-on', { stream: true })
    expect(answer.headers['x-heddle-continuation']).toBe('possible')
    expect({ done: answer.done, error: answer.error, afterEnd: answer.afterEnd }).toEqual({
      done: true,
      error: undefined,
      afterEnd: 0,
    })
    expect(handovers(answer)).toEqual([{ from: 'a/g~error_after=3~interval=30', to: 'b/g' }])
    // The second was told what the first had said, and all that both said arrived.
    const sent = JSON.parse(b.received.findLast((r) => r.model === 'g')!.body.toString()) as {
      messages: { role: string; content: string }[]
    }
    const [question, soFar, instruction] = sent.messages
    expect([question?.role, soFar?.role, instruction?.role]).toEqual(['user', 'assistant', 'user'])
    expect(soFar!.content.length).toBeGreaterThan(0)
    expect(answer.text.startsWith(soFar!.content)).toBe(true)
    expect(answer.text.length).toBeGreaterThan(soFar!.content.length)
    expect(await gateway.metric('heddle_continuations_total')).toBe(1)
  })

  test('a target that cannot go on is passed over, and nothing is said twice', async () => {
    const answer = await chat(gateway.url, 'refused-next', { stream: true })
    expect({ done: answer.done, error: answer.error }).toEqual({ done: true, error: undefined })
    expect(handovers(answer).map((h) => h.to)).toEqual(['b/r~status=500', 'b/second'])
    const sent = JSON.parse(b.received.findLast((r) => r.model === 'second')!.body.toString()) as {
      messages: { content: string }[]
    }
    expect(sent.messages).toHaveLength(3)
    expect(answer.text.startsWith(sent.messages[1]!.content)).toBe(true)
  })

  test.each(['two-breaks', 'all-refuse', 'alone'])('%s: what cannot go on ends with the error', async (model) => {
    const answer = await chat(gateway.url, model, { stream: true })
    expect({ code: answer.error?.code, done: answer.done, afterEnd: answer.afterEnd }).toEqual({
      code: 'stream_interrupted',
      done: false,
      afterEnd: 0,
    })
  })

  test.each([
    [
      'tools',
      {
        tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }],
        tool_choice: 'none',
      },
    ],
    ['goes-on', { n: 2 }],
  ])('what cannot be continued is not: %s', async (model, extra) => {
    const answer = await chat(gateway.url, model, { stream: true, ...extra })
    expect([answer.error?.code, answer.done, handovers(answer)]).toEqual(['stream_interrupted', false, []])
  })
})

describe('usage', () => {
  test('who did not ask gets no usage, and it is counted all the same', async () => {
    const before = await gateway.metric('heddle_tokens_total', { model: 'usage' })
    const silent = await chat(gateway.url, 'usage', { stream: true })
    expect([silent.done, silent.usage, silent.chunks.every((c) => c.choices?.length !== 0)]).toEqual([
      true,
      undefined,
      true,
    ])
    const counted = (await gateway.metric('heddle_tokens_total', { model: 'usage' })) - before
    const asked = await chat(gateway.url, 'usage', { stream: true, stream_options: { include_usage: true } })
    expect(asked.usage?.completion_tokens).toBeGreaterThan(0)
    // The second prompt's prefix may be cached: cached tokens are a part of the input, counted once more under their own type.
    expect(counted).toBe(asked.usage!.prompt_tokens + asked.usage!.completion_tokens)
    expect(asked.chunks.at(-1)?.choices).toEqual([])
  })

  test('a backend that does not know the option is not asked', async () => {
    const answer = await chat(gateway.url, 'deaf', { stream: true })
    expect(answer.done).toBe(true)
    expect(a.received.at(-1)!.body.toString()).not.toContain('stream_options')
  })

  test('bodies reach the backend byte for byte but for what must change', async () => {
    const odd =
      '{ "messages" : [ {"role":"user","content":"\\u00fc ü 😀 \\/"} ] ,\n\t"temperature":1.0e0, "model":"exact","zebra":[1 , 2],"big":12345678901234567890 }'
    await call(`${gateway.url}/v1/chat/completions`, { body: odd })
    expect(a.received.at(-1)!.body.toString()).toBe(odd)
    const streamed = odd.replace('"zebra"', '"stream":true,"zebra"')
    await call(`${gateway.url}/v1/chat/completions`, { body: streamed })
    expect(a.received.at(-1)!.body.toString()).toBe(`${streamed.slice(0, -1)},"stream_options":{"include_usage":true}}`)
    const renamed = odd.replace('"exact"', '"a/\\u0065xact"')
    await call(`${gateway.url}/v1/chat/completions`, { body: renamed })
    expect(a.received.at(-1)!.body.toString()).toBe(odd)
  })
})

describe('commit', () => {
  test('a role is held back: another target takes over unseen', async () => {
    const answer = await chat(gateway.url, 'held', { stream: true })
    expect([target(answer.headers), answer.done, answer.chunks.some((c) => c.id === 'x')]).toEqual([
      'b/held',
      true,
      false,
    ])
  })

  test('no longer than configured', async () => {
    const res = await headOf(
      open(`${gateway.url}/v1/chat/completions`, {
        body: { model: 'commit', messages: [{ role: 'user', content: 'x' }], stream: true },
      }),
    )
    expect([res.statusCode, target(res.headers)]).toEqual([200, 'odd/role'])
    const text = await new Promise<string>((resolve) => {
      let all = ''
      res.on('data', (d: Buffer) => (all += d.toString()))
      res.on('close', () => resolve(all))
    })
    expect(text).toContain('"code":"stream_interrupted"')
  })

  test('a backend known to send no [DONE] is completed by its finish reason', async () => {
    const answer = await chat(gateway.url, 'finish', { stream: true })
    expect([answer.status, answer.text, answer.done, answer.error]).toEqual([200, 'woven', true, undefined])
  })

  test('an error in JSON instead of a stream is another target’s turn', async () => {
    expect(target((await chat(gateway.url, 'wrapped', { stream: true })).headers)).toBe('b/wrapped')
  })
})

describe('timers', () => {
  test('first token and attempt: each has its own', async () => {
    const [stream, json] = await Promise.all([chat(gateway.url, 'slow', { stream: true }), chat(gateway.url, 'slow')])
    expect([stream.status, stream.error?.code]).toEqual([504, 'upstream_timeout'])
    expect(json.status).toBe(200)
  })

  test('an attempt that only trickles is cut, a stream that goes on is not', async () => {
    const [trickle, dripping] = await Promise.all([
      chat(gateway.url, 'trickle'),
      chat(gateway.url, 'dripping', { stream: true, max_completion_tokens: 10 }),
    ])
    expect([trickle.status, trickle.error?.code]).toEqual([504, 'upstream_timeout'])
    expect([dripping.status, dripping.done]).toEqual([200, true])
  })
})

describe('a client that does not read', () => {
  test('stops its backend, is dropped in the end, and costs bounded memory meanwhile', async () => {
    const req = open(`${gateway.url}/v1/chat/completions`, {
      body: { model: 'flood', messages: [{ role: 'user', content: 'x' }], stream: true },
    })
    const res = await headOf(req)
    res.pause()
    res.on('error', () => {})
    await until(
      async () => (await gateway.metric('heddle_requests_total', { model: 'flood', outcome: 'client_closed' })) === 1,
    )
    expect(await gateway.metric('heddle_inflight_requests')).toBe(0)
    req.destroy()
  })

  test('one that pauses for less than the limit gets all of it', async () => {
    const req = open(`${gateway.url}/v1/chat/completions`, {
      body: { model: 'flood', messages: [{ role: 'user', content: 'x' }], stream: true },
    })
    const res = await headOf(req)
    let bytes = 0
    res.on('data', (d: Buffer) => {
      bytes += d.length
      // Reads, rests, reads, for longer than the limit in all.
      res.pause()
      setTimeout(() => res.resume(), 20)
    })
    await until(() => bytes > 1_500_000, 10_000)
    expect(res.destroyed).toBe(false)
    req.destroy()
    await until(async () => (await gateway.metric('heddle_inflight_requests')) === 0)
  })
})

test('raw answers of /v1/completions look the same as chat’s to a reader', async () => {
  const answer = readAnswer(
    await call(`${gateway.url}/v1/completions`, { body: { model: 'usage', prompt: 'Looms', stream: true } }),
  )
  expect([answer.done, answer.text !== '', answer.usage]).toEqual([true, true, undefined])
})
