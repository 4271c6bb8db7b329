import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ChatRequest, JsonObject, Message, Part } from '../../contracts/canonical.ts'
import type { Wire } from '../../contracts/dialect.ts'
import { GatewayError } from '../../core/errors.ts'
import {
  bodyOf,
  contents,
  contextOf,
  dataOf,
  eventsOf,
  expectOnlyClientErrors,
  partsOf,
  streamOf,
  whole,
  wildRequest,
  withLogprobs,
  withObjects,
  type Told,
} from '../../../test/support/client-dialects.ts'
import { recordAnswer, recordStream, TARGET, word, type Recording } from '../../../test/support/wire-checks.ts'
import { featuresIn } from '../canonical/features.ts'
import { negotiate } from '../canonical/negotiate.ts'
import { readRequest } from '../openai/request.ts'
import { cohereClient as client } from './client-chat.ts'
import { wireOf } from '../wires.ts'
import { cohereChatWire as wire } from './wire.ts'

const FULL: JsonObject = {
  model: 'm',
  messages: [
    { role: 'system', content: 'Be brief.' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'look' },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=', detail: 'low' } },
      ],
    },
    {
      role: 'assistant',
      tool_plan: 'I will look.',
      content: [
        { type: 'thinking', thinking: 'hm' },
        { type: 'text', text: 'So' },
      ],
      citations: [{ start: 0, end: 2, content_index: 1, sources: [{ type: 'document', document: { title: 'T' } }] }],
      tool_calls: [
        { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
        { id: 'b', type: 'function', function: { name: 'g' } },
      ],
    },
    { role: 'tool', tool_call_id: 'a', content: [{ type: 'document', document: { id: 'd', data: { data: '7 °C' } } }] },
    { role: 'tool', tool_call_id: 'b', content: 'two' },
  ],
  documents: ['France has Paris.', { id: 'x"y', data: { title: 'T', n: 1 } }],
  tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' } } }],
  strict_tools: true,
  tool_choice: 'REQUIRED',
  response_format: { type: 'json_object', json_schema: { type: 'object' } },
  thinking: { type: 'enabled', token_budget: 500 },
  citation_options: { mode: 'FAST' },
  safety_mode: 'STRICT',
  max_tokens: 9,
  temperature: 0.1,
  p: 0.2,
  k: 3,
  frequency_penalty: 0.4,
  presence_penalty: 0.5,
  seed: 6,
  stop_sequences: ['END'],
  logprobs: true,
  new_field: 1,
}

const read = (sent: JsonObject): ChatRequest => client.request({ messages: [], ...sent }, 'm', false)

