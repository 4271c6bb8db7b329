// The simulator as the SDK of AWS meets it: signed requests, binary frames whose checksums are looked at.
import {
  BedrockRuntimeClient,
  BedrockRuntimeServiceException,
  ConverseCommand,
  ConverseStreamCommand,
} from '@aws-sdk/client-bedrock-runtime'
import type { ContentBlock, ConverseCommandInput, ConverseStreamOutput, Message } from '@aws-sdk/client-bedrock-runtime'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'

const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' }
let sim: Sim
let origin = ''
let client: BedrockRuntimeClient

const clientFor = (endpoint: string): BedrockRuntimeClient =>
  // Left to itself, it speaks HTTP/2 without TLS, which AWS does not serve either.
  new BedrockRuntimeClient({
    region: 'eu-central-1',
    endpoint,
    credentials,
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler(),
  })

beforeAll(async () => {
  sim = await startSim({ apiKey: 'bedrock-api-key' })
  origin = sim.url.replace(/\/v1$/, '')
  client = clientFor(origin)
})
afterAll(async () => {
  client.destroy()
  await sim.close()
})

const PARIS = 'What is the capital of France?'
type Ask = Partial<ConverseCommandInput>
const user = (...content: ContentBlock[]): Message => ({ role: 'user', content })
const input = (text: string, more: Ask = {}): ConverseCommandInput => ({
  modelId: 'sim-chat',
  messages: [user({ text })],
  ...more,
})
const ask = (text: string, more: Ask = {}) => client.send(new ConverseCommand(input(text, more)))

const events = async (text: string, more: Ask = {}): Promise<ConverseStreamOutput[]> => {
  const { stream } = await client.send(new ConverseStreamCommand(input(text, more)))
  const all: ConverseStreamOutput[] = []
  for await (const event of stream ?? []) all.push(event)
  return all
}

const textOf = (all: readonly ConverseStreamOutput[]): string =>
  all.map((event) => event.contentBlockDelta?.delta?.text ?? '').join('')

const failure = async (run: Promise<unknown>): Promise<BedrockRuntimeServiceException> => {
  try {
    await run
  } catch (error) {
    if (error instanceof BedrockRuntimeServiceException) return error
    throw error
  }
  throw new Error('it did not fail')
}

