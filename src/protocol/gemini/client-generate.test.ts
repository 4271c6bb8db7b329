import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject, Part } from '../../contracts/canonical.ts'
import { GatewayError } from '../../core/errors.ts'
import {
  USED,
  bodyOf,
  contents,
  contextOf,
  dataOf,
  eventsOf,
  expectOnlyClientErrors,
  joined,
  partsOf,
  streamOf,
  whole,
  wildRequest,
  withObjects,
} from '../../../test/support/client-dialects.ts'
import { readUsage } from '../usage.ts'
import { generateClient } from './client-generate.ts'

const FULL: JsonObject = {
  systemInstruction: { parts: [{ text: 'Be brief.' }] },
  contents: [
    {
      role: 'user',
      parts: [
        { text: 'look' },
        { inlineData: { mimeType: 'image/png', data: 'iVBORw0KGgo=' } },
        { inline_data: { mime_type: 'audio/wav', data: 'AAAA' } },
        { inlineData: { mimeType: 'application/pdf', data: 'JVBERg==', displayName: 'a.pdf' } },
        { fileData: { mimeType: 'image/png', fileUri: 'gs://b/a.png' } },
        { fileData: { mimeType: 'video/mp4', fileUri: 'https://generativelanguage.googleapis.com/v1beta/files/x' } },
        {
          fileData: {
            mimeType: 'application/pdf',
            fileUri: 'https://generativelanguage.googleapis.com/v1beta/files/y',
          },
        },
      ],
    },
    {
      role: 'model',
      parts: [
        { text: 'hm', thought: true },
        { text: 'I will', thoughtSignature: 'c2ln' },
        { functionCall: { name: 'f', args: { a: 1 } }, thoughtSignature: 'QUJD' },
        { functionCall: { name: 'f', args: { a: 2 } } },
        { executableCode: { language: 'PYTHON', code: 'x' } },
      ],
    },
    {
      role: 'user',
      parts: [
        { functionResponse: { name: 'f', response: { output: 'one' } } },
        { functionResponse: { name: 'f', response: { error: 'bad' } } },
        { functionResponse: { id: 'z', name: 'g', response: { a: 1 } } },
        { text: 'and' },
      ],
    },
  ],
  tools: [
    {
      functionDeclarations: [
        {
          name: 'f',
          description: 'd',
          parameters: {
            type: 'OBJECT',
            properties: {
              a: { type: 'INTEGER', nullable: true },
              b: { type: 'ARRAY', items: { type: 'STRING' }, minItems: '1' },
            },
            required: ['a'],
          },
        },
        { name: 'g', parametersJsonSchema: { type: 'object' } },
      ],
    },
    { google_search: {} },
  ],
  toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['f', 'g'] } },
  generationConfig: {
    temperature: 0.5,
    top_p: 0.9,
    topK: 40,
    candidateCount: 2,
    maxOutputTokens: 10,
    stopSequences: ['END'],
    presencePenalty: 1,
    frequencyPenalty: 1,
    seed: 5,
    responseLogprobs: true,
    logprobs: 3,
    responseMimeType: 'application/json',
    responseSchema: { type: 'OBJECT', properties: { x: { type: 'STRING', format: 'enum', enum: ['a'] } } },
    responseModalities: ['TEXT'],
    thinkingConfig: { thinkingBudget: -1, thinkingLevel: 'HIGH', includeThoughts: true },
    mediaResolution: 'MEDIA_RESOLUTION_LOW',
  },
  safetySettings: [{ category: 'x', threshold: 'y' }],
}

describe('a generateContent request', () => {
  it('is read with all that it says', () => {
    expect(generateClient.request(FULL, 'm', true)).toMatchSnapshot()
  })

  it.each([
    [{}, 'contents'],
    [{ contents: [{ role: 'robot', parts: [] }] }, 'contents[0].role'],
    [{ contents: [{ parts: [{ inlineData: { data: 'AAAA' } }] }] }, 'contents[0].parts[0].inlineData.mimeType'],
    [{ contents: [], cachedContent: 'c' }, 'cachedContent'],
    [
      { contents: [], generationConfig: { responseMimeType: 'text/x.enum', responseSchema: {} } },
      'generationConfig.responseMimeType',
    ],
    [{ contents: [], generationConfig: { topP: 'x' } }, 'generationConfig.topP'],
    [
      { contents: [], toolConfig: { functionCallingConfig: { mode: 'SOME' } } },
      'toolConfig.functionCallingConfig.mode',
    ],
  ] as [JsonObject, string][])('names the field at fault: %j', (sent, param) => {
    expect(expectOnlyClientErrors(generateClient, sent)).toBe(param)
  })

  it('throws nothing but what the client did wrong', () => {
    fc.assert(
      fc.property(wildRequest([FULL]), (sent) => {
        expectOnlyClientErrors(generateClient, sent)
      }),
      { numRuns: 1500 },
    )
  })
})

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

const back = (parts: JsonObject[]): Part[] => {
  const sent = { contents: [{ role: 'model', parts }] }
  return joined(generateClient.request(sent, 'm', false).messages[0]!.parts)
}
const partsIn = (answer: JsonObject): JsonObject[] =>
  (answer['candidates'] as { content: { parts: JsonObject[] } }[])[0]!.content.parts

