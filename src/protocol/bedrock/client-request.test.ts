import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ChatRequest, JsonObject, Message, Part } from '../../contracts/canonical.ts'
import { expectOnlyClientErrors, wildRequest } from '../../../test/support/client-dialects.ts'
import { asTurns } from '../canonical/history.ts'
import { converseClient } from './client-converse.ts'
import { onlyBedrock } from './only-bedrock.ts'
import { bedrockConverseWire as wire } from './wire.ts'

const FULL: JsonObject = {
  system: [{ text: 'Be brief.' }, { cachePoint: { type: 'default', ttl: '1h' } }],
  messages: [
    {
      role: 'user',
      content: [
        { text: 'look' },
        { image: { format: 'png', source: { bytes: 'iVBORw0KGgo=' } } },
        { image: { format: 'jpeg', source: { s3Location: { uri: 's3://b/a.jpg' } } } },
        { audio: { format: 'mp3', source: { bytes: 'AAAA' } } },
        { document: { format: 'pdf', name: 'Report 1', source: { bytes: 'JVBERg==' }, context: 'of May' } },
        { document: { format: 'md', name: 'Notes', source: { bytes: 'SGk=' } } },
        { document: { name: 'Plain', source: { text: 'hello' } } },
        { document: { format: 'txt', name: 'Chunks', source: { content: [{ text: 'a' }, { text: 'b' }] } } },
        { searchResult: { source: 'https://x.test', title: 'X', content: [{ text: 'found' }] } },
        { guardContent: { text: { text: 'guarded', qualifiers: ['query'] } } },
        { video: { format: 'mp4', source: { bytes: 'AAAA' } } },
        { cachePoint: { type: 'default' } },
      ],
    },
    {
      role: 'assistant',
      content: [
        { reasoningContent: { reasoningText: { text: 'hm', signature: 'sig' } } },
        { reasoningContent: { redactedContent: 'AAEC' } },
        { reasoningContent: { reasoningText: { text: 'unsigned' } } },
        {
          citationsContent: {
            content: [{ text: 'Zürich' }],
            citations: [{ title: 'T', location: { web: { url: 'https://z.test' } } }],
          },
        },
        { toolUse: { toolUseId: 'a', name: 'f', input: { x: 1 } } },
        { toolUse: { toolUseId: 'b', name: 'g', input: {} } },
      ],
    },
    {
      role: 'user',
      content: [
        { text: 'and' },
        {
          toolResult: {
            toolUseId: 'a',
            content: [
              { text: 'one' },
              { json: { two: 2 } },
              { image: { format: 'webp', source: { bytes: 'UklGRg==' } } },
              { document: { format: 'pdf', name: 'R', source: { bytes: 'JVBERg==' } } },
            ],
          },
        },
        { toolResult: { toolUseId: 'b', content: [{ text: 'bad' }], status: 'error' } },
        { cachePoint: { type: 'default', ttl: '5m' } },
      ],
    },
  ],
  inferenceConfig: { maxTokens: 10, temperature: 0.5, topP: 0.9, stopSequences: ['END'] },
  toolConfig: {
    tools: [
      { toolSpec: { name: 'f', description: 'd', inputSchema: { json: { type: 'object' } }, strict: true } },
      { cachePoint: { type: 'default' } },
      { systemTool: { name: 'nova_grounding' } },
    ],
    toolChoice: { tool: { name: 'f' } },
  },
  additionalModelRequestFields: {
    top_k: 5,
    min_p: 0.1,
    seed: 7,
    thinking: { type: 'enabled', budget_tokens: 2048 },
    tool_choice: { disable_parallel_tool_use: true },
    anthropic_beta: ['x'],
  },
  additionalModelResponseFieldPaths: ['/stop_sequence'],
  requestMetadata: { team: 'loom' },
  serviceTier: { type: 'flex' },
  performanceConfig: { latency: 'optimized' },
  outputConfig: {
    effort: 'high',
    textFormat: {
      type: 'json_schema',
      structure: { jsonSchema: { name: 'n', description: 'd', schema: '{"type":"object"}' } },
    },
  },
  later: 1,
}

const read = (sent: JsonObject): ChatRequest => converseClient.request(sent, 'm', false)
const asking = (more: JsonObject): JsonObject => ({ messages: [{ role: 'user', content: [{ text: 'x' }] }], ...more })

