import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject, Message, Part } from '../../contracts/canonical.ts'
import {
  argumentsText,
  asked,
  expectSame,
  expectSurvival,
  expectTable,
  pieces,
  recordAnswer,
  Recording,
  recordStream,
  TARGET,
  type Told,
  word,
  written,
} from '../../../test/support/wire-checks.ts'
import { GatewayError } from '../../core/errors.ts'
import { encodeEventStream, EventStreamReader } from './event-stream.ts'
import { bedrockConverseWire as wire } from './wire.ts'
import { ANSWER_TOOL } from './wire-request.ts'

const USAGE = { inputTokens: 8, outputTokens: 4, totalTokens: 12, cacheReadInputTokens: 2 }
const CITED = { title: 'A', location: { web: { url: 'https://a.example' } }, sourceContent: [{ text: 'so' }] }

const block = fc.oneof(
  fc.record({ kind: fc.constant('text' as const), pieces: pieces(written), cited: fc.boolean() }),
  fc.record({ kind: fc.constant('thought' as const), pieces: pieces(written), signature: written }),
  fc.record({ kind: fc.constant('redacted' as const), data: fc.base64String({ minLength: 4 }) }),
  fc.record({ kind: fc.constant('call' as const), name: word, pieces: pieces(argumentsText) }),
)
const reply = fc.record({
  blocks: fc.array(block, { maxLength: 6 }),
  reason: fc.constantFrom('end_turn', 'max_tokens', 'tool_use', 'guardrail_intervened', 'malformed_tool_use'),
})
type Reply = typeof reply extends fc.Arbitrary<infer T> ? T : never

function wholeOf({ blocks, reason }: Reply): JsonObject {
  const content = blocks.map((one, i): JsonObject => {
    if (one.kind === 'text')
      return one.cited
        ? { citationsContent: { content: [{ text: one.pieces.join('') }], citations: [CITED] } }
        : { text: one.pieces.join('') }
    if (one.kind === 'thought')
      return { reasoningContent: { reasoningText: { text: one.pieces.join(''), signature: one.signature } } }
    if (one.kind === 'redacted') return { reasoningContent: { redactedContent: one.data } }
    return { toolUse: { toolUseId: `t${i}`, name: one.name, input: JSON.parse(one.pieces.join('')) as JsonObject } }
  })
  return { output: { message: { role: 'assistant', content } }, stopReason: reason, usage: USAGE, metrics: {} }
}

function eventsOf({ blocks, reason }: Reply): Told[] {
  const events: Told[] = [['messageStart', { role: 'assistant', p: 'abc' }]]
  blocks.forEach((one, contentBlockIndex) => {
    const delta = (fields: JsonObject): void =>
      void events.push(['contentBlockDelta', { contentBlockIndex, delta: fields }])
    if (one.kind === 'text') {
      for (const text of one.pieces) delta({ text })
      if (one.cited) delta({ citation: CITED })
    } else if (one.kind === 'thought') {
      for (const text of one.pieces) delta({ reasoningContent: { text } })
      delta({ reasoningContent: { signature: one.signature } })
    } else if (one.kind === 'redacted') delta({ reasoningContent: { redactedContent: one.data } })
    else {
      const start = { toolUse: { toolUseId: `t${contentBlockIndex}`, name: one.name } }
      events.push(['contentBlockStart', { contentBlockIndex, start }])
      if (one.pieces.join('') !== '{}') for (const input of one.pieces) delta({ toolUse: { input } })
    }
    events.push(['contentBlockStop', { contentBlockIndex }])
  })
  events.push(['messageStop', { stopReason: reason }], ['metadata', { usage: USAGE, metrics: {} }])
  return events
}

const SAMPLE: Reply = {
  blocks: [
    { kind: 'thought', pieces: ['h', 'm'], signature: 'c2ln+/=' },
    { kind: 'redacted', data: 'cmVk' },
    { kind: 'text', pieces: ['Hel', 'lo'], cited: true },
    { kind: 'call', name: 'get', pieces: ['{"a', '":1}'] },
    { kind: 'call', name: 'put', pieces: ['{}'] },
  ],
  reason: 'tool_use',
}

const user = (text: string): Message => ({ role: 'user', parts: [{ type: 'text', text }] })
const CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'
const body = (parts: Parameters<typeof asked>[0], model = CLAUDE): JsonObject =>
  wire.request(asked(parts), { ...TARGET, model, type: 'bedrock' })
const messages = (list: Message[], model?: string): { role: string; content: JsonObject[] }[] =>
  body({ messages: list }, model)['messages'] as { role: string; content: JsonObject[] }[]

