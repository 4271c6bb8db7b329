// One entry serves both forms of every dialect: what is told again is what was told.
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/contracts/canonical.ts'
import type { Operation } from '../../src/contracts/operation.ts'
import type { Reply } from '../support/client.ts'
import { OPERATIONS } from '../../src/protocol/operations.ts'
import { CollectedAnswer } from '../../src/protocol/canonical/collect.ts'
import { wireOf } from '../../src/protocol/wires.ts'
import { framerOf } from '../../src/protocol/framing.ts'
import { call, eventsOf } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'

const closers = closedAfterEach()
const gateway = async (): Promise<Gateway> => {
  const made = await startGateway('providers: { sim: {} }\nmodels: { m: sim/m }\ncache: {}')
  closers.push(() => made.stop())
  return made
}

interface Row {
  readonly operation: Operation
  readonly path: (stream: boolean) => string
  readonly body: (stream: boolean, question: string) => JsonObject
}
const said = (stream: boolean, body: JsonObject): JsonObject => ({ ...body, model: 'm', stream })
const ROWS: readonly Row[] = [
  {
    operation: 'chat',
    path: () => '/v1/chat/completions',
    body: (stream, content) =>
      said(stream, { messages: [{ role: 'user', content }], stream_options: stream ? { include_usage: true } : null }),
  },
  {
    operation: 'responses',
    path: () => '/v1/responses',
    body: (stream, input) => said(stream, { input, store: false }),
  },
  {
    operation: 'messages',
    path: () => '/v1/messages',
    body: (stream, content) => said(stream, { messages: [{ role: 'user', content }], max_tokens: 500 }),
  },
  {
    operation: 'generate_content',
    path: (stream) => `/v1beta/models/m:${stream ? 'streamGenerateContent' : 'generateContent'}`,
    body: (_stream, text) => ({ contents: [{ role: 'user', parts: [{ text }] }] }),
  },
  {
    operation: 'ollama_chat',
    path: () => '/api/chat',
    body: (stream, content) => said(stream, { messages: [{ role: 'user', content }] }),
  },
  {
    operation: 'cohere_chat',
    path: () => '/v2/chat',
    body: (stream, content) => said(stream, { messages: [{ role: 'user', content }] }),
  },
  {
    operation: 'converse',
    path: (stream) => `/model/m/${stream ? 'converse-stream' : 'converse'}`,
    body: (_stream, text) => ({ messages: [{ role: 'user', content: [{ text }] }] }),
  },
]
const QUESTION = 'Tell me at some length what a heddle does in a loom, and why a weaver needs hundreds of them.'

const ask = (heddle: Gateway, { path, body }: Row, stream: boolean, question = QUESTION): Promise<Reply> => {
  const query = stream && path(stream).includes('streamGenerate') ? '?alt=sse' : ''
  return call(`${heddle.url}${path(stream)}${query}`, { body: body(stream, question) })
}

/** By the reader of the dialect, which is not what wrote it. */
function heard({ operation }: Row, { bytes }: Reply, stream: boolean): CollectedAnswer {
  const wire = wireOf(OPERATIONS[operation].dialect!)
  const answer = new CollectedAnswer()
  if (!stream) {
    expect(wire.answer(JSON.parse(bytes.toString()) as JsonObject, answer)).toBe('ok')
    return answer
  }
  const decoder = wire.stream(answer)
  const framer = framerOf(wire.framing, bytes.length + 1)
  if (framer === null) {
    for (const { name, data } of eventsOf(bytes.toString())) if (data !== '') decoder.event(name, data)
  } else {
    expect(framer.push(bytes)).toBeNull()
    for (let event = framer.next(); event !== null; event = framer.next()) decoder.event(event.name, event.data)
  }
  decoder.close()
  return answer
}
const meaning = (answer: CollectedAnswer): unknown => ({
  text: answer.choices[0]!.joined('text'),
  finish: answer.choices[0]!.finish,
  input: answer.used?.inputTokens,
  output: answer.used?.outputTokens,
})

describe.each(ROWS)('$operation', (row) => {
  test.each([
    ['whole, then again in both forms', false],
    ['as a stream, then again in both forms', true],
  ])('%s', async (_name, first) => {
    const heddle = await gateway()
    const made = await ask(heddle, row, first)
    expect([made.status, made.headers['x-heddle-cache']]).toEqual([200, 'miss'])
    const wanted = meaning(heard(row, made, first))
    expect(wanted).toMatchObject({ text: expect.stringMatching(/\w{3}/), finish: 'stop' })
    for (const stream of [false, true]) {
      const again = await ask(heddle, row, stream)
      expect([again.status, again.headers['x-heddle-cache']]).toEqual([200, 'hit'])
      expect(again.headers['x-heddle-simulated']).toBe('true')
      expect(meaning(heard(row, again, stream))).toEqual(wanted)
    }
    const other = await ask(heddle, row, first, 'What is a loom?')
    expect(other.headers['x-heddle-cache']).toBe('miss')
  })
})

test('legacy completions and vectors are kept whole', async () => {
  const heddle = await gateway()
  for (const [path, body] of [
    ['/v1/completions', { model: 'm', prompt: QUESTION, max_tokens: 1000 }],
    ['/v1/embeddings', { model: 'm', input: [QUESTION, 'x'] }],
  ] as const) {
    const first = await call(`${heddle.url}${path}`, { body })
    const again = await call(`${heddle.url}${path}`, { body })
    expect([first.headers['x-heddle-cache'], again.headers['x-heddle-cache']]).toEqual(['miss', 'hit'])
    expect(again.text).toBe(first.text)
  }
})

test('a hit may come at the pace of a model', async () => {
  const heddle = await startGateway(
    'providers: { sim: {} }\nmodels: { m: sim/m }\ncache: { replay_tokens_per_second: 400 }',
  )
  closers.push(() => heddle.stop())
  const [row] = ROWS
  const wanted = meaning(heard(row!, await ask(heddle, row!, true), true))
  const again = await ask(heddle, row!, true)
  expect(again.headers['x-heddle-cache']).toBe('hit')
  expect(again.headers['content-length']).toBeUndefined()
  expect(meaning(heard(row!, again, true))).toEqual(wanted)
})
