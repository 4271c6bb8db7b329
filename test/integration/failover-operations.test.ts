import { createHash, randomBytes } from 'node:crypto'
import { Agent } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startSim } from '../../src/sim/index.ts'
import type { Sim } from '../../src/sim/index.ts'
import type { Gateway } from '../support/gateway.ts'
import { call, chat, eventsOf, readAnswer } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'

const KEY = 'plain.key.of.the.first.backend'

let first: Sim
let second: Sim
let gateway: Gateway

/** Names of targets with a fault; each is used by one test, since health belongs to the name. */
const FAULTY = [
  'early_error',
  'status=500',
  'html',
  'cut_stream_after=0',
  'error_after=2~interval=40',
  'no_done~interval=40',
  'stall',
  'auth_401',
] as const
const OPERATIONS = ['chat', 'completions', 'embeddings', 'responses', 'raw'] as const

beforeAll(async () => {
  first = await startSim()
  second = await startSim()
  const models = OPERATIONS.flatMap((op) =>
    FAULTY.map((fault, i) => `  ${op}-${i}: ["first/${op}-${i}~${fault}", "second/${op}-${i}"]`),
  )
  gateway = await startGateway(`
defaults:
  timeouts: { first_token: 500ms, idle: 500ms, attempt: 1s }
  retries: { max_attempts: 2, backoff: { base: 1ms, max: 2ms }, max_retry_after: 100ms }
providers:
  first: { type: openai_compatible, base_url: "${first.url}", api_key: ${KEY}, headers: { x-team: search }, operations: [chat, completions, embeddings, responses, passthrough] }
  second: { type: openai_compatible, base_url: "${second.url}", operations: [chat, completions, embeddings, responses, passthrough] }
  # Its key is refused in a test: a provider of its own, so that the others are not taken out with it.
  third: { type: openai_compatible, base_url: "${first.url}", api_key: ${KEY} }
models:
${models.join('\n')}
`)
})

afterAll(async () => {
  await gateway.stop()
  await Promise.all([first.close(), second.close()])
})

const modelOf = (operation: (typeof OPERATIONS)[number], fault: (typeof FAULTY)[number]): string =>
  `${operation}-${FAULTY.indexOf(fault)}`
const by = (headers: Readonly<Record<string, unknown>>): string => String(headers['x-heddle-target']).split('/')[0]!

describe('responses', () => {
  const stream = async (fault: (typeof FAULTY)[number]) => {
    const reply = await call(`${gateway.url}/v1/responses`, {
      body: { model: modelOf('responses', fault), input: 'Say something about looms.', stream: true },
    })
    const events = eventsOf(reply.text)
    return { reply, events, last: JSON.parse(events.at(-1)?.data ?? '{}') as Record<string, unknown> }
  }

  test.each(['early_error', 'status=500', 'html', 'cut_stream_after=0', 'stall', 'auth_401'] as const)(
    '%s before text: another target answers, nothing shows',
    async (fault) => {
      const { reply, events, last } = await stream(fault)
      expect(reply.status).toBe(200)
      expect(by(reply.headers)).toBe('second')
      expect(events.filter((e) => e.name === 'response.created')).toHaveLength(1)
      expect(events.filter((e) => e.name === 'error')).toHaveLength(0)
      expect(last['type']).toBe('response.completed')
      const numbers = events.map((e) => (JSON.parse(e.data) as { sequence_number: number }).sequence_number)
      expect(numbers).toEqual(numbers.map((_, i) => i))
    },
  )

  test.each(['error_after=2~interval=40', 'no_done~interval=40'] as const)(
    '%s after text: an error event in the dialect’s form, numbered on',
    async (fault) => {
      const { reply, events, last } = await stream(fault)
      expect(reply.status).toBe(200)
      expect(by(reply.headers)).toBe('first')
      expect(events.at(-1)?.name).toBe('error')
      expect(last).toMatchObject({
        type: 'error',
        code: 'stream_interrupted',
        param: null,
        message: expect.stringMatching(/broke off/),
      })
      expect(events.filter((e) => e.name === 'response.completed')).toHaveLength(0)
      const before = JSON.parse(events.at(-2)!.data) as { sequence_number: number }
      expect(last['sequence_number']).toBe(before.sequence_number + 1)
    },
  )

  test('a body fails over like a stream', async () => {
    const reply = await call(`${gateway.url}/v1/responses`, { body: { model: 'responses-1', input: 'x' } })
    expect([reply.status, by(reply.headers)]).toEqual([200, 'second'])
    expect((reply.json() as { object: string }).object).toBe('response')
  })
})