describe('a request of /v2/chat', () => {
  it('is read with all that it says', () => {
    expect(read(FULL)).toMatchSnapshot()
  })

  it('reaches Cohere again as it came, also where it is only Cohere’s', () => {
    const body = wire.request(read(FULL), { ...TARGET, model: 'command-a' })
    expect(body).toMatchObject({
      documents: FULL['documents'],
      citation_options: { mode: 'FAST' },
      safety_mode: 'STRICT',
      logprobs: true,
    })
    const messages = body['messages'] as JsonObject[]
    expect(messages[1]).toEqual((FULL['messages'] as JsonObject[])[1])
    expect(messages[2]!['citations']).toEqual((FULL['messages'] as JsonObject[])[2]!['citations'])
    expect(messages[3]).toEqual((FULL['messages'] as JsonObject[])[3])
  })

  it('takes what is only Cohere’s to Cohere, and says that others do not get it', () => {
    const request = read({ messages: [{ role: 'user', content: 'x' }], safety_mode: 'STRICT', priority: 1, other: 2 })
    const left = (to: Wire) => [...negotiate(request, featuresIn(request), to, 'refuse').dropped].toSorted()
    expect(left(wireOf('openai.chat'))).toEqual(['other', 'priority', 'safety_mode'])
    expect(left(wire)).toEqual(['other'])
  })

  it.each([
    [{ messages: 'x' }, 'messages'],
    [{ messages: [{ role: 'bot', content: '' }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      'messages[0].content[0].image_url.url',
    ],
    [{ messages: [{ role: 'tool', content: '' }] }, 'messages[0].tool_call_id'],
    [{ documents: [{ id: 'x' }] }, 'documents[0].data'],
    [{ tool_choice: 'AUTO' }, 'tool_choice'],
    [{ tools: [{ type: 'web' }] }, 'tools[0].type'],
    [{ response_format: { type: 'xml' } }, 'response_format.type'],
    [{ thinking: { type: 'on' } }, 'thinking.type'],
    [{ thinking: { type: 'enabled', token_budget: 0 } }, 'thinking.token_budget'],
    [{ k: 0.5 }, 'k'],
  ] as [JsonObject, string][])('names the field at fault: %j', (sent, param) => {
    expect(expectOnlyClientErrors(client, { messages: [], ...sent })).toBe(param)
  })

  it('takes zero of k, and thinking that is off, for nothing asked', () => {
    expect(read({ k: 0 })).not.toHaveProperty('topK')
    expect(read({ thinking: { type: 'disabled' } }).reasoning).toEqual({ effort: null, budget: 0, visible: null })
    expect(read({ thinking: { type: 'enabled' } }).reasoning).toEqual({ effort: null, budget: -1, visible: true })
    expect(read({ response_format: { type: 'text' }, tools: [] })).toEqual({ model: 'm', messages: [], stream: false })
  })

  it('has documents stand before what is asked, whoever spoke last, and where nobody asks', () => {
    const { messages } = read({
      messages: [
        { role: 'user', content: 'first' },
        { role: 'user', content: 'last' },
        { role: 'assistant', content: 'well' },
      ],
      documents: ['D'],
    })
    expect(messages.map(({ parts }) => parts.map((part) => (part.type === 'text' ? part.text : '')))).toEqual([
      ['first'],
      ['<document id="doc:0">\nD\n</document>', 'last'],
      ['well'],
    ])
    expect(read({ documents: ['D'] }).messages).toMatchObject([{ role: 'user', parts: [{ type: 'text' }] }])
  })

  it('is as long as its documents make it', () => {
    const limits = { depth: 64, keys: 1000 }
    const lengthOf = (documents: string[]): number => {
      const body = Buffer.from(JSON.stringify({ model: 'm', messages: [], documents }))
      return readRequest('cohere_chat', body, limits).promptTokens
    }
    expect(lengthOf(['x'.repeat(3998)])).toBe(lengthOf([]) + 1000)
  })

  it('throws nothing but what the client did wrong', () => {
    fc.assert(
      fc.property(wildRequest([FULL]), (sent) => {
        expectOnlyClientErrors(client, sent)
      }),
      { numRuns: 1000 },
    )
  })
})

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
const textPart = text.map((value): Part => ({ type: 'text', text: value }))
const image: fc.Arbitrary<Part> = fc.constantFrom<Part[]>(
  { type: 'image', source: { kind: 'base64', mime: 'image/png', data: 'iVBORw0KGgo=' } },
  { type: 'image', source: { kind: 'url', url: 'https://a.test/b.png', mime: null }, detail: 'low' },
)
const userMessage: fc.Arbitrary<Message> = fc.oneof(
  textPart.map((part): Message => ({ role: 'user', parts: [part] })),
  fc
    .tuple(fc.array(textPart, { maxLength: 2 }), image)
    .map(([texts, one]): Message => ({ role: 'user', parts: [...texts, one] })),
  textPart.map((part): Message => ({ role: 'system', parts: [part] })),
)
const calls = fc.array(fc.tuple(word, fc.dictionary(word, fc.integer(), { maxKeys: 2 })), {
  minLength: 1,
  maxLength: 3,
})
const round: fc.Arbitrary<Message[]> = fc
  .tuple(fc.option(text), fc.option(text), calls, fc.nat(99))
  .map(([thought, said, made, n]) => [
    {
      role: 'assistant',
      parts: [
        ...(thought === null ? [] : [{ type: 'reasoning', text: thought } as const]),
        ...(said === null ? [] : [{ type: 'text', text: said } as const]),
        ...made.map(([name, args], i): Part => ({
          type: 'tool_call',
          id: `c${n}_${i}`,
          name,
          arguments: JSON.stringify(args),
        })),
      ],
    },
    {
      role: 'tool',
      parts: made.map(([name], i): Part => ({
        type: 'tool_result',
        id: `c${n}_${i}`,
        content: [{ type: 'text', text: name }],
      })),
    },
  ])
const share = fc.integer({ min: 1, max: 99 }).map((n) => n / 100)
const asks: fc.Arbitrary<ChatRequest> = fc
  .record(
    {
      tools: fc
        .uniqueArray(word, { minLength: 1, maxLength: 3 })
        .map((names) => names.map((name) => ({ name, description: 'd', schema: { type: 'object' }, strict: true }))),
      toolChoice: fc.constantFrom({ mode: 'required' } as const, { mode: 'none' } as const),
      format: fc.constantFrom(
        { type: 'json' } as const,
        { type: 'schema', name: 'answer', schema: { type: 'object' } } as const,
      ),
      reasoning: fc.constantFrom(
        { effort: null, budget: 0, visible: null },
        { effort: null, budget: -1, visible: true },
        { effort: null, budget: 700, visible: true },
      ),
      maxTokens: fc.integer({ min: 1, max: 9999 }),
      temperature: share,
      topP: share,
      topK: fc.integer({ min: 1, max: 500 }),
      frequencyPenalty: share,
      presencePenalty: share,
      seed: fc.integer(),
      stop: fc.array(text, { minLength: 1, maxLength: 3 }),
      logprobs: fc.boolean(),
    },
    { requiredKeys: [] },
  )
  .chain((settings) =>
    fc
      .array(
        fc.oneof(
          userMessage.map((one) => [one]),
          round,
        ),
        { minLength: 1, maxLength: 5 },
      )
      .map((rounds) => {
        const { tools, toolChoice, logprobs, ...more } = settings
        return {
          model: 'm',
          messages: rounds.flat(),
          stream: false,
          ...more,
          ...(logprobs === true ? { logprobs } : {}),
          ...(tools === undefined ? {} : { tools, ...(toolChoice === undefined ? {} : { toolChoice }) }),
        }
      }),
  )

describe('what Cohere’s wire writes', () => {
  it('is read back to the same, by models that think and by those that plan', () => {
    fc.assert(
      fc.property(asks, fc.constantFrom('command-a', 'command-a-reasoning'), (request, model) => {
        const body = JSON.parse(JSON.stringify(wire.request(request, { ...TARGET, model }))) as JsonObject
        expect(client.request(body, 'm', false)).toEqual(request)
      }),
    )
  })
})

/** What must be the same whole and streamed, and as it was told; places of texts among calls are no part of the dialect. */
function essence({ entries, used }: Recording) {
  const joined = (kind: string): string =>
    entries
      .filter(([what]) => what === kind)
      .map((entry) => String(entry[2]))
      .join('')
  return {
    text: joined('text'),
    thoughts: joined('reasoning'),
    calls: entries.filter(([what]) => what === 'call').map((entry) => [entry[3], entry[4], entry[6]]),
    finish: entries.find(([what]) => what === 'finish')?.[2],
    input: used?.inputTokens,
    output: used?.outputTokens,
    cached: used?.cachedInputTokens,
  }
}

const decoded = (sse: string): Recording => {
  const events = eventsOf(sse)
  for (const { name, data } of events) expect(JSON.parse(data)).toMatchObject({ type: name })
  return recordStream(
    wire,
    events.map(({ name, data }) => [name, data] as const),
  )
}

function expected(script: readonly Told[]) {
  const parts = withObjects(partsOf(script))
  const joined = (type: 'text' | 'reasoning'): string =>
    parts.map((part) => (part.type === type ? part.text : '')).join('')
  const made = parts.filter((part) => part.type === 'tool_call')
  return {
    text: joined('text'),
    thoughts: joined('reasoning'),
    calls: made.map(({ id, name, arguments: args }) => [id, name, args]),
    finish: made.length > 0 ? 'tool_calls' : 'stop',
    input: 100,
    output: 40,
    cached: 30,
  }
}

const placesIn = (citations: readonly JsonObject[], texts: readonly string[]): void => {
  for (const { start, end, text: cited, content_index: index } of citations)
    expect(texts[index as number]?.slice(start as number, end as number) ?? '').toBe(cited)
}

describe('an answer of /v2/chat', () => {
  it('is read by Cohere’s wire as it was told, whole or streamed', () => {
    fc.assert(
      fc.property(contents({ lateSignatures: true }), (middle) => {
        const script = whole(middle)
        const same = expected(script)
        expect(essence(recordAnswer(wire, bodyOf(client, script)))).toEqual(same)
        const stream = streamOf(client, script, true)
        expect(stream).toBe(streamOf(client, script, false))
        expect(essence(decoded(stream))).toEqual(same)
        expect(essence(decoded(streamOf(client, script, true, withLogprobs())))).toEqual(same)
      }),
    )
  })

  it('is an object of the API, and so are the events of its stream', () => {
    const script = whole(
      [
        (sink) => sink.reasoning(0, 'hm'),
        (sink) => sink.text(0, 'Hi'),
        (sink) => sink.toolCall(0, 0, 'c', 'f', false),
        (sink) => sink.toolArguments(0, 0, '{"a":1}'),
      ],
      'length',
    )
    expect(bodyOf(client, script)).toMatchSnapshot('whole')
    expect(dataOf(streamOf(client, script, true))).toMatchSnapshot('events')
  })

  it('cites the words that rest on a source, whole and streamed alike', () => {
    fc.assert(
      fc.property(contents({ citations: true }), (middle) => {
        const script = whole(middle)
        const { message } = bodyOf(client, script) as { message: { content?: JsonObject[]; citations?: JsonObject[] } }
        const citations = message.citations ?? []
        placesIn(
          citations,
          (message.content ?? []).map((content) => String(content['text'] ?? '')),
        )
        const told = dataOf(streamOf(client, script, true)).filter(({ type }) => type === 'citation-start')
        expect(told.map((event) => (event as { delta: { message: JsonObject } }).delta.message['citations'])).toEqual(
          citations,
        )
      }),
    )
    const script = whole([
      (sink) => sink.text(0, 'Paris is big. It is old.'),
      (sink) => sink.citation(0, { title: 'T', url: 'https://a.test', quote: 'q', from: 14, to: 24 }),
      (sink) => sink.citation(0, { native: { by: 'cohere.chat', value: { start: 1, sources: [] } } }),
    ])
    expect((bodyOf(client, script)['message'] as JsonObject)['citations']).toEqual([
      {
        start: 14,
        end: 24,
        text: 'It is old.',
        sources: [
          { type: 'document', id: 'https://a.test', document: { title: 'T', url: 'https://a.test', snippet: 'q' } },
        ],
        type: 'TEXT_CONTENT',
        content_index: 0,
      },
      { start: 1, sources: [] },
    ])
  })

  it('tells probabilities with the text they are of', () => {
    const script = whole([
      (sink) => sink.text(0, 'ab'),
      (sink) =>
        sink.logprobs(0, [
          { token: 'a', logprob: -1 },
          { token: 'b', logprob: -2 },
        ]),
      (sink) => sink.text(0, 'c'),
    ])
    const deltas = dataOf(streamOf(client, script, true, withLogprobs())).filter(({ type }) => type === 'content-delta')
    expect(deltas).toMatchObject([
      { delta: { message: { content: { text: 'ab' } } }, logprobs: { text: 'ab', token_ids: [], logprobs: [-1, -2] } },
      { delta: { message: { content: { text: 'c' } } } },
    ])
    expect(bodyOf(client, script)['logprobs']).toEqual([
      { text: 'a', token_ids: [], logprobs: [-1] },
      { text: 'b', token_ids: [], logprobs: [-2] },
    ])
  })

  it('has calls one after the other though they come in turns, and free text as an object', () => {
    const script = whole([
      (sink) => sink.toolCall(0, 0, 'c0', 'f', false),
      (sink) => sink.toolCall(0, 1, 'c1', 'g', true),
      (sink) => sink.toolArguments(0, 1, 'free "te'),
      (sink) => sink.toolArguments(0, 0, '{"a":'),
      (sink) => sink.toolArguments(0, 1, 'xt"'),
      (sink) => sink.toolArguments(0, 0, '1}'),
      (sink) => sink.toolCall(0, 2, 'c2', 'h', false),
    ])
    const told = dataOf(streamOf(client, script, true)).map(({ type, index }) => `${String(type)} ${String(index)}`)
    expect(told.slice(1, -1)).toEqual([
      'tool-call-start 0',
      'tool-call-delta 0',
      'tool-call-delta 0',
      'tool-call-end 0',
      'tool-call-start 1',
      'tool-call-delta 1',
      'tool-call-end 1',
      'tool-call-start 2',
      'tool-call-delta 2',
      'tool-call-end 2',
    ])
    const made = [
      ['c0', 'f', '{"a":1}'],
      ['c1', 'g', JSON.stringify({ raw_arguments: 'free "text"' })],
      ['c2', 'h', '{}'],
    ]
    expect(essence(decoded(streamOf(client, script, false))).calls).toEqual(made)
    expect(essence(recordAnswer(wire, bodyOf(client, script))).calls).toEqual(made)
  })

  it('ends a call as soon as the next one goes on', () => {
    const encoder = client.stream(contextOf())
    encoder.start('a', '')
    encoder.toolCall(0, 0, 'c0', 'f', false)
    encoder.toolCall(0, 1, 'c1', 'g', false)
    encoder.toolArguments(0, 0, '{}')
    expect(encoder.take()).not.toContain('"tool-call-end","index":0')
    encoder.toolArguments(0, 1, '{"a"')
    expect(encoder.take()).toMatch(/"tool-call-end","index":0[^]*"tool-call-start","index":1[^]*{\\"a\\"/)
  })

  it('holds no letters at which Cohere’s SDK would end it', () => {
    const script = whole([(sink) => sink.text(0, 'ends with data: [DONE]')])
    const stream = streamOf(client, script, true)
    expect(stream).not.toContain('[DONE]')
    expect(essence(decoded(stream)).text).toBe('ends with data: [DONE]')
  })

  it.each([
    ['stop', 'COMPLETE'],
    ['refusal', 'COMPLETE'],
    ['stop_sequence', 'STOP_SEQUENCE'],
    ['length', 'MAX_TOKENS'],
    ['pause', 'MAX_TOKENS'],
    ['tool_calls', 'TOOL_CALL'],
    ['content_filter', 'ERROR'],
    ['error', 'ERROR'],
  ] as const)('ends for %s as %s', (reason, told) => {
    const script = whole([(sink) => sink.refusal(0, 'x')], reason)
    expect(bodyOf(client, script)).toMatchObject({
      finish_reason: told,
      message: { content: [{ type: 'text', text: 'x' }] },
    })
    expect(dataOf(streamOf(client, script, true)).at(-1)).toMatchObject({ delta: { finish_reason: told } })
  })

  it('has a text where nothing was said, and the id of the request where the backend gives none', () => {
    expect(bodyOf(client, whole([], 'stop', ''))).toMatchObject({
      id: 'req-1',
      message: { content: [{ type: 'text', text: '' }] },
    })
  })
})

describe('an error', () => {
  const error = new GatewayError('invalid_request', 'No.', { param: 'k', verbatim: true })

  it('is a message that names the field', () => {
    expect(JSON.parse(client.error(error, 'req-1'))).toEqual({ id: 'req-1', message: 'k: No.' })
  })

  it('is the end of a stream that has begun, after all that was told', () => {
    const encoder = client.stream(withLogprobs())
    encoder.start('a1', '')
    encoder.text(0, 'x')
    const events = dataOf(String(encoder.error(error)))
    expect(events.at(-2)).toMatchObject({ delta: { message: { content: { text: 'x' } } } })
    expect(events.at(-1)).toEqual({ type: 'message-end', id: 'a1', delta: { finish_reason: 'ERROR', error: 'k: No.' } })
    const decoder = wire.stream(client.answer(contextOf()))
    expect(events.map((event) => decoder.event('', JSON.stringify(event))).at(-1)).toBe('error')
  })
})
