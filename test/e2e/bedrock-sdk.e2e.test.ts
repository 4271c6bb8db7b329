// The SDK of AWS for Bedrock, with nothing but its endpoint and a bearer token changed, before backends of every vendor.
import {
  AccessDeniedException,
  BedrockRuntimeClient,
  type BedrockRuntimeClientConfig,
  ConverseCommand,
  type ConverseCommandInput,
  ConverseStreamCommand,
  type ContentBlock,
  type ContentBlockDeltaEvent,
  type ContentBlockStartEvent,
  type Message,
  ModelStreamErrorException,
  type ReasoningContentBlockDelta,
  ResourceNotFoundException,
  ThrottlingException,
  ValidationException,
} from '@aws-sdk/client-bedrock-runtime'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BACKENDS, faulty, startBackends, type BackendName, type Backends } from './backends.ts'

const KEY = 'hs_bedrock-client'
let backends: Backends
let client: BedrockRuntimeClient

const clientOf = (config: BedrockRuntimeClientConfig): BedrockRuntimeClient =>
  new BedrockRuntimeClient({
    region: 'eu-central-1',
    endpoint: backends.url,
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler(),
    ...config,
  })

beforeAll(async () => {
  backends = await startBackends(`
auth: { keys: [{ id: aws, key: ${KEY} }] }
`)
  client = clientOf({ token: { token: KEY }, authSchemePreference: ['httpBearerAuth'] })
}, 60_000)

afterAll(async () => {
  client?.destroy()
  await backends?.close()
})