describe('completions and embeddings', () => {
  test.each(['early_error', 'html', 'cut_stream_after=0'] as const)('completions stream: %s', async (fault) => {
    const answer = readAnswer(
      await call(`${gateway.url}/v1/completions`, {
        body: { model: modelOf('completions', fault), prompt: 'Looms', stream: true },
      }),
    )
    expect({ status: answer.status, by: by(answer.headers), done: answer.done, text: answer.text !== '' }).toEqual({
      status: 200,
      by: 'second',
      done: true,
      text: true,
    })
  })

  test('completions stream broken after text', async () => {
    const model = modelOf('completions', 'error_after=2~interval=40')
    const answer = readAnswer(
      await call(`${gateway.url}/v1/completions`, { body: { model, prompt: 'Looms', stream: true } }),
    )
    expect({ code: answer.error?.code, done: answer.done, text: answer.text !== '' }).toEqual({
      code: 'stream_interrupted',
      done: false,
      text: true,
    })
  })

  test.each(['status=500', 'html', 'stall', 'auth_401'] as const)('embeddings: %s', async (fault) => {
    const reply = await call(`${gateway.url}/v1/embeddings`, {
      body: { model: modelOf('embeddings', fault), input: ['a', 'b'] },
    })
    expect([reply.status, by(reply.headers), (reply.json() as { data: unknown[] }).data.length]).toEqual([
      200,
      'second',
      2,
    ])
  })
})

