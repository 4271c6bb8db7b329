import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject, Message } from '../../contracts/canonical.ts'
import {
  argumentsText,
  asked,
  expectSame,
  expectSurvival,
  expectTable,
  pieces,
  recordAnswer,
  recordStream,
  Recording,
  TARGET,
  type Told,
  word,
  written,
} from '../../../test/support/wire-checks.ts'
import { openaiChatWire } from './wire-chat.ts'

const wire = openaiChatWire('openai_compatible')
const DONE: Told = ['', '[DONE]']
const USAGE = { prompt_tokens: 10, completion_tokens: 4, total_tokens: 14 }

const message = fc.record({
  thoughts: fc.option(fc.record({ field: fc.constantFrom('reasoning', 'reasoning_content'), pieces: pieces(written) })),
  text: fc.option(pieces(written)),
  refusal: fc.option(pieces(written)),
  calls: fc.array(fc.record({ name: word, pieces: pieces(argumentsText), custom: fc.boolean() }), { maxLength: 3 }),
  url: fc.option(fc.webUrl()),
  reason: fc.constantFrom('stop', 'length', 'content_filter', 'tool_calls'),
})
const reply = fc.array(message, { minLength: 1, maxLength: 3 })
type Reply = typeof reply extends fc.Arbitrary<infer T> ? T : never

const callOf = (custom: boolean, name: string, text: string): JsonObject =>
  custom ? { type: 'custom', custom: { name, input: text } } : { type: 'function', function: { name, arguments: text } }
const cited = (url: string): JsonObject => ({
  type: 'url_citation',
  url_citation: { url, title: 'T', start_index: 0, end_index: 2 },
})

function wholeOf(reply: Reply): JsonObject {
  const choices = reply.map((one, index): JsonObject => {
    const said: JsonObject = { role: 'assistant', content: one.text?.join('') ?? null }
    if (one.thoughts !== null) said[one.thoughts.field] = one.thoughts.pieces.join('')
    if (one.refusal !== null) said['refusal'] = one.refusal.join('')
    if (one.calls.length > 0)
      said['tool_calls'] = one.calls.map((call, i) => ({
        id: `c${index}${i}`,
        ...callOf(call.custom, call.name, call.pieces.join('')),
      }))
    if (one.url !== null) said['annotations'] = [cited(one.url)]
    return { index, message: said, finish_reason: one.reason }
  })
  return { id: 'chatcmpl-1', object: 'chat.completion', model: 'm', choices, usage: USAGE }
}

function eventsOf(reply: Reply): Told[] {
  const events: Told[] = [['', { id: '', choices: [], prompt_filter_results: [] }]]
  const chunk = (index: number, delta: JsonObject, reason: string | null = null): void => {
    const choices = [{ index, delta, finish_reason: reason }]
    events.push(['', { id: 'chatcmpl-1', object: 'chat.completion.chunk', model: 'm', choices, usage: null }])
  }
  reply.forEach((one, index) => {
    chunk(index, { role: 'assistant', content: '' })
    for (const piece of one.thoughts?.pieces ?? []) chunk(index, { [one.thoughts!.field]: piece })
    for (const content of one.text ?? []) chunk(index, { content })
    for (const refusal of one.refusal ?? []) chunk(index, { refusal })
    one.calls.forEach((call, i) => {
      chunk(index, { tool_calls: [{ index: i, id: `c${index}${i}`, ...callOf(call.custom, call.name, '') }] })
      for (const piece of call.pieces) {
        const inner = call.custom ? { custom: { input: piece } } : { function: { arguments: piece } }
        chunk(index, { tool_calls: [{ index: i, ...inner }] })
      }
    })
    if (one.url !== null) chunk(index, { annotations: [cited(one.url)] })
    chunk(index, {}, one.reason)
  })
  events.push(['', { id: 'chatcmpl-1', model: 'm', choices: [], usage: USAGE }], DONE)
  return events
}

const SAMPLE: Reply = [
  {
    thoughts: { field: 'reasoning_content', pieces: ['h', 'm'] },
    text: ['Hel', 'lo'],
    refusal: null,
    calls: [
      { name: 'get', pieces: ['{"a', '":1}'], custom: false },
      { name: 'put', pieces: ['{}'], custom: false },
    ],
    url: 'https://a.example/',
    reason: 'stop',
  },
]