describe('answers', () => {
  it('tell the same whole and streamed', () => {
    fc.assert(fc.property(reply, (one) => void expectSame(wire, wholeOf(one), eventsOf(one))))
  })

  it('tell everything, in order', () => {
    const { entries, used } = expectSame(wire, wholeOf(SAMPLE), eventsOf(SAMPLE))
    expect(entries.map((entry) => entry[0])).toEqual([
      'start',
      'reasoning',
      'signature',
      'redacted',
      'text',
      'citation',
      'call',
      'call',
      'finish',
    ])
    expect(entries).toContainEqual(['call', 0, 0, 't3', 'get', false, '{"a":1}'])
    expect(entries).toContainEqual(['call', 0, 1, 't4', 'put', false, '{}'])
    expect(used).toMatchObject({ inputTokens: 10, cachedInputTokens: 2, outputTokens: 4 })
  })

  it('read what comes out of the event stream', () => {
    const reader = new EventStreamReader(65_536)
    for (const [name, data] of eventsOf(SAMPLE))
      expect(reader.push(encodeEventStream(name, JSON.stringify(data)))).toBeNull()
    const events: Told[] = []
    for (let message = reader.next(); message !== null; message = reader.next())
      events.push([message.name, message.data])
    expect(recordStream(wire, events).entries).toEqual(recordAnswer(wire, wholeOf(SAMPLE)).entries)
  })

  it('end with the counts, or without them', () => {
    expect(recordStream(wire, eventsOf(SAMPLE)).verdicts?.at(-1)).toBe('end')
    expect(recordStream(wire, eventsOf(SAMPLE).slice(0, -1)).ended).toBe(1)
    expect(recordStream(wire, eventsOf(SAMPLE).slice(0, -2), false).ended).toBe(0)
  })

  it('give exceptions as errors', () => {
    const decoder = wire.stream(new Recording())
    expect(decoder.event('throttlingException', '{"message":"slow down"}')).toBe('error')
    expect(decoder.fault).toEqual({ status: 429, type: 'throttlingException', message: 'slow down' })
    expect(wire.answer({ message: 'no' }, new Recording())).toBe('error')
    expect(wire.answer({ choices: [] }, new Recording())).toBe('invalid')
  })

  it('tell which sequence stopped it, and a JSON answer as text', () => {
    const stopped = {
      ...wholeOf({ ...SAMPLE, blocks: [] }),
      stopReason: 'stop_sequence',
      additionalModelResponseFields: { delta: { stop_sequence: 'END' } },
    }
    expect(recordAnswer(wire, stopped).entries.at(-1)).toEqual(['finish', 0, 'stop_sequence', 'END'])
    const one: Reply = { ...SAMPLE, blocks: [{ kind: 'call', name: ANSWER_TOOL, pieces: ['{"a"', ':1}'] }] }
    expect(expectSame(wire, wholeOf(one), eventsOf(one)).entries.slice(1)).toEqual([
      ['text', 0, '{"a":1}'],
      ['finish', 0, 'stop', ''],
    ])
  })

  it('survive whatever comes', () => {
    const refused: Told[] = [['throttlingException', { message: 'x' }]]
    expectSurvival(wire, [eventsOf(SAMPLE), refused], [wholeOf(SAMPLE)])
  })
})