const TOOL = {
  toolSpec: {
    name: 'get_weather',
    description: 'Weather of a city',
    inputSchema: { json: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
  },
}
const THINKING = { additionalModelRequestFields: { thinking: { type: 'enabled', budget_tokens: 1024 } } }

describe('converse', () => {
  it('answers in text, whole and streamed alike', async () => {
    const whole = await ask(PARIS)
    expect(whole.output?.message).toEqual({ role: 'assistant', content: [{ text: 'The capital of France is Paris.' }] })
    expect(whole.stopReason).toBe('end_turn')
    expect(whole.usage).toMatchObject({ outputTokens: 7, cacheReadInputTokens: 0, cacheWriteInputTokens: 0 })
    expect(whole.usage?.totalTokens).toBe((whole.usage?.inputTokens ?? 0) + 7)
    const all = await events(PARIS)
    expect(textOf(all)).toBe('The capital of France is Paris.')
    expect(all[0]?.messageStart?.role).toBe('assistant')
    expect(all.at(-2)?.messageStop?.stopReason).toBe('end_turn')
    expect(all.at(-1)?.metadata?.usage).toEqual(whole.usage)
  })

  it('stops where it is told to, and says at what if asked', async () => {
    const stopped = await ask(PARIS, {
      inferenceConfig: { stopSequences: [' is'] },
      additionalModelResponseFieldPaths: ['/stop_sequence'],
    })
    expect([stopped.stopReason, stopped.additionalModelResponseFields]).toEqual([
      'stop_sequence',
      { stop_sequence: ' is' },
    ])
    const cut = await ask(PARIS, { inferenceConfig: { maxTokens: 3 } })
    expect([cut.stopReason, cut.usage?.outputTokens]).toEqual(['max_tokens', 3])
  })

  it('calls tools and takes their results, in pairs', async () => {
    const toolConfig = { tools: [TOOL] }
    const question = user({ text: 'What is the weather in Oslo?' })
    const called = await ask('', { messages: [question], toolConfig })
    const turn = called.output?.message
    const use = turn?.content?.[0]?.toolUse
    expect([called.stopReason, use?.name, use?.input]).toEqual(['tool_use', 'get_weather', { city: 'Oslo' }])
    const streamed = await events('', { messages: [question], toolConfig })
    expect(
      streamed.find((event) => event.contentBlockStart !== undefined)?.contentBlockStart?.start?.toolUse?.toolUseId,
    ).toBe(use?.toolUseId)
    const written = streamed.map((event) => event.contentBlockDelta?.delta?.toolUse?.input ?? '').join('')
    expect(JSON.parse(written)).toEqual({ city: 'Oslo' })
    if (turn === undefined || use === undefined) throw new Error('no call')
    const toolResult = { toolUseId: use.toolUseId, content: [{ text: '7 °C' }] }
    const answer = await ask('', { messages: [question, turn, user({ toolResult })], toolConfig })
    expect(answer.output?.message?.content).toEqual([{ text: 'The tool get_weather returned: 7 °C' }])
    const cases: [Ask, RegExp][] = [
      [{ messages: [question, turn, user({ toolResult })] }, /toolConfig field must be defined/],
      [
        { messages: [question, turn, user({ text: 'x' })], toolConfig },
        /Expected toolResult blocks at messages.2.content/,
      ],
      [
        { messages: [question, turn, user({ toolResult }, { toolResult })], toolConfig },
        /exceeds the number of toolUse/,
      ],
      [{ messages: [question, question] }, /must alternate/],
      [{ messages: [turn], toolConfig }, /must start with a user message/],
      [{ messages: [user({ text: ' ' })] }, /is blank/],
    ]
    for (const [change, message] of cases) {
      const error = await failure(ask('', change))
      expect([error.name, error.$metadata.httpStatusCode]).toEqual(['ValidationException', 400])
      expect(error.message).toMatch(message)
    }
    const forced = await ask('Hi', { toolConfig: { ...toolConfig, toolChoice: { tool: { name: 'get_weather' } } } })
    expect(forced.stopReason).toBe('tool_use')
  })

  const more = { ...THINKING, inferenceConfig: { maxTokens: 4096 } }
  const again = (content: ContentBlock[]) =>
    ask('', { ...more, messages: [user({ text: 'x' }), { role: 'assistant', content }, user({ text: 'y' })] })

  it('thinks, with a proof that must come back', async () => {
    const whole = await ask(PARIS, more)
    const block = whole.output?.message?.content?.[0]
    const said = block?.reasoningContent?.reasoningText
    expect(said?.text?.length).toBeGreaterThan(50)
    expect(whole.usage?.outputTokens).toBe(71)
    const all = await events(PARIS, more)
    const deltas = all.map((event) => event.contentBlockDelta?.delta?.reasoningContent)
    expect(deltas.map((delta) => delta?.text ?? '').join('')).toBe(said?.text)
    expect(deltas.find((delta) => delta?.signature !== undefined)?.signature).toBe(said?.signature)
    if (block === undefined) throw new Error('no thought')
    expect((await again([block, { text: 'z' }])).stopReason).toBe('end_turn')
    const forged = { reasoningContent: { reasoningText: { text: 'other', signature: said?.signature } } }
    expect((await failure(again([forged, { text: 'z' }]))).message).toMatch(/Invalid `signature`/)
    const early = failure(ask(PARIS, { ...THINKING, inferenceConfig: { maxTokens: 5 } }))
    expect((await early).message).toMatch(/budget_tokens/)
  })

  it('hides what it thinks', async () => {
    const hidden = await ask('TRIGGER_REDACTED_THINKING', more)
    const redacted = hidden.output?.message?.content?.[0]
    expect(redacted?.reasoningContent?.redactedContent?.length).toBe(88)
    if (redacted === undefined) throw new Error('no thought')
    expect((await again([redacted, { text: 'z' }])).stopReason).toBe('end_turn')
  })

  it('reads images and documents, and writes JSON of a schema', async () => {
    const image = { format: 'png' as const, source: { bytes: new Uint8Array(3) } }
    const document = { format: 'pdf' as const, name: 'report', source: { bytes: new Uint8Array(6) } }
    const seen = await ask('', { messages: [user({ text: 'Say cheese' }, { image }, { document })] })
    expect(seen.output?.message?.content?.[0]?.text).toBe(
      'cheese I received image/png (3 bytes), application/pdf (6 bytes).',
    )
    const named = { ...document, name: 'not/allowed' }
    expect((await failure(ask('', { messages: [user({ text: 'x' }, { document: named })] }))).message).toMatch(
      /invalid characters/,
    )
    const schema = JSON.stringify({ type: 'object', properties: { days: { type: 'integer' } }, required: ['days'] })
    const made = await ask('Plan 3 days', {
      outputConfig: { textFormat: { type: 'json_schema', structure: { jsonSchema: { schema, name: 'plan' } } } },
    })
    expect(JSON.parse(made.output?.message?.content?.[0]?.text ?? '')).toEqual({ days: 3 })
  })

  it('counts what it keeps at cache points', async () => {
    const system = [
      { text: 'The loom has a warp and a weft. '.repeat(40) },
      { cachePoint: { type: 'default' as const } },
    ]
    const first = (await ask(PARIS, { system })).usage
    const second = (await ask('Another question', { system })).usage
    expect(first?.cacheWriteInputTokens).toBeGreaterThan(300)
    expect(second?.cacheReadInputTokens).toBeGreaterThan(300)
    expect(first?.totalTokens).toBe((first?.inputTokens ?? 0) + (first?.cacheWriteInputTokens ?? 0) + 7)
  })

  it('demands a signature or the key', async () => {
    const send = (headers: Record<string, string>) =>
      fetch(`${origin}/model/sim-chat/converse`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ messages: [{ role: 'user', content: [{ text: 'Hi' }] }] }),
      })
    expect((await send({})).headers.get('x-amzn-errortype')).toMatch(/^MissingAuthenticationTokenException/)
    expect((await send({ authorization: 'AWS4-HMAC-SHA256 nonsense' })).status).toBe(403)
    expect((await send({ authorization: 'Bearer wrong' })).status).toBe(403)
    expect((await send({ authorization: 'Bearer bedrock-api-key' })).status).toBe(200)
  })
})