const delta = (fields: JsonObject, reason: string | null = null): Told => [
  '',
  { id: 'x', model: 'm', choices: [{ index: 0, delta: fields, finish_reason: reason }] },
]
const told = (...events: Told[]): unknown[] => [...recordStream(wire, events).entries]
const body = (parts: Parameters<typeof asked>[0], type = 'openai_compatible'): JsonObject =>
  openaiChatWire(type).request(asked(parts), { ...TARGET, type })
const messagesOf = (messages: Message[], type?: string): JsonObject[] =>
  body({ messages }, type)['messages'] as JsonObject[]

describe('answers', () => {
  it('tell the same whole and streamed', () => {
    fc.assert(
      fc.property(reply, (one) => {
        const whole = recordAnswer(wire, wholeOf(one))
        const streamed = recordStream(wire, eventsOf(one))
        // Streams of several answers alternate as they like; within one the order is the same.
        const of = (recording: Recording, at: number): unknown[] => recording.entries.filter((entry) => entry[1] === at)
        for (let at = 0; at < one.length; at++) expect(of(streamed, at)).toEqual(of(whole, at))
        expect(streamed.used).toEqual(whole.used)
      }),
    )
  })

  it('tell everything, in order', () => {
    const whole = expectSame(wire, wholeOf(SAMPLE), eventsOf(SAMPLE))
    expect(whole.entries).toEqual([
      ['start', 'chatcmpl-1', 'm'],
      ['reasoning', 0, 'hm'],
      ['text', 0, 'Hello'],
      ['call', 0, 0, 'c00', 'get', false, '{"a":1}'],
      ['call', 0, 1, 'c01', 'put', false, '{}'],
      [
        'citation',
        0,
        {
          url: 'https://a.example/',
          title: 'T',
          from: 0,
          to: 2,
          native: { by: 'openai.chat', value: cited('https://a.example/') },
        },
      ],
      ['finish', 0, 'tool_calls', ''],
    ])
    expect(whole.used).toMatchObject({ inputTokens: 10, outputTokens: 4 })
  })

  it('understand calls without index, without id, and with a name in every piece', () => {
    const piece = (fields: JsonObject): Told => delta({ tool_calls: [fields] })
    const noIndex = told(
      piece({ id: 'a', function: { name: 'f', arguments: '{' } }),
      piece({ function: { arguments: '}' } }),
      piece({ id: 'b', function: { name: 'g', arguments: '{}' } }),
      DONE,
    )
    expect(noIndex.slice(1)).toEqual([
      ['call', 0, 0, 'a', 'f', false, '{}'],
      ['call', 0, 1, 'b', 'g', false, '{}'],
      ['finish', 0, 'tool_calls', ''],
    ])
    const alwaysFirst = told(
      piece({ index: 0, id: 'a', function: { name: 'f', arguments: '{}' } }),
      piece({ index: 0, id: 'b', function: { name: 'f', arguments: '{}' } }),
      DONE,
    )
    expect(alwaysFirst.slice(1, 3)).toEqual([
      ['call', 0, 0, 'a', 'f', false, '{}'],
      ['call', 0, 1, 'b', 'f', false, '{}'],
    ])
    const repeated = told(
      piece({ index: 0, id: 'a', function: { name: 'f', arguments: '{' } }),
      piece({ index: 0, id: 'a', function: { name: 'f', arguments: '}' } }),
      DONE,
    )
    expect(repeated[1]).toEqual(['call', 0, 0, 'a', 'f', false, '{}'])
    const nameless = told(piece({ index: 3, function: { name: 'f', arguments: { x: 1 } } }), DONE)[1] as unknown[]
    expect(nameless[3]).toMatch(/^call_[0-9a-f]{24}$/)
    expect(nameless[6]).toBe('{"x":1}')
  })

  it('join alternating pieces to the right call', () => {
    const piece = (index: number, fields: JsonObject): Told => delta({ tool_calls: [{ index, ...fields }] })
    const both = told(
      piece(0, { id: 'a', function: { name: 'f', arguments: '' } }),
      piece(1, { id: 'b', function: { name: 'g', arguments: '' } }),
      piece(0, { function: { arguments: '{"x":' } }),
      piece(1, { function: { arguments: '{}' } }),
      piece(0, { function: { arguments: '1}' } }),
      DONE,
    )
    expect(both.slice(1, 3)).toEqual([
      ['call', 0, 0, 'a', 'f', false, '{"x":1}'],
      ['call', 0, 1, 'b', 'g', false, '{}'],
    ])
  })

  it('understand what others write', () => {
    expect(
      told(
        delta({ function_call: { name: 'f', arguments: '{' } }),
        delta({ function_call: { arguments: '}' } }, 'function_call'),
        DONE,
      ).slice(2),
    ).toEqual([['finish', 0, 'tool_calls', '']])
    const parts = [
      { type: 'thinking', thinking: [{ type: 'text', text: 'hm' }] },
      { type: 'text', text: 'so' },
    ]
    expect(told(delta({ content: parts }, 'stop'), DONE).slice(1, 3)).toEqual([
      ['reasoning', 0, 'hm'],
      ['text', 0, 'so'],
    ])
    const matched: Told = [
      '',
      { choices: [{ index: 0, delta: { content: 'x' }, finish_reason: 'stop', stop_reason: 'END' }] },
    ]
    expect(told(matched, DONE).at(-1)).toEqual(['finish', 0, 'stop_sequence', 'END'])
    const sources: Told = ['', { citations: ['https://a.example'], choices: [{ index: 0, delta: { content: 'x' } }] }]
    expect(told(sources, sources, DONE)).toContainEqual(['citation', 0, { url: 'https://a.example' }])
    const cumulative: Told = ['', { ...(delta({ content: 'x' }, 'stop')[1] as JsonObject), usage: USAGE }]
    expect(recordStream(wire, [cumulative]).used?.outputTokens).toBe(4)
  })

  it('ignore answers that nobody can have asked for', () => {
    const far: Told = [
      '',
      {
        choices: [
          { index: 1e9, delta: { content: 'x' } },
          { index: -1, delta: { content: 'y' } },
        ],
      },
    ]
    expect(told(far, delta({ content: 'z' }), DONE).slice(1)).toEqual([
      ['text', 0, 'z'],
      ['finish', 0, 'stop', ''],
    ])
  })

  it('end by [DONE], or by a reason for each answer', () => {
    expect(told(delta({ content: 'x' }), DONE).at(-1)).toEqual(['finish', 0, 'stop', ''])
    expect(recordStream(wire, [delta({ content: 'x' }, 'length')]).entries.at(-1)).toEqual(['finish', 0, 'length', ''])
    expect(recordStream(wire, [delta({ content: 'x' })], false).ended).toBe(0)
    expect(recordStream(wire, [DONE], false).entries).toEqual([])
  })

  it('give errors as they are', () => {
    const decoder = wire.stream(new Recording())
    expect(decoder.event('', JSON.stringify({ error: { message: 'no', code: 1 } }))).toBe('error')
    expect(decoder.fault).toEqual({ message: 'no', code: 1 })
    expect(wire.answer({ error: { message: 'no' } }, new Recording())).toBe('error')
    expect(wire.answer({ choices: [] }, new Recording())).toBe('invalid')
    expect(() => wire.stream(new Recording()).event('', 'null')).toThrow(SyntaxError)
  })

  it('survive whatever comes', () => expectSurvival(wire, [eventsOf(SAMPLE)], [wholeOf(SAMPLE)]))
})

