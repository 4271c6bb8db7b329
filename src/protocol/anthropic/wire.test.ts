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
  TARGET,
  type Told,
  word,
  written,
} from '../../../test/support/wire-checks.ts'
import { GatewayError } from '../../core/errors.ts'
import { anthropicMessagesWire as wire } from './wire.ts'
import { ANSWER_TOOL } from './wire-request.ts'

const USAGE = { input_tokens: 20, cache_read_input_tokens: 5, cache_creation_input_tokens: 0, output_tokens: 9 }

const block = fc.oneof(
  fc.record({ type: fc.constant('text' as const), pieces: pieces(written), cited: fc.boolean() }),
  fc.record({ type: fc.constant('thinking' as const), pieces: pieces(written), signature: written }),
  fc.record({ type: fc.constant('redacted_thinking' as const), data: written }),
  fc.record({ type: fc.constant('tool_use' as const), name: word, pieces: pieces(argumentsText) }),
  fc.record({ type: fc.constant('server_tool_use' as const) }),
)
const reply = fc.record({
  id: fc.constant('msg_1'),
  blocks: fc.array(block, { maxLength: 6 }),
  reason: fc.constantFrom('end_turn', 'max_tokens', 'stop_sequence', 'tool_use', 'pause_turn', 'refusal'),
})
type Reply = typeof reply extends fc.Arbitrary<infer T> ? T : never

const CITED = { type: 'web_search_result_location', url: 'https://a.example', title: 'A', cited_text: 'so' }

function wholeOf({ id, blocks, reason }: Reply): JsonObject {
  const content = blocks.map((one, i): JsonObject => {
    if (one.type === 'text') return { type: 'text', text: one.pieces.join(''), citations: one.cited ? [CITED] : null }
    if (one.type === 'thinking') return { type: one.type, thinking: one.pieces.join(''), signature: one.signature }
    if (one.type === 'redacted_thinking') return { type: one.type, data: one.data }
    if (one.type === 'tool_use')
      return { type: one.type, id: `toolu_${i}`, name: one.name, input: JSON.parse(one.pieces.join('')) as JsonObject }
    return { type: one.type, id: 's1', name: 'web_search', input: {} }
  })
  return { id, type: 'message', role: 'assistant', model: 'claude-x', content, ...endOf(reason), usage: USAGE }
}
const endOf = (reason: string): JsonObject => ({
  stop_reason: reason,
  stop_sequence: reason === 'stop_sequence' ? 'END' : null,
})

function eventsOf({ id, blocks, reason }: Reply): Told[] {
  const events: JsonObject[] = [
    { type: 'message_start', message: { id, model: 'claude-x', content: [], usage: { ...USAGE, output_tokens: 1 } } },
    { type: 'ping' },
  ]
  blocks.forEach((one, index) => {
    const begin = (content_block: JsonObject): void => {
      events.push({ type: 'content_block_start', index, content_block })
    }
    const delta = (fields: JsonObject): void => {
      events.push({ type: 'content_block_delta', index, delta: fields })
    }
    if (one.type === 'text') {
      begin({ type: 'text', text: '' })
      for (const text of one.pieces) delta({ type: 'text_delta', text })
      if (one.cited) delta({ type: 'citations_delta', citation: CITED })
    } else if (one.type === 'thinking') {
      begin({ type: 'thinking', thinking: '', signature: '' })
      for (const thinking of one.pieces) delta({ type: 'thinking_delta', thinking })
      delta({ type: 'signature_delta', signature: one.signature })
    } else if (one.type === 'redacted_thinking') begin({ type: one.type, data: one.data })
    else if (one.type === 'tool_use') {
      begin({ type: one.type, id: `toolu_${index}`, name: one.name, input: {} })
      if (one.pieces.join('') !== '{}')
        for (const partial_json of one.pieces) delta({ type: 'input_json_delta', partial_json })
    } else {
      begin({ type: one.type, id: 's1', name: 'web_search', input: {} })
      delta({ type: 'input_json_delta', partial_json: '{"query":"x"}' })
    }
    events.push({ type: 'content_block_stop', index })
  })
  events.push({ type: 'message_delta', delta: endOf(reason), usage: { output_tokens: 9 } }, { type: 'message_stop' })
  return events.map((event): Told => [event['type'] as string, event])
}

const SAMPLE: Reply = {
  id: 'msg_1',
  blocks: [
    { type: 'thinking', pieces: ['hm', 'm'], signature: 'c2ln+/=' },
    { type: 'redacted_thinking', data: 'cmVk' },
    { type: 'text', pieces: ['Hel', 'lo'], cited: true },
    { type: 'tool_use', name: 'get', pieces: ['{"a', '":1}'] },
  ],
  reason: 'tool_use',
}

