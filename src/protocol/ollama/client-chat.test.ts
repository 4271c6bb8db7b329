import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject, Part } from '../../contracts/canonical.ts'
import { GatewayError } from '../../core/errors.ts'
import {
  bodyOf,
  contents,
  contextOf,
  expectOnlyClientErrors,
  joined,
  partsOf,
  streamOf,
  whole,
  wildRequest,
  withLogprobs,
  withObjects,
} from '../../../test/support/client-dialects.ts'
import { ollamaClient } from './client-chat.ts'

const FULL: JsonObject = {
  model: 'm',
  messages: [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'look', images: ['/9j/4AAQ'] },
    {
      role: 'assistant',
      content: '',
      thinking: 'hm',
      tool_calls: [
        { function: { name: 'f', arguments: { a: 1 } } },
        { id: 'own', function: { name: 'g', arguments: {} } },
      ],
    },
    { role: 'tool', tool_name: 'g', content: 'two' },
    { role: 'tool', content: 'one' },
  ],
  tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
  format: { type: 'object' },
  think: 'high',
  keep_alive: '5m',
  options: {
    temperature: 0.1,
    top_p: 0.2,
    top_k: 3,
    min_p: 0.4,
    seed: 5,
    stop: ['END'],
    num_predict: -1,
    repeat_penalty: 1.2,
    num_ctx: 4096,
  },
}

describe('a request of /api/chat', () => {
  it('is read with all that it says, and streams', () => {
    expect(ollamaClient.request(FULL, 'm', false)).toMatchSnapshot()
  })

  it.each([
    [{}, 'messages'],
    [{ messages: [{ role: 'bot', content: '' }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user', content: 'x', images: ['@'] }] }, 'messages[0].images[0]'],
    [{ messages: [], format: 'xml' }, 'format'],
    [{ messages: [], options: { top_p: '1' } }, 'options.top_p'],
    [
      { messages: [{ role: 'assistant', tool_calls: [{ function: { name: 'f', arguments: 'x' } }] }] },
      'messages[0].tool_calls[0].function.arguments',
    ],
  ] as [JsonObject, string][])('names the field at fault: %j', (sent, param) => {
    expect(expectOnlyClientErrors(ollamaClient, sent)).toBe(param)
  })

  it.each([
    [true, { effort: null, budget: -1, visible: true }],
    [false, { effort: null, budget: 0, visible: null }],
    ['low', { effort: 'low', budget: null, visible: true }],
  ])('takes think: %j', (think, reasoning) => {
    expect(ollamaClient.request({ messages: [], think }, 'm', false).reasoning).toEqual(reasoning)
  })

  it('does not stream when the body says so', () => {
    expect(ollamaClient.request({ messages: [], stream: false }, 'm', true).stream).toBe(false)
  })

  it('throws nothing but what the client did wrong', () => {
    fc.assert(
      fc.property(wildRequest([FULL]), (sent) => {
        expectOnlyClientErrors(ollamaClient, sent)
      }),
      { numRuns: 1000 },
    )
  })
})

/** One thought, one text, calls; nothing that proves anything. */
function inOllamaOrder(parts: readonly Part[]): Part[] {
  const thought = parts.map((part) => (part.type === 'reasoning' ? part.text : '')).join('')
  const calls = parts
    .filter((part) => part.type === 'tool_call')
    .map(({ type, id, name, arguments: args }) => ({ type, id, name, arguments: args }))
  return [
    ...(thought === '' ? [] : [{ type: 'reasoning', text: thought } as const]),
    ...joined(parts.filter((part) => part.type === 'text')),
    ...calls,
  ]
}

const linesOf = (text: string): JsonObject[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as JsonObject)

const back = (message: unknown): Part[] => [
  ...ollamaClient.request({ messages: [message as JsonObject] }, 'm', false).messages[0]!.parts,
]

function accumulate(text: string): unknown {
  const messages = linesOf(text).map((line) => line['message'] as Record<string, string & JsonObject[]>)
  return {
    role: 'assistant',
    content: messages.map((message) => message['content']).join(''),
    thinking: messages.map((message) => message['thinking'] ?? '').join(''),
    tool_calls: messages.flatMap((message) => message['tool_calls'] ?? []),
  }
}

describe('an answer of /api/chat', () => {
  it('comes back in the history as it was told, whole or streamed', () => {
    fc.assert(
      fc.property(contents({ lateSignatures: true }), (middle) => {
        const script = whole(middle)
        const expected = withObjects(inOllamaOrder(partsOf(script)))
        expect(back(bodyOf(ollamaClient, script)['message'])).toEqual(expected)
        const stream = streamOf(ollamaClient, script, true)
        expect(stream).toBe(streamOf(ollamaClient, script, false))
        expect(back(accumulate(stream))).toEqual(expected)
        expect(back(accumulate(streamOf(ollamaClient, script, true, withLogprobs())))).toEqual(expected)
      }),
    )
  })

  it('is an object of the API, and so are the lines of its stream', () => {
    const script = whole(
      [
        (sink) => sink.reasoning(0, 'hm'),
        (sink) => sink.text(0, 'Hi'),
        (sink) => sink.toolCall(0, 0, 'c', 'f', false),
        (sink) => sink.toolArguments(0, 0, '{"a":1}'),
      ],
      'length',
    )
    const body = bodyOf(ollamaClient, script)
    expect(body).toMatchSnapshot('whole')
    const lines = linesOf(streamOf(ollamaClient, script, true))
    expect(lines).toMatchSnapshot('lines')
    expect({ ...lines.at(-1), message: 0 }).toEqual({ ...body, message: 0 })
  })

  it('keeps probabilities with the text they are of', () => {
    const request = { ...contextOf().request, logprobs: true }
    const script = whole([(sink) => sink.text(0, 'a'), (sink) => sink.logprobs(0, [{ token: 'a' }])])
    expect(linesOf(streamOf(ollamaClient, script, true, contextOf({ request })))[0]).toMatchObject({
      message: { content: 'a' },
      logprobs: [{ token: 'a' }],
    })
  })

  it('ends with an error, as a line', () => {
    const encoder = ollamaClient.stream(contextOf())
    encoder.text(0, 'x')
    const lines = linesOf(
      String(encoder.error(new GatewayError('stream_interrupted', 'Broke off.', { verbatim: true }))),
    )
    expect(lines[1]).toEqual({ error: 'Broke off.' })
  })
})