describe('a Converse request', () => {
  it('is read with all that it says', () => {
    expect(converseClient.request(FULL, 'm', true)).toMatchSnapshot()
  })

  it.each([
    [{}, 'messages'],
    [{ messages: [{ role: 'robot', content: [] }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user', content: 'text' }] }, 'messages[0].content'],
    [{ messages: [{ role: 'user', content: [{}] }] }, 'messages[0].content[0]'],
    [
      { messages: [{ role: 'user', content: [{ image: { format: 'png', source: { bytes: '@' } } }] }] },
      'messages[0].content[0].image.source.bytes',
    ],
    [
      {
        messages: [{ role: 'user', content: [{ document: { name: 'a', format: 'exe', source: { bytes: 'AAAA' } } }] }],
      },
      'messages[0].content[0].document.format',
    ],
    [asking({ guardrailConfig: { guardrailIdentifier: 'g' } }), 'guardrailConfig'],
    [asking({ promptVariables: { a: { text: 'b' } } }), 'promptVariables'],
    [asking({ inferenceConfig: { topP: 'x' } }), 'inferenceConfig.topP'],
    [asking({ toolConfig: { tools: [{}] } }), 'toolConfig.tools[0]'],
    [asking({ toolConfig: { toolChoice: { none: {} } } }), 'toolConfig.toolChoice'],
    [
      asking({ additionalModelRequestFields: { thinking: { type: 'enabled' } } }),
      'additionalModelRequestFields.thinking.budget_tokens',
    ],
    [
      asking({ outputConfig: { textFormat: { type: 'json_schema', structure: { jsonSchema: { schema: '{' } } } } }),
      'outputConfig.textFormat.structure.jsonSchema.schema',
    ],
  ] as [JsonObject, string][])('names the field at fault: %j', (sent, param) => {
    expect(expectOnlyClientErrors(converseClient, sent)).toBe(param)
  })

  it.each([
    [{ thinking: { type: 'disabled' } }, { effort: null, budget: 0, visible: null }],
    [{ thinking: { type: 'adaptive', display: 'omitted' } }, { effort: null, budget: -1, visible: false }],
    [{ reasoning_config: { type: 'enabled', budget_tokens: 5 } }, { effort: null, budget: 5, visible: null }],
    [
      { reasoningConfig: { type: 'enabled', maxReasoningEffort: 'low' } },
      { effort: 'low', budget: null, visible: null },
    ],
    [{ reasoningConfig: { type: 'enabled' } }, { effort: null, budget: -1, visible: null }],
    [{ reasoning_effort: 'medium' }, { effort: 'medium', budget: null, visible: null }],
  ] as [JsonObject, unknown][])('is told to think in any model’s words: %j', (fields, reasoning) => {
    expect(read(asking({ additionalModelRequestFields: fields })).reasoning).toEqual(reasoning)
  })

  it('throws nothing but what the client did wrong', () => {
    fc.assert(
      fc.property(wildRequest([FULL]), (sent) => {
        expectOnlyClientErrors(converseClient, sent)
      }),
      { numRuns: 1500 },
    )
  })

  it('is looked through for what only Bedrock can do, and parsed only then', () => {
    const of = (sent: JsonObject): string => onlyBedrock(Buffer.from(JSON.stringify(sent)), { json: sent })
    expect(of({ guardrailConfig: { guardrailIdentifier: 'g' } })).toBe('guardrailConfig')
    expect(of({ guardrailConfig: {} })).toBe('')
    const never = Object.defineProperty({}, 'json', { get: () => expect.fail('parsed') }) as { json: JsonObject }
    expect(onlyBedrock(Buffer.from('{"messages":[]}'), never)).toBe('')
  })
})

// ── the wire and the client's reader agree ──────────────────────────────────
const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 10 }).filter((text) => text.trim() !== '')
const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,16}$/)
const text: fc.Arbitrary<Part> = fc
  .tuple(word, fc.option(fc.constantFrom(null, '5m', '1h'), { nil: undefined }))
  .map(([value, ttl]) => ({ type: 'text', text: value, ...(ttl === undefined ? {} : { cache: { ttl } }) }))
const image: fc.Arbitrary<Part> = fc
  .constantFrom('image/png', 'image/jpeg', 'image/gif', 'image/webp')
  .map((mime) => ({ type: 'image', source: { kind: 'base64', mime, data: 'AAAA' } }))