const user = (...content: ContentBlock[]): Message => ({ role: 'user', content })
const FRANCE = user({ text: 'What is the capital of France?' })
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==',
  'base64',
)
const TOOLS: NonNullable<ConverseCommandInput['toolConfig']> = {
  tools: [
    {
      toolSpec: {
        name: 'get_weather',
        description: 'Weather',
        inputSchema: { json: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
      },
    },
  ],
}

const converse = (input: ConverseCommandInput) => client.send(new ConverseCommand(input))

interface Streamed {
  readonly content: ContentBlock[]
  stop: string
  tokens: number
  latencyMs: number
}

/** Put together by the index of its blocks, as programs do. */
async function stream(input: ConverseCommandInput): Promise<Streamed> {
  const { stream: events } = await client.send(new ConverseStreamCommand(input))
  const inputs: string[] = []
  const found: Streamed = { content: [], stop: '', tokens: 0, latencyMs: -1 }
  for await (const { contentBlockStart: start, contentBlockDelta: piece, messageStop, metadata } of events ?? []) {
    if (start !== undefined) begin(found.content, start)
    if (piece !== undefined) add(found.content, inputs, piece)
    if (messageStop !== undefined) found.stop = messageStop.stopReason ?? ''
    if (metadata === undefined) continue
    found.tokens = metadata.usage?.outputTokens ?? 0
    found.latencyMs = metadata.metrics?.latencyMs ?? -1
  }
  for (const [index, text] of inputs.entries()) {
    if (text === undefined) continue
    const toolUse = found.content[index]!.toolUse!
    found.content[index] = { toolUse: { ...toolUse, input: JSON.parse(text) as Record<string, string> } }
  }
  return found
}

function begin(content: ContentBlock[], { start, contentBlockIndex: index = 0 }: ContentBlockStartEvent): void {
  const use = start?.toolUse
  if (use !== undefined) content[index] = { toolUse: { toolUseId: use.toolUseId, name: use.name, input: {} } }
}

function add(
  content: ContentBlock[],
  inputs: string[],
  { delta, contentBlockIndex: index = 0 }: ContentBlockDeltaEvent,
): void {
  const thought = delta?.reasoningContent
  if (delta?.text !== undefined) content[index] = { text: (content[index]?.text ?? '') + delta.text }
  else if (delta?.toolUse !== undefined) inputs[index] = (inputs[index] ?? '') + (delta.toolUse.input ?? '')
  else if (thought?.redactedContent !== undefined)
    content[index] = { reasoningContent: { redactedContent: thought.redactedContent } }
  else if (thought !== undefined) content[index] = thinking(content[index], thought)
}

function thinking(block: ContentBlock | undefined, { text = '', signature }: ReasoningContentBlockDelta): ContentBlock {
  const { text: before = '', signature: signed = signature } = block?.reasoningContent?.reasoningText ?? {}
  const proof = signed === undefined ? {} : { signature: signed }
  return { reasoningContent: { reasoningText: { text: before + text, ...proof } } }
}

const textIn = (content: readonly ContentBlock[] | undefined): string =>
  (content ?? []).map((block) => block.text ?? '').join('')
const callIn = (content: readonly ContentBlock[] | undefined) => content?.find((block) => block.toolUse)?.toolUse

describe.each(Object.keys(BACKENDS) as BackendName[])('Bedrock SDK to %s', (backend) => {
  const modelId = BACKENDS[backend]

  it('answers and streams the same', async () => {
    const input = { modelId, messages: [FRANCE], system: [{ text: 'Be brief.' }], inferenceConfig: { maxTokens: 500 } }
    const whole = await converse(input)
    expect(textIn(whole.output?.message?.content)).toContain('Paris')
    expect(whole).toMatchObject({ stopReason: 'end_turn', output: { message: { role: 'assistant' } } })
    expect(whole.usage?.outputTokens).toBeGreaterThan(0)
    expect(whole.metrics?.latencyMs).toBeGreaterThanOrEqual(0)
    expect(whole.$metadata).toMatchObject({ httpStatusCode: 200, requestId: expect.any(String) as string })
    const streamed = await stream(input)
    expect(textIn(streamed.content)).toBe(textIn(whole.output?.message?.content))
    expect([streamed.stop, streamed.tokens]).toEqual(['end_turn', whole.usage?.outputTokens])
    expect(streamed.latencyMs).toBeGreaterThanOrEqual(0)
  })

  it.each([false, true])('calls a tool and takes its result, streamed: %s', async (streams) => {
    const question = user({ text: 'What is the weather in Oslo?' })
    const base = { modelId, toolConfig: TOOLS, inferenceConfig: { maxTokens: 3000 } }
    const ask = async (messages: Message[]): Promise<ContentBlock[]> =>
      streams
        ? (await stream({ ...base, messages })).content
        : ((await converse({ ...base, messages })).output?.message?.content ?? [])
    const content = await ask([question])
    const call = callIn(content)
    expect(call).toMatchObject({ name: 'get_weather', input: { city: 'Oslo' } })
    // Its own words go back as they came, with whatever signs them.
    const result = user({ toolResult: { toolUseId: call?.toolUseId, content: [{ json: { sky: 'sunny' } }] } })
    expect(textIn(await ask([question, { role: 'assistant', content }, result]))).toContain('sunny')
  })

  it('must call where it is told to', async () => {
    const asked = converse({
      modelId,
      messages: [user({ text: 'Hi, Oslo.' })],
      toolConfig: { ...TOOLS, toolChoice: { any: {} } },
    })
    if (backend === 'ollama') {
      // It has no word for it: nobody is given another answer than was asked for.
      await expect(asked).rejects.toBeInstanceOf(ValidationException)
      return
    }
    const { output, stopReason } = await asked
    expect([callIn(output?.message?.content)?.name, stopReason]).toEqual(['get_weather', 'tool_use'])
  })

  it('takes images', async () => {
    const image = { image: { format: 'png' as const, source: { bytes: PIXEL } } }
    const { output } = await converse({ modelId, messages: [user({ text: 'What is this?' }, image)] })
    expect(textIn(output?.message?.content)).toContain('I received')
  })

  it('makes output by a schema', async () => {
    const schema = JSON.stringify({
      type: 'object',
      properties: { name: { type: 'string' }, age: { type: 'integer' } },
      required: ['name', 'age'],
      additionalProperties: false,
    })
    const { output } = await converse({
      modelId,
      messages: [user({ text: 'Ada is 36 years old.' })],
      outputConfig: { textFormat: { type: 'json_schema', structure: { jsonSchema: { name: 'person', schema } } } },
    })
    expect(JSON.parse(textIn(output?.message?.content))).toMatchObject({ age: expect.any(Number) as number })
  })

  it('raises errors of its own classes, also in the middle of a stream', async () => {
    const ask = (fault: string) => converse({ modelId: faulty(backend, fault), messages: [FRANCE] })
    await expect(ask('rate_limit=seconds')).rejects.toBeInstanceOf(ThrottlingException)
    const refused: unknown = await ask('context_length').catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(ValidationException)
    expect((refused as ValidationException).message).not.toBe('')
    const broken: unknown = await stream({
      modelId: faulty(backend, 'interval=50~error_after=2'),
      messages: [FRANCE],
    }).catch((error: unknown) => error)
    expect(broken).toBeInstanceOf(Error)
    expect((broken as Error).name).toMatch(/Exception$/)
    if (backend !== 'bedrock') expect(broken).toBeInstanceOf(ModelStreamErrorException)
  })
})

describe.each(['anthropic', 'gemini', 'bedrock', 'openai', 'cohere'] as const)('reasoning from %s', (backend) => {
  it.each([false, true])('comes back with the next turn, streamed: %s', async (streams) => {
    const thinks = { openai: 'openai/o4-mini', cohere: 'cohere/command-a-reasoning-08-2025' }
    const modelId = backend in thinks ? thinks[backend as keyof typeof thinks] : BACKENDS[backend]
    const base = {
      modelId,
      inferenceConfig: { maxTokens: 4000 },
      additionalModelRequestFields: { thinking: { type: 'enabled', budget_tokens: 1500 } },
    }
    const messages = [user({ text: 'Think hard: what is 17 times 23?' })]
    const content = streams
      ? (await stream({ ...base, messages })).content
      : ((await converse({ ...base, messages })).output?.message?.content ?? [])
    const thought = content.find((block) => block.reasoningContent)?.reasoningContent
    if (backend !== 'openai') expect(thought?.reasoningText?.text ?? '').not.toBe('')
    if (backend === 'anthropic' || backend === 'bedrock') expect(thought?.reasoningText?.signature).toBeTruthy()
    const next = await converse({
      ...base,
      messages: [...messages, { role: 'assistant', content }, user({ text: 'And 18?' })],
    })
    expect(textIn(next.output?.message?.content)).not.toBe('')
  })
})

it('is refused by its own classes: another key, no such model, no key but a signature', async () => {
  const ask = (other: BedrockRuntimeClient, modelId: string): Promise<unknown> =>
    other.send(new ConverseCommand({ modelId, messages: [FRANCE] })).catch((error: unknown) => error)
  expect(await ask(client, 'no-such-model')).toBeInstanceOf(ResourceNotFoundException)
  const wrong = clientOf({ token: { token: 'hs_other' }, authSchemePreference: ['httpBearerAuth'] })
  expect(await ask(wrong, BACKENDS.openai)).toBeInstanceOf(AccessDeniedException)
  const signing = clientOf({ credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' } })
  const signed = await ask(signing, BACKENDS.openai)
  expect(signed).toBeInstanceOf(AccessDeniedException)
  expect((signed as AccessDeniedException).message).toContain('AWS_BEARER_TOKEN_BEDROCK')
  expect((signed as AccessDeniedException).$metadata.httpStatusCode).toBe(403)
  for (const one of [wrong, signing]) one.destroy()
})

it('needs no other transport than it has by itself', async () => {
  const own = new BedrockRuntimeClient({
    region: 'us-east-1',
    endpoint: backends.url,
    token: { token: KEY },
    authSchemePreference: ['httpBearerAuth'],
  })
  const { output } = await own.send(new ConverseCommand({ modelId: BACKENDS.anthropic, messages: [FRANCE] }))
  expect(textIn(output?.message?.content)).toContain('Paris')
  own.destroy()
})

it('guardrails are only Bedrock’s: elsewhere they are refused, there they pass', async () => {
  const guardrailConfig = { guardrailIdentifier: 'g', guardrailVersion: '1' }
  const refused: unknown = await converse({ modelId: BACKENDS.openai, messages: [FRANCE], guardrailConfig }).catch(
    (error: unknown) => error,
  )
  expect(refused).toBeInstanceOf(ValidationException)
  expect((refused as Error).message).toContain('guardrailConfig')
  const passed = await converse({ modelId: BACKENDS.bedrock, messages: [FRANCE], guardrailConfig })
  expect(textIn(passed.output?.message?.content)).toContain('Paris')
})
