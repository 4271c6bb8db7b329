// Ollama's SDK before backends of every vendor; the SDKs of Cohere and AWS, whose dialects are only passed on, before theirs;
// and limits as Anthropic's SDK hears of them.
import Anthropic from '@anthropic-ai/sdk'
import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  ThrottlingException,
  ValidationException,
} from '@aws-sdk/client-bedrock-runtime'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { CohereClientV2, CohereError } from 'cohere-ai'
import { Ollama } from 'ollama'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BACKENDS, faulty, startBackends, type BackendName, type Backends } from './backends.ts'

let backends: Backends

beforeAll(async () => {
  backends = await startBackends()
}, 60_000)

afterAll(() => backends?.close())

const FRANCE = [{ role: 'user', content: 'What is the capital of France?' }]
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const PERSON = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
}

describe.each(Object.keys(BACKENDS) as BackendName[])('Ollama SDK to %s', (backend) => {
  const model = BACKENDS[backend]
  const client = () => new Ollama({ host: backends.url })

  it('answers and streams the same', async () => {
    const whole = await client().chat({ model, messages: FRANCE })
    expect(whole).toMatchObject({ done: true, done_reason: 'stop', message: { role: 'assistant' } })
    expect(whole.message.content).toContain('Paris')
    expect(whole.eval_count).toBeGreaterThan(0)
    let text = ''
    let done = false
    for await (const part of await client().chat({ model, messages: FRANCE, stream: true })) {
      text += part.message.content
      done = part.done
    }
    expect([text, done]).toEqual([whole.message.content, true])
  })

  it('calls a tool and takes its result', async () => {
    const { properties } = { properties: { city: { type: 'string', description: 'where' } } }
    const parameters = { type: 'object', properties, required: ['city'] }
    const tools = [{ type: 'function', function: { name: 'get_weather', description: 'Weather', parameters } }]
    const messages = [{ role: 'user', content: 'What is the weather in Oslo?' }]
    const { message } = await client().chat({ model, messages, tools })
    expect(message.tool_calls?.[0]?.function).toMatchObject({ name: 'get_weather', arguments: { city: 'Oslo' } })
    const result = { role: 'tool', tool_name: 'get_weather', content: 'sunny' }
    const answer = await client().chat({ model, messages: [...messages, message, result], tools })
    expect(answer.message.content).toContain('sunny')
  })

  it('makes output by a schema, and takes images', async () => {
    const shaped = await client().chat({
      model,
      messages: [{ role: 'user', content: 'Ada is 36 years old.' }],
      format: PERSON,
    })
    expect(JSON.parse(shaped.message.content)).toMatchObject({ age: expect.any(Number) })
    const seen = await client().chat({ model, messages: [{ role: 'user', content: 'What is this?', images: [PIXEL] }] })
    expect(seen.message.content).toContain('I received')
  })

  it('raises errors with their status, also in the middle of a stream', async () => {
    const ask = (fault: string) => client().chat({ model: faulty(backend, fault), messages: FRANCE })
    await expect(ask('rate_limit=seconds')).rejects.toMatchObject({ name: 'ResponseError', status_code: 429 })
    await expect(ask('context_length')).rejects.toMatchObject({ status_code: 400 })
    const read = async (): Promise<void> => {
      const stream = await client().chat({
        model: faulty(backend, 'interval=50~error_after=2'),
        messages: FRANCE,
        stream: true,
      })
      for await (const part of stream) expect(part.message.content).toBeTypeOf('string')
    }
    await expect(read()).rejects.toThrow(/\S/)
  })
})

it('passes the SDK of Cohere on to Cohere', async () => {
  const environment = `${backends.url}/passthrough/cohere`
  const client = new CohereClientV2({ token: 'sk-e2e', environment, maxRetries: 0 })
  const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }]
  const answer = await client.chat({ model: 'command-a-03-2025', messages })
  expect(JSON.stringify(answer.message.content)).toContain('Paris')
  let text = ''
  for await (const event of await client.chatStream({ model: 'command-a-03-2025', messages }))
    if (event.type === 'content-delta') text += event.delta?.message?.content?.text ?? ''
  expect(text).toContain('Paris')
  await expect(client.chat({ model: 'command-a-03-2025~context_length', messages })).rejects.toBeInstanceOf(CohereError)
})

it('passes the SDK of AWS on to Bedrock', async () => {
  const client = new BedrockRuntimeClient({
    region: 'eu-central-1',
    endpoint: `${backends.url}/passthrough/bedrock`,
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler(),
  })
  const input = (modelId: string) => ({
    modelId,
    messages: [{ role: 'user' as const, content: [{ text: 'What is the capital of France?' }] }],
  })
  const model = BACKENDS.bedrock.slice('bedrock/'.length)
  const whole = await client.send(new ConverseCommand(input(model)))
  expect(whole.output?.message?.content?.[0]?.text).toContain('Paris')
  const { stream } = await client.send(new ConverseStreamCommand(input(model)))
  let text = ''
  for await (const event of stream ?? []) text += event.contentBlockDelta?.delta?.text ?? ''
  expect(text).toBe(whole.output?.message?.content?.[0]?.text)
  await expect(client.send(new ConverseCommand(input(`${model}~context_length`)))).rejects.toBeInstanceOf(
    ValidationException,
  )
  await expect(client.send(new ConverseCommand(input(`${model}~rate_limit`)))).rejects.toBeInstanceOf(
    ThrottlingException,
  )
  client.destroy()
})

it('tells clients of the Messages API of limits under Anthropic’s names', async () => {
  const own = await startBackends('limits: { all: { per: [], rules: [{ requests: 2, per: 1m }] } }')
  try {
    const client = new Anthropic({ baseURL: own.url, apiKey: 'sk-e2e', maxRetries: 0 })
    const ask = (model: string) =>
      client.messages.create({ model, max_tokens: 100, messages: [{ role: 'user', content: 'hi' }] }).withResponse()
    const { response } = await ask(BACKENDS.openai)
    expect(response.headers.get('anthropic-ratelimit-requests-limit')).toBe('2')
    expect(response.headers.get('anthropic-ratelimit-requests-remaining')).toBe('1')
    expect(response.headers.get('anthropic-ratelimit-requests-reset')).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    expect(response.headers.get('x-ratelimit-limit-requests')).toBeNull()
    await ask(BACKENDS.anthropic)
    const refused: unknown = await ask(BACKENDS.gemini).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(Anthropic.RateLimitError)
    const { headers } = refused as InstanceType<typeof Anthropic.RateLimitError>
    expect(headers.get('anthropic-ratelimit-requests-remaining')).toBe('0')
    expect(headers.get('retry-after')).toMatch(/^\d+$/)
    expect(headers.get('request-id')).toEqual(expect.any(String))
  } finally {
    await own.close()
  }
})