describe('faults', () => {
  it.each([
    ['status=500', 'InternalServerException', 500],
    ['status=503', 'ServiceUnavailableException', 503],
    ['status=424', 'ModelErrorException', 424],
    ['overloaded_body=503', 'ServiceUnavailableException', 503],
    ['rate_limit=seconds', 'ThrottlingException', 429],
    ['insufficient_quota', 'ThrottlingException', 429],
    ['auth_403', 'AccessDeniedException', 403],
    ['context_length', 'ValidationException', 400],
    ['rate_limit=ms', 'ValidationException', 400],
    ['comments', 'ValidationException', 400],
    ['crlf', 'ValidationException', 400],
  ])('%s is %s', async (fault, name, status) => {
    const error = await failure(ask(PARIS, { modelId: `sim-chat~${fault}` }))
    expect([error.name, error.$metadata.httpStatusCode]).toEqual([name, status])
  })

  it('exceptions inside a stream that began well', async () => {
    expect((await failure(events(PARIS, { modelId: 'sim-chat~early_error' }))).name).toBe('ServiceUnavailableException')
    expect((await failure(events(PARIS, { modelId: 'sim-chat~error_after=2' }))).name).toBe('ModelStreamErrorException')
  })

  it('streams that lack their end, their payload, or half a frame', async () => {
    const of = (fault: string) => events(PARIS, { modelId: `sim-chat~${fault}` })
    expect((await of('no_done')).at(-1)?.contentBlockStop?.contentBlockIndex).toBe(0)
    expect(textOf(await of('cut_stream_after=2'))).toBe('The capital')
    expect((await of('no_choices')).map((event) => Object.keys(event)[0])).toEqual([
      'messageStart',
      'messageStop',
      'metadata',
    ])
    expect(textOf(await of('duplicate_frames'))).toContain('TheThe capital capital')
    expect(textOf(await of('torn_utf8=2'))).toContain('\uFFFD')
    expect(textOf(await of('split_utf8'))).toContain('日本語 😀')
    expect((await of('content_filter')).find((event) => event.messageStop !== undefined)?.messageStop?.stopReason).toBe(
      'guardrail_intervened',
    )
    await expect(of('truncated_event=2')).rejects.toThrow(/./)
  })
})