describe('requests', () => {
  it('have complete tables', () => {
    for (const type of ['openai', 'mistral', 'openrouter', 'vllm', '']) expectTable(openaiChatWire(type))
  })

  it('return the blocks of OpenRouter and the signatures of Google byte for byte', () => {
    const details = [
      { type: 'reasoning.text', text: 'hm', signature: 'c2ln+/=', format: 'anthropic-claude-v1', index: 0 },
      { type: 'reasoning.encrypted', data: 'ZW5j', id: 'r1', format: 'openai-responses-v1', index: 1 },
    ]
    const extra = { google: { thought_signature: 'dGg+/=' } }
    const said = {
      role: 'assistant',
      content: 'x',
      reasoning: 'hm',
      reasoning_details: details,
      tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{ "a":1}' }, extra_content: extra }],
    }
    const whole = { id: 'x', choices: [{ index: 0, message: said, finish_reason: 'tool_calls' }] }
    const [, back] = messagesOf([asked().messages[0]!, recordAnswer(wire, whole).message()], 'openrouter')
    expect(back!['reasoning_details']).toEqual(details)
    expect(back!['tool_calls']).toEqual(said.tool_calls)
    const split: Told[] = [
      delta({ reasoning_details: [{ ...details[0]!, text: 'h', signature: undefined as never }] }),
      delta({ reasoning_details: [{ ...details[0]!, text: 'm' }] }),
      delta({ reasoning_details: [details[1]!] }, 'stop'),
    ]
    const [, again] = messagesOf([asked().messages[0]!, recordStream(wire, split).message()], 'openrouter')
    expect(again!['reasoning_details']).toEqual(details)
  })

  it('name the fields as the type of provider wants them', () => {
    const parts = { stream: true, maxTokens: 5, seed: 7 }
    expect(body(parts, 'openai')).toMatchObject({
      max_completion_tokens: 5,
      stream_options: { include_usage: true },
      seed: 7,
    })
    expect(body(parts, 'groq')).toMatchObject({ max_tokens: 5, stream_options: { include_usage: true } })
    expect(body(parts, 'mistral')).toMatchObject({ max_tokens: 5, random_seed: 7, stream: true })
    expect(body(parts, 'mistral')['stream_options']).toBeUndefined()
    const instructions: Message = { role: 'developer', parts: [{ type: 'text', text: 'Be brief.' }] }
    expect(messagesOf([instructions], 'openai')[0]).toEqual({ role: 'developer', content: 'Be brief.' })
    expect(messagesOf([instructions], 'vllm')[0]).toEqual({ role: 'system', content: 'Be brief.' })
  })

  it('send reasoning back only where it is taken', () => {
    const thought: Message = {
      role: 'assistant',
      parts: [
        { type: 'reasoning', text: 'hm' },
        { type: 'text', text: 'x' },
      ],
    }
    expect(messagesOf([thought], 'deepseek')[0]).toMatchObject({ reasoning_content: 'hm', content: 'x' })
    expect(messagesOf([thought], 'openai')[0]).toEqual({ role: 'assistant', content: 'x' })
  })

  it('put images of results after all results', () => {
    const image = { type: 'image' as const, source: { kind: 'base64' as const, mime: 'image/png', data: 'AA==' } }
    const result = (id: string): Message => ({
      role: 'tool',
      parts: [{ type: 'tool_result', id, content: [{ type: 'text', text: id }, image] }],
    })
    expect(messagesOf([result('a'), result('b')]).map((one) => one['role'])).toEqual(['tool', 'tool', 'user'])
    expect(messagesOf([result('a')])[1]!['content']).toEqual([
      { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } },
    ])
  })

  it('write tools, choices and formats', () => {
    const tools = [
      { name: 'a', schema: null, strict: true },
      { name: 'b', schema: null, custom: { format: { type: 'grammar', syntax: 'lark', definition: 'x' } } },
    ]
    const sent = body(
      { tools, toolChoice: { mode: 'allowed', names: ['b'], required: true }, parallelTools: false },
      'openai',
    )
    expect(sent).toMatchObject({
      tools: [
        { type: 'function', function: { name: 'a', strict: true, parameters: { type: 'object', properties: {} } } },
        {
          type: 'custom',
          custom: { name: 'b', format: { type: 'grammar', grammar: { syntax: 'lark', definition: 'x' } } },
        },
      ],
      tool_choice: {
        type: 'allowed_tools',
        allowed_tools: { mode: 'required', tools: [{ type: 'custom', custom: { name: 'b' } }] },
      },
      parallel_tool_calls: false,
    })
    const elsewhere = body({
      tools: [
        { name: 'a', schema: null },
        { name: 'c', schema: null },
      ],
      toolChoice: { mode: 'allowed', names: ['c'], required: false },
    })
    expect(elsewhere).toMatchObject({ tools: [{ function: { name: 'c' } }], tool_choice: 'auto' })
    expect((elsewhere['tools'] as unknown[]).length).toBe(1)
    const schema = { type: 'object' }
    expect(body({ format: { type: 'schema', name: 'o', schema, strict: true } })['response_format']).toEqual({
      type: 'json_schema',
      json_schema: { name: 'o', schema, strict: true },
    })
  })

  it('ask for thought', () => {
    const reasoning = { effort: null, budget: 8000, visible: false }
    expect(body({ reasoning })['reasoning_effort']).toBe('medium')
    expect(body({ reasoning }, 'openrouter')['reasoning']).toEqual({ max_tokens: 8000, exclude: true })
  })
})