const body = (parts: Parameters<typeof asked>[0], model = 'claude-sonnet-4-5'): JsonObject =>
  wire.request(asked(parts), { ...TARGET, model, type: 'anthropic' })
const user = (text: string): Message => ({ role: 'user', parts: [{ type: 'text', text }] })
const assistant = (text: string): Message => ({ role: 'assistant', parts: [{ type: 'text', text }] })
const system = (text: string): Message => ({ role: 'system', parts: [{ type: 'text', text }] })

describe('answers', () => {
  it('tell the same whole and streamed', () => {
    fc.assert(fc.property(reply, (one) => void expectSame(wire, wholeOf(one), eventsOf(one))))
  })

  it('tell everything, in order', () => {
    const told = expectSame(wire, wholeOf(SAMPLE), eventsOf(SAMPLE))
    const signature = { by: 'anthropic.messages', value: 'c2ln+/=' }
    expect(told.entries.map((entry) => entry[0])).toEqual([
      'start',
      'reasoning',
      'signature',
      'redacted',
      'text',
      'citation',
      'call',
      'finish',
    ])
    expect(told.entries).toContainEqual(['signature', 0, signature, ''])
    expect(told.entries).toContainEqual(['call', 0, 0, 'toolu_3', 'get', false, '{"a":1}'])
    expect(told.entries).toContainEqual(['finish', 0, 'tool_calls', ''])
    expect(told.used).toMatchObject({ inputTokens: 25, cachedInputTokens: 5, outputTokens: 9 })
  })

  it('say why they ended', () => {
    const told = expectSame(
      wire,
      wholeOf({ ...SAMPLE, reason: 'stop_sequence' }),
      eventsOf({ ...SAMPLE, reason: 'stop_sequence' }),
    )
    expect(told.entries.at(-1)).toEqual(['finish', 0, 'stop_sequence', 'END'])
    const refused = recordAnswer(wire, {
      ...wholeOf({ ...SAMPLE, reason: 'refusal' }),
      stop_details: { type: 'refusal', category: 'bio', explanation: 'No.' },
    })
    expect(refused.entries.slice(-2)).toEqual([
      ['refusal', 0, 'No.'],
      ['finish', 0, 'refusal', ''],
    ])
  })

  it('tell what was written into the tool of a JSON answer as text', () => {
    const one: Reply = { ...SAMPLE, blocks: [{ type: 'tool_use', name: ANSWER_TOOL, pieces: ['{"a"', ':1}'] }] }
    const told = expectSame(wire, wholeOf(one), eventsOf(one))
    expect(told.entries.slice(1)).toEqual([
      ['text', 0, '{"a":1}'],
      ['finish', 0, 'stop', ''],
    ])
  })

  it('end properly without the last event, but not without a reason', () => {
    const events = eventsOf(SAMPLE)
    expect(recordStream(wire, events.slice(0, -1)).ended).toBe(1)
    const cut = recordStream(wire, events.slice(0, -2), false)
    expect(cut.ended).toBe(0)
  })

  it('say the size of the prompt at the beginning', () => {
    expect(recordStream(wire, eventsOf(SAMPLE).slice(0, 1), false).used?.inputTokens).toBe(25)
  })

  it('give errors as they are', () => {
    const fault = { type: 'overloaded_error', message: 'Overloaded' }
    const decoder = wire.stream(recordStream(wire, [], false))
    expect(decoder.event('error', JSON.stringify({ type: 'error', error: fault }))).toBe('error')
    expect(decoder.fault).toEqual(fault)
    expect(wire.answer({ type: 'error', error: fault }, recordStream(wire, [], false))).toBe('error')
    expect(wire.answer({ choices: [] }, recordStream(wire, [], false))).toBe('invalid')
  })

  it('survive whatever comes', () => {
    expectSurvival(wire, [eventsOf(SAMPLE)], [wholeOf(SAMPLE)])
  })
})

