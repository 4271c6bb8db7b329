import fc from 'fast-check'
import OpenAI from 'openai'
import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../contracts/canonical.ts'
import { GatewayError } from '../../core/errors.ts'
import {
  bodyOf,
  collected,
  contents,
  contextOf,
  dataOf,
  eventsOf,
  expectOnlyClientErrors,
  streamOf,
  whole,
  wildRequest,
} from '../../../test/support/client-dialects.ts'
import { completionsClient } from './client-completions.ts'

const FULL: JsonObject = {
  model: 'm',
  prompt: ['Once'],
  suffix: 'end',
  echo: true,
  best_of: 1,
  logprobs: 2,
  max_tokens: 5,
  temperature: 0,
  stop: ['a', 'b'],
  n: 1,
  user: 'u',
  stream_options: {},
  other: 1,
}

describe('a completion request', () => {
  it('is read with all that it says', () => {
    expect(completionsClient.request(FULL, 'm', true)).toEqual({
      model: 'm',
      messages: [{ role: 'user', parts: [{ type: 'text', text: 'Once' }] }],
      stream: true,
      maxTokens: 5,
      logprobs: true,
      topLogprobs: 2,
      suffix: 'end',
      echo: true,
      temperature: 0,
      stop: ['a', 'b'],
      n: 1,
      user: 'u',
      unknown: ['other'],
    })
  })

  it.each([
    [{}, 'prompt'],
    [{ prompt: ['a', 'b'] }, 'prompt'],
    [{ prompt: [1, 2] }, 'prompt'],
    [{ prompt: 'x', best_of: 2 }, 'best_of'],
    [{ prompt: 'x', logprobs: 21 }, 'logprobs'],
  ] as [JsonObject, string][])('names the field at fault: %j', (sent, param) => {
    expect(expectOnlyClientErrors(completionsClient, sent)).toBe(param)
  })

  it('throws nothing but what the client did wrong', () => {
    fc.assert(
      fc.property(wildRequest([FULL]), (sent) => {
        expectOnlyClientErrors(completionsClient, sent)
      }),
      { numRuns: 500 },
    )
  })
})

const choice = (chunk: JsonObject): JsonObject | undefined => (chunk['choices'] as JsonObject[])[0]

describe('a completion', () => {
  it('has the text alone, whole or streamed', () => {
    fc.assert(
      fc.property(contents(), (middle) => {
        const script = whole(middle)
        const text = collected(script).joined('text')
        expect(choice(bodyOf(completionsClient, script))!['text']).toBe(text)
        const stream = streamOf(completionsClient, script, true)
        expect(stream).toBe(streamOf(completionsClient, script, false))
        expect(
          dataOf(stream)
            .map((chunk) => choice(chunk)?.['text'] ?? '')
            .join(''),
        ).toBe(text)
      }),
    )
  })

  it('has the probabilities of the legacy API, with the text they are of', () => {
    const request = { ...contextOf().request, logprobs: true }
    const entry = (token: string): JsonObject => ({ token, logprob: -1, top_logprobs: [{ token: 'x', logprob: -2 }] })
    const script = whole([
      (sink) => sink.text(0, 'ab'),
      (sink) => sink.logprobs(0, [entry('ab')]),
      (sink) => sink.text(0, 'c'),
      (sink) => sink.logprobs(0, [entry('c')]),
    ])
    const all = {
      tokens: ['ab', 'c'],
      token_logprobs: [-1, -1],
      top_logprobs: [{ x: -2 }, { x: -2 }],
      text_offset: [0, 2],
    }
    expect(choice(bodyOf(completionsClient, script))).toMatchObject({ text: 'abc', logprobs: all })
    const chunks = dataOf(streamOf(completionsClient, script, true, contextOf({ request })))
    expect(chunks.slice(0, 2).map(choice)).toMatchObject([
      { text: 'ab', logprobs: { text_offset: [0] } },
      { text: 'c', logprobs: { text_offset: [2] } },
    ])
  })

  it('is taken by the openai package, whole and streamed', async () => {
    const script = whole([(sink) => sink.text(0, 'Hel'), (sink) => sink.text(0, 'lo')], 'length')
    const client = (body: string, type: string): OpenAI =>
      new OpenAI({
        apiKey: 'x',
        fetch: () => Promise.resolve(new Response(body, { headers: { 'content-type': type } })),
      })
    const json = completionsClient.answer(contextOf())
    for (const tell of script) tell(json)
    const answer = await client(json.body(), 'application/json').completions.create({ model: 'm', prompt: 'x' })
    expect(answer).toMatchObject({
      id: 'cmpl-backend-1',
      object: 'text_completion',
      model: 'nice-model',
      choices: [{ text: 'Hello', finish_reason: 'length' }],
      usage: { total_tokens: 140 },
    })
    const sse = streamOf(completionsClient, script, false)
    const stream = await client(sse, 'text/event-stream').completions.create({ model: 'm', prompt: 'x', stream: true })
    const told: unknown[] = []
    for await (const chunk of stream) told.push(chunk.choices[0]?.finish_reason ?? chunk.choices[0]?.text ?? 'usage')
    expect(told).toEqual(['Hel', 'lo', 'length', 'usage'])
  })

  it('ends a stream with an error, nothing before it lost', () => {
    const encoder = completionsClient.stream(contextOf({ request: { ...contextOf().request, logprobs: true } }))
    encoder.text(0, 'x')
    const events = eventsOf(String(encoder.error(new GatewayError('stream_interrupted', 'Broke off.'))))
    expect(events.map((event) => JSON.parse(event.data))).toMatchObject([{ choices: [{ text: 'x' }] }, { error: {} }])
  })
})