interface Echo {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  readonly body: { readonly length: number; readonly sha256: string }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

describe('paths that Heddle does not read', () => {
  test('an unknown path takes body, query and type as they are, and the gateway’s own key', async () => {
    const body = randomBytes(300_000)
    const headers = {
      'content-type': 'application/x-thing',
      authorization: 'Bearer client-key',
      cookie: 'a=b',
      'x-forwarded-for': '10.9.8.7',
      'x-client': '1',
    }
    const reply = await call(`${gateway.url}/v1/some/new/thing?x=1&y=%2F`, { method: 'PUT', body, headers })
    const echo = reply.json() as Echo
    expect(echo).toMatchObject({
      method: 'PUT',
      path: '/v1/some/new/thing',
      query: { x: '1', y: '/' },
      body: { length: body.length, sha256: sha256(body) },
    })
    expect(echo.headers).toMatchObject({
      'content-type': 'application/x-thing',
      authorization: `Bearer ${KEY}`,
      'x-team': 'search',
    })
    for (const name of ['cookie', 'x-forwarded-for', 'x-client']) expect(echo.headers[name]).toBeUndefined()
  })

  test('GET has no body, and a path can be sent to a provider by name', async () => {
    const reply = await call(`${gateway.url}/v1/some/list?limit=2`, { headers: { 'x-heddle-provider': 'second' } })
    expect(reply.json() as Echo).toMatchObject({ method: 'GET', query: { limit: '2' }, body: { length: 0 } })
    expect(by(reply.headers)).toBe('second')
  })

  test('multipart upload and binary download are byte-exact', async () => {
    const file = randomBytes(200_000)
    const boundary = `----b${randomBytes(8).toString('hex')}`
    const body = Buffer.concat([
      Buffer.from(
        `--${boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="f.bin"\r\ncontent-type: application/octet-stream\r\n\r\n`,
      ),
      file,
      Buffer.from(`\r\n--${boundary}--\r\n`),
    ])
    const uploaded = await call(`${gateway.url}/v1/files`, {
      method: 'POST',
      body,
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    })
    expect(uploaded.status).toBe(200)
    expect(sha256(first.received.at(-1)!.body)).toBe(sha256(body))
    const got = await call(`${gateway.url}/v1/files/${(uploaded.json() as { id: string }).id}/content`)
    expect(got.headers['content-type']).toBe('application/octet-stream')
    expect(sha256(got.bytes)).toBe(sha256(file))
  })

  test('a model in the body routes, and a failure before the first byte is another target’s turn', async () => {
    const reply = await call(`${gateway.url}/v1/audio/speech`, {
      body: { model: modelOf('raw', 'status=500'), input: 'loom', voice: 'alloy' },
    })
    expect([reply.status, by(reply.headers), reply.bytes.length > 100]).toEqual([200, 'second', true])
  })

  test('redirects are not followed, refused keys are not shown', async () => {
    for (const [fault, status] of [
      ['redirect', 502],
      ['status=404', 404],
      ['auth_401', 502],
    ] as const) {
      const reply = await call(`${gateway.url}/v1/audio/speech`, {
        body: { model: `third/x~${fault}`, input: 'x', voice: 'alloy' },
      })
      expect(reply.status).toBe(status)
      expect(reply.text).not.toContain(KEY)
      expect(reply.headers['location']).toBeUndefined()
    }
  })

  test('an answer that breaks off breaks off for the client too', async () => {
    const reply = await call(`${gateway.url}/v1/audio/speech`, {
      body: { model: 'first/y~reset_after=0', input: 'x', voice: 'alloy' },
    })
    expect(reply.complete).toBe(false)
  })
})

describe('reused connections', () => {
  const marked = (n: number) => ({
    messages: [{ role: 'user', content: `Repeat the number ${n}.` }],
    user: `client-${n}`,
  })

  test.each(['early_hints=2', 'switching', 'early_hints', 'surplus_bytes'])(
    '%s never puts one client’s answer before another',
    async (fault) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      for (let i = 0; i < 20; i++) {
        const stream = i % 2 === 1
        const reply = await call(`${gateway.url}/v1/chat/completions`, {
          body: { model: `first/n${i}~${fault}`, ...marked(i), stream },
          agent,
        })
        const answer = readAnswer(reply)
        expect(answer.status).toBe(200)
        // The backend names the model that it answered for: that is whose answer this is.
        for (const chunk of answer.chunks) expect(chunk.model).toBe(`n${i}`)
        expect(reply.text).not.toContain('surplus')
        expect(reply.headers['link']).toBeUndefined()
      }
      agent.destroy()
    },
  )

  test('concurrent clients each get their own', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => ({
        i,
        answer: await chat(gateway.url, `first/c${i}~early_hints=${i % 3}`, { stream: i % 2 === 0 }),
      })),
    )
    for (const { i, answer } of answers) expect(new Set(answer.chunks.map((c) => c.model))).toEqual(new Set([`c${i}`]))
  })
})

test.each([
  ['auth_403', 502],
  ['rate_limit', 429],
] as const)('%s for one model name takes no other name of the provider out', async (fault, status) => {
  expect((await chat(gateway.url, `second/private~${fault}`)).status).toBe(status)
  expect((await chat(gateway.url, 'second/public')).status).toBe(200)
})

describe('multipart', () => {
  const form = (
    model: string,
    file: Buffer,
  ): { readonly body: Buffer; readonly headers: Readonly<Record<string, string>> } => {
    const head = `--cut\r\ncontent-disposition: form-data; name="model"\r\n\r\n${model}\r\n--cut\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\n`
    return {
      body: Buffer.concat([Buffer.from(head), file, Buffer.from('\r\n--cut--\r\n')]),
      headers: { 'content-type': 'multipart/form-data; boundary=cut' },
    }
  }

  test('routes by its model, which becomes the target’s; every other byte stays', async () => {
    const file = randomBytes(50_000)
    const reply = await call(`${gateway.url}/v1/audio/transcriptions`, {
      method: 'POST',
      ...form('second/whisper-1', file),
    })
    expect([reply.status, by(reply.headers)]).toEqual([200, 'second'])
    expect(second.received.at(-1)!.body.equals(form('whisper-1', file).body)).toBe(true)
    const own = await call(`${gateway.url}/v1/audio/transcriptions`, {
      method: 'POST',
      ...form(modelOf('raw', 'html'), file),
    })
    expect(own.status).toBe(200)
    expect(first.received.at(-1)!.body.equals(form(`${modelOf('raw', 'html')}~html`, file).body)).toBe(true)
  })
})