describe('requests', () => {
  it('have a complete table', () => expectTable(wire))

  it('return signed reasoning byte for byte, at its place', () => {
    fc.assert(
      fc.property(reply, (one) => {
        const message = recordAnswer(wire, wholeOf(one)).message()
        if (message.parts.length === 0) return
        const sent = body({ messages: [user('Hi'), message, user('Go on')] }, 'claude-opus-4-8')[
          'messages'
        ] as JsonObject[]
        const proofs = (blocks: readonly JsonObject[]): unknown[] =>
          blocks.filter((b) => b['type'] === 'thinking' || b['type'] === 'redacted_thinking')
        const given = wholeOf(one)['content'] as JsonObject[]
        const back = sent.filter((m) => m['role'] === 'assistant').flatMap((m) => m['content'] as JsonObject[])
        expect(proofs(back)).toEqual(proofs(given))
      }),
    )
  })

  it('hoist instructions, join neighbours and begin with the user', () => {
    const sent = body({
      messages: [
        system('A'),
        system('B'),
        assistant('x'),
        assistant('y '),
        user('u'),
        system('now'),
        user('v'),
        assistant('so '),
      ],
    })
    expect(sent['system']).toEqual([
      { type: 'text', text: 'A' },
      { type: 'text', text: 'B' },
    ])
    expect(sent['messages']).toEqual([
      { role: 'user', content: [{ type: 'text', text: '...' }] },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'x' },
          { type: 'text', text: 'y ' },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'u' },
          { type: 'text', text: '<system>\nnow\n</system>' },
          { type: 'text', text: 'v' },
        ],
      },
      { role: 'assistant', content: [{ type: 'text', text: 'so' }] },
    ])
  })

  it('leave later instructions where they are for models that take them', () => {
    const sent = body(
      { messages: [user('u'), system('now'), assistant('a'), user('v'), system('then')] },
      'claude-opus-4-8',
    )
    expect((sent['messages'] as JsonObject[]).map((m) => m['role'])).toEqual([
      'user',
      'system',
      'assistant',
      'user',
      'system',
    ])
    const odd = body({ messages: [user('u'), assistant('a'), system('now'), user('v')] }, 'claude-opus-4-8')
    expect((odd['messages'] as JsonObject[]).map((m) => m['role'])).toEqual(['user', 'assistant', 'user'])
  })

  it('leave out reasoning that nobody has signed', () => {
    const thought: Message = {
      role: 'assistant',
      parts: [
        { type: 'reasoning', text: 'hm' },
        { type: 'text', text: 'x' },
      ],
    }
    const sent = body({ messages: [user('u'), thought, user('v')] })['messages'] as JsonObject[]
    expect(sent[1]).toEqual({ role: 'assistant', content: [{ type: 'text', text: 'x' }] })
  })

  it('put results first and map ids alike in call and result', () => {
    const sent = body({
      messages: [
        user('u'),
        { role: 'assistant', parts: [{ type: 'tool_call', id: 'a.b:1', name: 'f', arguments: '{"x":1}' }] },
        user('also'),
        {
          role: 'tool',
          parts: [{ type: 'tool_result', id: 'a.b:1', content: [{ type: 'text', text: '7' }], error: true }],
        },
      ],
    })
    const [, call, answer] = sent['messages'] as { content: JsonObject[] }[]
    expect(call!.content[0]).toMatchObject({ type: 'tool_use', name: 'f', input: { x: 1 } })
    expect(answer!.content.map((b) => b['type'])).toEqual(['tool_result', 'text'])
    expect(answer!.content[0]).toMatchObject({ is_error: true, content: [{ type: 'text', text: '7' }] })
    expect(answer!.content[0]!['tool_use_id']).toBe(call!.content[0]!['id'])
    expect(call!.content[0]!['id']).toMatch(/^[a-zA-Z0-9_-]{1,64}$/)
  })

  it('ask for thought as the model takes it', () => {
    const high = { effort: 'high', budget: null, visible: null }
    expect(body({ reasoning: high, maxTokens: 20_000 })).toMatchObject({
      thinking: { type: 'enabled', budget_tokens: 16_384 },
      max_tokens: 20_000,
    })
    expect(body({ reasoning: high, maxTokens: 4000 })['thinking']).toEqual({ type: 'enabled', budget_tokens: 3999 })
    expect(body({ reasoning: high, maxTokens: 500 })['thinking']).toBeUndefined()
    expect(body({ reasoning: high }, 'claude-opus-4-8')).toMatchObject({
      thinking: { type: 'adaptive' },
      output_config: { effort: 'high' },
    })
    expect(body({ reasoning: { ...high, effort: 'xhigh' } }, 'claude-opus-4-6')).toMatchObject({
      output_config: { effort: 'max' },
    })
    expect(body({ reasoning: { ...high, effort: 'none' } }, 'claude-sonnet-5')['thinking']).toEqual({
      type: 'disabled',
    })
    expect(body({ reasoning: { ...high, effort: 'none' } })['thinking']).toBeUndefined()
    expect(body({ reasoning: high }, 'claude-3-5-haiku-latest')['thinking']).toBeUndefined()
    expect(body({})['max_tokens']).toBe(4096)
  })

  it('do not think where the API would refuse it', () => {
    const reasoning = { effort: 'low', budget: null, visible: null }
    const tools = [{ name: 'f', schema: null }]
    expect(body({ reasoning, tools, toolChoice: { mode: 'required' } })['thinking']).toBeUndefined()
    const call: Message = { role: 'assistant', parts: [{ type: 'tool_call', id: 'c', name: 'f', arguments: '' }] }
    const result: Message = { role: 'tool', parts: [{ type: 'tool_result', id: 'c', content: [] }] }
    expect(body({ reasoning, tools, messages: [user('u'), call, result] })['thinking']).toBeUndefined()
    const proof = {
      type: 'reasoning' as const,
      text: 'hm',
      signature: { by: 'anthropic.messages' as const, value: 's' },
    }
    const thought: Message = { ...call, parts: [proof, ...call.parts] }
    expect(body({ reasoning, tools, messages: [user('u'), thought, result] })['thinking']).toBeDefined()
  })

  it('send only the sampling that the model takes', () => {
    const sampling = { temperature: 1.7, topP: 0.5, topK: 4 }
    expect(body(sampling)).toMatchObject({ temperature: 1, top_k: 4 })
    expect(body(sampling)['top_p']).toBeUndefined()
    expect(body({ topP: 0.5 })['top_p']).toBe(0.5)
    expect(Object.keys(body(sampling, 'claude-opus-4-7')).toSorted()).toEqual(['max_tokens', 'messages', 'model'])
    const thinking = body({ ...sampling, reasoning: { effort: 'low', budget: null, visible: null } })
    expect(thinking['temperature']).toBeUndefined()
  })

  it('ask for JSON by schema, by tool for models without', () => {
    const schema = { type: 'object', properties: { n: { type: 'integer', minimum: 1 } }, required: ['n'] }
    const format = { type: 'schema', name: 'out', schema } as const
    expect(body({ format })['output_config']).toEqual({
      format: {
        type: 'json_schema',
        schema: {
          type: 'object',
          properties: { n: { type: 'integer', description: 'minimum: 1' } },
          required: ['n'],
          additionalProperties: false,
        },
      },
    })
    const old = body({ format }, 'claude-3-5-sonnet-latest')
    expect(old['tools']).toMatchObject([{ name: ANSWER_TOOL, input_schema: schema }])
    expect(old['tool_choice']).toMatchObject({ type: 'tool', name: ANSWER_TOOL })
    expect(body({ format: { type: 'json' } })['tool_choice']).toMatchObject({ type: 'tool', name: ANSWER_TOOL })
  })

  it('choose among tools', () => {
    const tools = [
      { name: 'a', schema: null },
      { name: 'b', schema: { properties: {} } },
    ]
    expect(body({ tools })['tool_choice']).toBeUndefined()
    expect(body({ tools, parallelTools: false })['tool_choice']).toEqual({
      type: 'auto',
      disable_parallel_tool_use: true,
    })
    const allowed = body({ tools, toolChoice: { mode: 'allowed', names: ['b'], required: true } })
    expect(allowed['tools']).toEqual([{ name: 'b', input_schema: { type: 'object', properties: {} } }])
    expect(allowed['tool_choice']).toEqual({ type: 'any' })
    expect(body({ tools, toolChoice: { mode: 'none' } })['tool_choice']).toEqual({ type: 'none' })
    expect(body({ tools, toolChoice: { mode: 'tool', name: 'a' } })['tool_choice']).toEqual({ type: 'tool', name: 'a' })
  })

  it('keep the last four cache markers', () => {
    const parts = Array.from({ length: 6 }, (_, i) => ({ type: 'text' as const, text: `t${i}`, cache: { ttl: '1h' } }))
    const [message] = body({ messages: [{ role: 'user', parts }] })['messages'] as { content: JsonObject[] }[]
    expect(message!.content.map((one) => 'cache_control' in one)).toEqual([false, false, true, true, true, true])
    expect(message!.content[5]!['cache_control']).toEqual({ type: 'ephemeral', ttl: '1h' })
  })

  it('send media, and refuse what nobody reads', () => {
    const send = (part: Message['parts'][number]): JsonObject =>
      (
        (body({ messages: [{ role: 'user', parts: [part] }] })['messages'] as JsonObject[])[0]![
          'content'
        ] as JsonObject[]
      )[0]!
    expect(send({ type: 'image', source: { kind: 'base64', mime: 'image/png', data: 'AA==' } })['source']).toEqual({
      type: 'base64',
      media_type: 'image/png',
      data: 'AA==',
    })
    expect(
      send({ type: 'file', name: 'a.pdf', source: { kind: 'base64', mime: 'application/pdf', data: 'AA==' } }),
    ).toMatchObject({
      type: 'document',
      title: 'a.pdf',
    })
    expect(() => send({ type: 'image', source: { kind: 'base64', mime: 'image/tiff', data: 'AA==' } })).toThrow(
      GatewayError,
    )
    expect(() => send({ type: 'file', source: { kind: 'id', id: 'file-1', by: 'openai.chat' } })).toThrow(GatewayError)
  })
})