describe('requests', () => {
  it('have a complete table', () => expectTable(wire))

  it('return reasoning byte for byte, at its place', () => {
    fc.assert(
      fc.property(reply, (one) => {
        const [, back] = messages([user('Hi'), recordAnswer(wire, wholeOf(one)).message(), user('Go on')])
        if (back?.role !== 'assistant') return
        const given = ((wholeOf(one)['output'] as JsonObject)['message'] as { content: JsonObject[] }).content
        const of = (content: JsonObject[]): unknown[] => content.filter((each) => 'reasoningContent' in each)
        expect(of(back.content)).toEqual(of(given))
      }),
    )
  })

  it('write turns, results and documents', () => {
    const file: Part = {
      type: 'file',
      name: 'a_b.v2.pdf',
      source: { kind: 'base64', mime: 'application/pdf', data: 'AA==' },
    }
    const list: Message[] = [
      { role: 'assistant', parts: [{ type: 'tool_call', id: 'a:b', name: 'f', arguments: '{"x":1}' }] },
      {
        role: 'tool',
        parts: [{ type: 'tool_result', id: 'a:b', error: true, content: [{ type: 'text', text: 'no' }] }],
      },
      { role: 'user', parts: [file] },
    ]
    const [first, call, answers] = messages(list)
    expect(first).toEqual({ role: 'user', content: [{ text: '...' }] })
    const id = (call!.content[0]!['toolUse'] as JsonObject)['toolUseId']
    expect(id).toMatch(/^[a-zA-Z0-9_-]{1,64}$/)
    expect(answers!.content).toEqual([
      { toolResult: { toolUseId: id, content: [{ text: 'no' }], status: 'error' } },
      { document: { format: 'pdf', name: 'a-b-v2', source: { bytes: 'AA==' } } },
      { text: '...' },
    ])
    // Calls are refused without a definition of their tool.
    expect(body({ messages: list })['toolConfig']).toEqual({
      tools: [{ toolSpec: { name: 'f', inputSchema: { json: { type: 'object', properties: {} } } } }],
    })
    const mistral = messages(list, 'mistral.mistral-large-2407-v1:0')[1]!.content[0]!['toolUse'] as JsonObject
    expect(mistral['toolUseId']).toMatch(/^[a-z0-9]{9}$/)
    expect(() =>
      messages([
        { role: 'user', parts: [{ type: 'image', source: { kind: 'url', url: 'https://a/b.png', mime: null } }] },
      ]),
    ).toThrow(GatewayError)
    expect(
      messages([
        { role: 'user', parts: [{ type: 'image', source: { kind: 'url', url: 's3://a/b.png', mime: null } }] },
      ])[0]!.content,
    ).toEqual([{ image: { format: 'png', source: { s3Location: { uri: 's3://a/b.png' } } } }])
  })

  it('put the last four cache points after what they cover', () => {
    const cache = { ttl: '1h' }
    const parts: Part[] = ['a', 'b', 'c'].map((text) => ({ type: 'text', text, cache }))
    const sent = body({
      tools: [{ name: 'f', schema: null, cache }],
      messages: [
        { role: 'system', parts: [{ type: 'text', text: 'S', cache }] },
        { role: 'user', parts },
      ],
    })
    const point = { cachePoint: { type: 'default', ttl: '1h' } }
    expect((sent['toolConfig'] as { tools: JsonObject[] }).tools.length).toBe(1)
    expect(sent['system']).toEqual([{ text: 'S' }, point])
    expect((sent['messages'] as { content: JsonObject[] }[])[0]!.content).toEqual([
      { text: 'a' },
      point,
      { text: 'b' },
      point,
      { text: 'c' },
      point,
    ])
  })

  it('ask each family for thought in its own words', () => {
    const reasoning = { effort: 'high', budget: null, visible: null }
    expect(body({ reasoning, temperature: 1, topK: 5 })).toMatchObject({
      additionalModelRequestFields: { thinking: { type: 'enabled', budget_tokens: 16_384 } },
      inferenceConfig: { maxTokens: 20_480 },
    })
    expect(body({ reasoning, temperature: 1 })['inferenceConfig']).not.toHaveProperty('temperature')
    expect(body({ reasoning }, 'anthropic.claude-opus-4-8')).toMatchObject({
      additionalModelRequestFields: { thinking: { type: 'adaptive' } },
      outputConfig: { effort: 'high' },
    })
    expect(body({ reasoning }, 'openai.gpt-oss-120b-1:0')['additionalModelRequestFields']).toEqual({
      reasoning_effort: 'high',
    })
    expect(body({ reasoning, topK: 5 }, 'amazon.nova-2-lite-v1:0')['additionalModelRequestFields']).toEqual({
      inferenceConfig: { topK: 5 },
      reasoningConfig: { type: 'enabled', maxReasoningEffort: 'high' },
    })
  })

  it('write settings, choices, formats and paths', () => {
    const schema = { type: 'object', properties: { a: { type: 'string' } } }
    const format = { type: 'schema', name: 'o', schema } as const
    const sent = body({ format, maxTokens: 5, stop: ['x', ' '], metadata: { a: 'b', c: 1 }, serviceTier: 'flex' })
    expect(sent).toMatchObject({
      inferenceConfig: { maxTokens: 5, stopSequences: ['x'] },
      requestMetadata: { a: 'b', c: '1' },
      serviceTier: { type: 'flex' },
    })
    const text = ((sent['outputConfig'] as JsonObject)['textFormat'] as { structure: { jsonSchema: JsonObject } })
      .structure
    expect(JSON.parse(text.jsonSchema['schema'] as string)).toEqual({ ...schema, additionalProperties: false })
    expect(body({ format }, 'meta.llama3-1-70b')['toolConfig']).toMatchObject({
      toolChoice: { tool: { name: ANSWER_TOOL } },
    })
    const tools = [
      { name: 'a', schema: null },
      { name: 'b', schema: null },
    ]
    expect(body({ tools, toolChoice: { mode: 'none' } })['toolConfig']).toBeUndefined()
    expect(body({ tools, toolChoice: { mode: 'required' } })['toolConfig']).toMatchObject({ toolChoice: { any: {} } })
    expect(body({ tools, toolChoice: { mode: 'tool', name: 'b' } })['toolConfig']).toMatchObject({
      toolChoice: { tool: { name: 'b' } },
    })
    expect(wire.path(CLAUDE, false)).toBe('/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse')
    expect(wire.path('arn:aws:bedrock:x:1:p/q', true)).toBe(
      '/model/arn%3Aaws%3Abedrock%3Ax%3A1%3Ap%2Fq/converse-stream',
    )
  })
})