const signaturesIn = (parts: readonly JsonObject[]): string[] =>
  parts.map((part) => part['thoughtSignature']).filter((text) => typeof text === 'string')

describe('a generateContent answer', () => {
  it('comes back in the history as it was told, whole or streamed, all signatures base64', () => {
    fc.assert(
      fc.property(contents({ lateSignatures: true }), (middle) => {
        const script = whole(middle)
        const expected = withObjects(joined(partsOf(script)))
        const parts = partsIn(bodyOf(generateClient, script))
        expect(back(parts)).toEqual(expected)
        for (const text of signaturesIn(parts)) expect(text).toMatch(BASE64)
        const stream = streamOf(generateClient, script, true)
        expect(stream).toBe(streamOf(generateClient, script, false))
        const streamed = dataOf(stream).flatMap(partsIn)
        expect(back(streamed)).toEqual(expected)
        // Google's own client keeps each event as a content.
        const turns = streamed.map((part) => ({ role: 'model', parts: [part] }))
        const { messages } = generateClient.request({ contents: turns }, 'm', false)
        expect(messages.map((message) => joined(message.parts))).toEqual([expected])
        for (const text of signaturesIn(streamed)) expect(text).toMatch(BASE64)
      }),
    )
  })

  it('has the same sources whole and streamed', () => {
    fc.assert(
      fc.property(contents({ citations: true }), (middle) => {
        const sources = (answer: JsonObject): unknown => (answer['candidates'] as JsonObject[])[0]!['groundingMetadata']
        const script = whole(middle)
        expect(sources(dataOf(streamOf(generateClient, script, true)).at(-1)!)).toEqual(
          sources(bodyOf(generateClient, script)),
        )
      }),
    )
  })

  it('is an object of the API', () => {
    const script = whole([
      (sink) => sink.text(0, 'Zürich'),
      (sink) => sink.citation(0, { url: 'https://x.test', title: 'X' }),
      (sink) => sink.text(0, ' is '),
      (sink) => sink.citation(0, { native: { by: 'gemini.generate', value: { maps: {} } } }),
      (sink) => sink.logprobs(0, [{ token: 'Z', logprob: -1, top_logprobs: [{ token: 'B', logprob: -2 }] }]),
      (sink) => sink.text(1, 'Rome'),
      (sink) => sink.finish(1, 'length', ''),
    ])
    const body = bodyOf(generateClient, script)
    expect(body).toMatchSnapshot()
    const last = dataOf(streamOf(generateClient, script, true)).at(-1)!
    const bare = (answer: JsonObject): unknown =>
      (answer['candidates'] as JsonObject[]).map((candidate) => ({ ...candidate, content: null }))
    expect(bare(last)).toEqual(bare(body))
    expect(last['usageMetadata']).toEqual(body['usageMetadata'])
  })

  it('says what was used so that it is read as the same again', () => {
    const script = whole([(sink) => sink.text(0, 'x')])
    expect(readUsage(bodyOf(generateClient, script)['usageMetadata'])).toEqual({
      ...USED,
      cacheWrite5mTokens: 0,
      cacheWrite1hTokens: 0,
    })
  })

  it.each([
    ['stop', 'STOP'],
    ['tool_calls', 'STOP'],
    ['length', 'MAX_TOKENS'],
    ['content_filter', 'SAFETY'],
    ['error', 'OTHER'],
  ] as const)('ends %s as %s', (reason, expected) => {
    expect(bodyOf(generateClient, whole([], reason))['candidates']).toMatchObject([{ finishReason: expected }])
  })
})

describe('a stream of generateContent', () => {
  it('has calls whole, in their order, also when they took turns', () => {
    const script = whole([
      (sink) => sink.toolCall(0, 0, 'a', 'f', false),
      (sink) => sink.toolArguments(0, 0, '{"x":'),
      (sink) => sink.toolCall(0, 1, 'b', 'g', false),
      (sink) => sink.toolArguments(0, 1, '{}'),
      (sink) => sink.toolArguments(0, 0, '1}'),
    ])
    expect(dataOf(streamOf(generateClient, script, true)).flatMap(partsIn)).toEqual([
      { functionCall: { id: 'a', name: 'f', args: { x: 1 } } },
      { functionCall: { id: 'b', name: 'g', args: {} } },
      { text: '' },
    ])
  })

  it('tells a call as soon as the next begins', () => {
    const encoder = generateClient.stream(contextOf())
    encoder.start('', '')
    encoder.toolCall(0, 0, 'a', 'f', false)
    encoder.toolArguments(0, 0, '{}')
    expect(encoder.take()).toBe('')
    encoder.toolCall(0, 1, 'b', 'g', false)
    expect(encoder.take()).toContain('"id":"a"')
  })

  it('ends with an error of the API', () => {
    const encoder = generateClient.stream(contextOf())
    encoder.text(0, 'x')
    const error = new GatewayError('upstream_rate_limited', 'Slow down.', { retryAfterMs: 3400, param: 'model' })
    const events = eventsOf(String(encoder.error(error)))
    expect(events).toHaveLength(2)
    expect(JSON.parse(events[1]!.data)).toMatchSnapshot()
  })
})
