import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject, Message, Part } from '../../contracts/canonical.ts'
import {
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
import { geminiGenerateWire as wire } from './wire.ts'

const USAGE = { promptTokenCount: 7, candidatesTokenCount: 3, thoughtsTokenCount: 2, totalTokenCount: 12 }

const signature = fc.option(fc.base64String({ minLength: 4, maxLength: 12 }), { nil: undefined })
const part = fc.oneof(
  fc.record({ kind: fc.constant('text' as const), pieces: pieces(written), thought: fc.boolean(), signature }),
  fc.record({
    kind: fc.constant('call' as const),
    name: word,
    args: fc.dictionary(word, fc.string()),
    id: fc.option(word),
    signature,
  }),
)
const reply = fc.record({
  parts: fc.array(part, { maxLength: 5 }),
  reason: fc.constantFrom('STOP', 'MAX_TOKENS', 'SAFETY', 'MALFORMED_FUNCTION_CALL'),
  grounded: fc.boolean(),
})
type Reply = typeof reply extends fc.Arbitrary<infer T> ? T : never
type One = Reply['parts'][number]

const signed = (value: string | undefined): JsonObject => (value === undefined ? {} : { thoughtSignature: value })
const callPart = (one: One & { kind: 'call' }): JsonObject => ({
  functionCall: { ...(one.id === null ? {} : { id: one.id }), name: one.name, args: one.args },
  ...signed(one.signature),
})
const textPart = (one: One & { kind: 'text' }, text: string): JsonObject => ({
  text,
  ...(one.thought ? { thought: true } : {}),
})
const GROUNDS = { groundingChunks: [{ web: { uri: 'https://a.example', title: 'A' } }], groundingSupports: [] }

const answer = (parts: JsonObject[], extra: JsonObject = {}): JsonObject => ({
  candidates: [{ content: { role: 'model', parts }, index: 0, ...extra }],
  responseId: 'r1',
  modelVersion: 'gemini-x',
  usageMetadata: USAGE,
})
const wholeOf = ({ parts, reason, grounded }: Reply): JsonObject =>
  answer(
    parts.map((one) =>
      one.kind === 'call' ? callPart(one) : { ...textPart(one, one.pieces.join('')), ...signed(one.signature) },
    ),
    { finishReason: reason, ...(grounded ? { groundingMetadata: GROUNDS } : {}) },
  )
function eventsOf({ parts, reason, grounded }: Reply): Told[] {
  const events: JsonObject[] = []
  for (const one of parts)
    if (one.kind === 'call') events.push(answer([callPart(one)]))
    else {
      // Older versions say a reason in every event.
      for (const piece of one.pieces) events.push(answer([textPart(one, piece)], { finishReason: 'STOP' }))
      // The last piece is often empty and only signs.
      if (one.signature !== undefined) events.push(answer([{ ...textPart(one, ''), ...signed(one.signature) }]))
    }
  events.push(answer([], { finishReason: reason, ...(grounded ? { groundingMetadata: GROUNDS } : {}) }))
  return events.map((event): Told => ['', event])
}

const SAMPLE: Reply = {
  parts: [
    { kind: 'text', pieces: ['h', 'm'], thought: true, signature: undefined },
    { kind: 'text', pieces: ['Hel', 'lo'], thought: false, signature: 'c2lnMQ==' },
    { kind: 'call', name: 'get', args: { a: '1' }, id: null, signature: 'c2lnMg==' },
    { kind: 'call', name: 'get', args: { a: '1' }, id: null, signature: undefined },
  ],
  reason: 'STOP',
  grounded: true,
}

const user = (text: string): Message => ({ role: 'user', parts: [{ type: 'text', text }] })
const body = (parts: Parameters<typeof asked>[0], model = 'gemini-3-flash'): JsonObject =>
  wire.request(asked(parts), { ...TARGET, model, type: 'gemini' })
const contents = (messages: Message[], model?: string): { role: string; parts: JsonObject[] }[] =>
  body({ messages }, model)['contents'] as { role: string; parts: JsonObject[] }[]

describe('answers', () => {
  it('tell the same whole and streamed', () => {
    fc.assert(fc.property(reply, (one) => void expectSame(wire, wholeOf(one), eventsOf(one))))
  })

  it('tell everything, in order', () => {
    const { entries, used } = expectSame(wire, wholeOf(SAMPLE), eventsOf(SAMPLE))
    expect(entries.map((entry) => entry[0])).toEqual([
      'start',
      'reasoning',
      'text',
      'signature',
      'call',
      'call signature',
      'call',
      'citation',
      'finish',
    ])
    const [first, second] = entries.filter((entry) => entry[0] === 'call')
    expect(first!.slice(4)).toEqual(['get', false, '{"a":"1"}'])
    expect(first![3]).not.toBe(second![3])
    expect(entries.at(-1)).toEqual(['finish', 0, 'tool_calls', ''])
    expect(used).toMatchObject({ inputTokens: 7, outputTokens: 5, reasoningTokens: 2 })
  })

  it('say that the prompt was refused', () => {
    const blocked = {
      promptFeedback: { blockReason: 'SAFETY' },
      responseId: 'r',
      usageMetadata: { promptTokenCount: 3 },
    }
    const { entries } = expectSame(wire, blocked, [['', blocked]])
    expect(entries.at(-1)).toEqual(['finish', 0, 'content_filter', ''])
  })

  it('tell probabilities as the chat API has them', () => {
    const result = {
      chosenCandidates: [{ token: 'a', logProbability: -0.5 }],
      topCandidates: [{ candidates: [{ token: 'a', logProbability: -0.5 }] }],
    }
    const { entries } = recordAnswer(wire, answer([{ text: 'a' }], { finishReason: 'STOP', logprobsResult: result }))
    const entry = { token: 'a', logprob: -0.5, bytes: null }
    expect(entries).toContainEqual(['logprobs', 0, [{ ...entry, top_logprobs: [entry] }]])
  })

  it('are cut when no reason was given, and errors are errors', () => {
    expect(recordStream(wire, [['', answer([{ text: 'a' }])]], false).ended).toBe(0)
    const decoder = wire.stream(new Recording())
    expect(decoder.close()).toBe(false)
    expect(decoder.event('', '{"error":{"code":503,"message":"busy"}}')).toBe('error')
    expect(decoder.fault).toEqual({ code: 503, message: 'busy' })
    expect(wire.answer({ error: { code: 400 } }, new Recording())).toBe('error')
    expect(wire.answer({ candidates: [] }, new Recording())).toBe('invalid')
  })

  it('survive whatever comes', () => expectSurvival(wire, [eventsOf(SAMPLE)], [wholeOf(SAMPLE)]))
})

describe('requests', () => {
  it('have a complete table', () => expectTable(wire))

  it('return signatures byte for byte, at their places', () => {
    fc.assert(
      fc.property(reply, (one) => {
        const [, back] = contents(
          [user('Hi'), recordAnswer(wire, wholeOf(one)).message(), user('Go on')],
          'gemini-2.5-pro',
        )
        if (back?.role !== 'model') return
        const given = ((wholeOf(one)['candidates'] as JsonObject[])[0]!['content'] as { parts: JsonObject[] }).parts
        const signaturesOf = (parts: JsonObject[]): unknown[] =>
          parts.map((each) => each['thoughtSignature']).filter((each) => each !== undefined)
        const callsOf = (parts: JsonObject[]): unknown[] =>
          parts
            .filter((each) => 'functionCall' in each)
            .map((each) => [(each['functionCall'] as JsonObject)['name'], each['thoughtSignature']])
        expect(signaturesOf(back.parts)).toEqual(signaturesOf(given))
        expect(callsOf(back.parts)).toEqual(callsOf(given))
      }),
    )
    const [, back] = contents([user('Hi'), recordAnswer(wire, wholeOf(SAMPLE)).message(), user('Go on')])
    expect(back!.parts[0]).toEqual({ text: 'Hello', thoughtSignature: 'c2lnMQ==' })
    expect(back!.parts[1]!['thoughtSignature']).toBe('c2lnMg==')
    expect(back!.parts[2]!['thoughtSignature']).toBeUndefined()
  })

  it('find the text of a signature that a client keeps before it', () => {
    const proof: Part = { type: 'reasoning', text: '', signature: { by: 'gemini.generate', value: 's' } }
    const [, back] = contents([user('Hi'), { role: 'assistant', parts: [proof, { type: 'text', text: 'x' }] }])
    expect(back!.parts).toEqual([{ text: 'x', thoughtSignature: 's' }])
  })

  it('sign calls of other backends as Google documents it, from Gemini 3 on', () => {
    const calls: Message = {
      role: 'assistant',
      parts: [{ type: 'tool_call', id: 'c', name: 'f', arguments: '{}' }],
    }
    const sent = (model: string): unknown => contents([user('Hi'), calls], model)[1]!.parts[0]!['thoughtSignature']
    expect(sent('gemini-3.1-pro')).toBe('skip_thought_signature_validator')
    expect(sent('gemini-2.5-flash')).toBeUndefined()
  })

  it('write results with the name of their call', () => {
    const image: Part = { type: 'image', source: { kind: 'base64', mime: 'image/png', data: 'AA==' } }
    const messages: Message[] = [
      user('u'),
      { role: 'assistant', parts: [{ type: 'tool_call', id: 'c', name: 'f', arguments: '{"x":1}' }] },
      { role: 'tool', parts: [{ type: 'tool_result', id: 'c', content: [{ type: 'text', text: '7' }, image] }] },
      { role: 'tool', parts: [{ type: 'tool_result', id: 'd', content: [{ type: 'text', text: '{"y":2}' }] }] },
      {
        role: 'tool',
        parts: [{ type: 'tool_result', id: 'e', name: 'g', error: true, content: [{ type: 'text', text: 'no' }] }],
      },
    ]
    const parts = [{ inlineData: { mimeType: 'image/png', data: 'AA==' } }]
    expect(contents(messages)[2]).toEqual({
      role: 'user',
      parts: [
        { functionResponse: { id: 'c', name: 'f', response: { output: '7' }, parts } },
        { functionResponse: { id: 'd', name: 'd', response: { y: 2 } } },
        { functionResponse: { id: 'e', name: 'g', response: { error: 'no' } } },
      ],
    })
    expect(contents(messages, 'gemini-2.5-pro')[2]!.parts[3]).toEqual(parts[0])
    const vertex = wire.request(asked({ messages }), { ...TARGET, model: 'gemini-3-flash', type: 'vertex' })
    expect(JSON.stringify(vertex)).not.toContain('"id"')
  })

  it('ask for thought as the model takes it', () => {
    const thinking = (effort: string | null, budget: number | null, model: string): unknown =>
      (body({ reasoning: { effort, budget, visible: null } }, model)['generationConfig'] as JsonObject | undefined)?.[
        'thinkingConfig'
      ]
    expect(thinking('high', null, 'gemini-3-flash')).toEqual({ thinkingLevel: 'high', includeThoughts: true })
    expect(thinking('none', null, 'gemini-3-flash')).toEqual({ thinkingLevel: 'minimal' })
    expect(thinking('none', null, 'gemini-3-pro-preview')).toEqual({ thinkingLevel: 'low' })
    expect(thinking('medium', null, 'gemini-2.5-flash')).toEqual({ thinkingBudget: 8192, includeThoughts: true })
    expect(thinking(null, 0, 'gemini-2.5-flash')).toEqual({ thinkingBudget: 0 })
    expect(thinking(null, 0, 'gemini-2.5-pro')).toEqual({ thinkingBudget: 128 })
    expect(thinking('high', null, 'gemini-2.0-flash')).toBeUndefined()
  })

  it('write settings, tools and paths', () => {
    const schema = { $schema: 'x', type: 'object', properties: { a: { type: 'string' } } }
    const sent = body({
      messages: [{ role: 'system', parts: [{ type: 'text', text: 'S' }] }, user('u')],
      tools: [
        { name: 'f', schema, description: 'd' },
        { name: 'g', schema: null },
      ],
      toolChoice: { mode: 'allowed', names: ['f'], required: true },
      format: { type: 'schema', name: 'o', schema },
      maxTokens: 5,
      n: 2,
      stop: ['x'],
      logprobs: true,
      topLogprobs: 3,
    })
    expect(sent).toEqual({
      systemInstruction: { parts: [{ text: 'S' }] },
      contents: [{ role: 'user', parts: [{ text: 'u' }] }],
      tools: [
        {
          functionDeclarations: [
            { name: 'f', description: 'd', parametersJsonSchema: { type: 'object', properties: schema.properties } },
            { name: 'g' },
          ],
        },
      ],
      toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['f'] } },
      generationConfig: {
        maxOutputTokens: 5,
        candidateCount: 2,
        stopSequences: ['x'],
        responseLogprobs: true,
        logprobs: 3,
        responseMimeType: 'application/json',
        responseJsonSchema: { type: 'object', properties: schema.properties },
      },
    })
    expect(wire.path('gemini-3-flash', false)).toBe('/models/gemini-3-flash:generateContent')
    expect(wire.path('models/a/b', true)).toBe('/models/a%2Fb:streamGenerateContent?alt=sse')
  })
})