const file: fc.Arbitrary<Part> = fc.constant({
  type: 'file',
  source: { kind: 'base64', mime: 'application/pdf', data: 'JVBERg==' },
  name: 'report.pdf',
})
const thought: fc.Arbitrary<Part> = fc.oneof(
  fc.tuple(fc.string({ maxLength: 8 }), word).map(([said, value]): Part => ({
    type: 'reasoning',
    text: said,
    signature: { by: 'bedrock.converse', value: `s${value}` },
  })),
  fc.base64String({ minLength: 4, maxLength: 12 }).map((value): Part => ({
    type: 'reasoning',
    text: '',
    redacted: { by: 'bedrock.converse', value: `AA${value}`.slice(0, 4) },
  })),
)
const args = fc.dictionary(fc.constantFrom('a', 'b'), fc.oneof(fc.string(), fc.integer(), fc.constant({ c: [null] })))

/** Turns of a conversation: a question, and perhaps calls with their results. */
const turns: fc.Arbitrary<Message[]> = fc
  .array(
    fc.record({
      asks: fc.tuple(text, fc.array(fc.oneof(text, image), { maxLength: 2 })).map(([first, more]) => [first, ...more]),
      thinks: fc.array(thought, { maxLength: 2 }),
      says: fc.array(text, { minLength: 1, maxLength: 2 }),
      calls: fc.uniqueArray(fc.tuple(id, id, args, fc.oneof(text, image), fc.boolean()), {
        maxLength: 2,
        selector: ([of]) => of,
      }),
      file: fc.option(file, { nil: undefined }),
    }),
    { minLength: 1, maxLength: 3 },
  )
  .map((list) =>
    list.flatMap(({ asks, thinks, says, calls, file: attached }, i): Message[] => [
      { role: 'user', parts: i === 0 && attached !== undefined ? [attached, ...asks] : asks },
      {
        role: 'assistant',
        parts: [
          ...thinks,
          ...says,
          ...calls.map(([of, name, input]): Part => ({
            type: 'tool_call',
            id: of,
            name,
            arguments: JSON.stringify(input),
          })),
        ],
      },
      ...(calls.length === 0
        ? []
        : [
            {
              role: 'tool' as const,
              parts: calls.map(([of, , , said, error]): Part => ({
                type: 'tool_result',
                id: of,
                content: [bare(said)],
                ...(error ? { error } : {}),
              })),
            },
          ]),
    ]),
  )

const bare = (part: Part): Part => {
  const { cache: _cache, ...rest } = part as Part & { cache?: unknown }
  return rest
}

const requests: fc.Arbitrary<ChatRequest> = fc
  .record(
    {
      system: fc.array(word, { maxLength: 2 }),
      turns,
      maxTokens: fc.integer({ min: 1, max: 9999 }),
      temperature: fc.double({ min: 0, max: 1, noNaN: true }),
      topP: fc.double({ min: 0, max: 1, noNaN: true }),
      topK: fc.integer({ min: 1, max: 500 }),
      stop: fc.array(word, { minLength: 1, maxLength: 3 }),
      tools: fc.uniqueArray(fc.tuple(id, word), { minLength: 1, maxLength: 3, selector: ([name]) => name }),
      choice: fc.constantFrom('auto', 'required', 'tool'),
      metadata: fc.dictionary(fc.constantFrom('team', 'app'), word, { minKeys: 1 }),
      serviceTier: fc.constantFrom('priority', 'flex'),
      stream: fc.boolean(),
    },
    { requiredKeys: ['system', 'turns', 'stream', 'tools'] },
  )
  .map(({ system, turns: list, tools, choice, ...settings }) => ({
    ...settings,
    model: 'm',
    messages: [
      ...(system.length === 0
        ? []
        : [{ role: 'system' as const, parts: system.map((value): Part => ({ type: 'text', text: value })) }]),
      ...list,
    ],
    tools: tools.map(([name, description]) => ({ name, description, schema: { type: 'object', properties: {} } })),
    ...(choice === undefined || choice === 'auto'
      ? {}
      : {
          toolChoice: choice === 'tool' ? { mode: 'tool' as const, name: tools[0]![0] } : { mode: 'required' as const },
        }),
  }))

/** At most four marks go out, and which those are is the wire's to say. */
const unmarked = (request: ChatRequest): unknown => ({
  ...request,
  messages: asTurns(request.messages).map(({ role, parts }) => ({
    role,
    parts: parts.map(bare),
  })),
})

describe('the wire of Converse and its clients', () => {
  it('agree on what every request says', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const body = wire.request(request, { model: 'amazon.titan', type: '', maxOutputTokens: 0 })
        const back = converseClient.request(JSON.parse(JSON.stringify(body)) as JsonObject, 'm', request.stream)
        expect(unmarked(back)).toEqual(unmarked(request))
        expect(wire.request(back, { model: 'amazon.titan', type: '', maxOutputTokens: 0 })).toEqual(body)
      }),
    )
  })
})
