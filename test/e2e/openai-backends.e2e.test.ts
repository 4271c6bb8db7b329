// OpenAI's own SDK, with each of its dialects, before backends of every vendor.
import OpenAI from 'openai'
import { zodFunction, zodResponseFormat, zodTextFormat } from 'openai/helpers/zod'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { BACKENDS, faulty, startBackends, type BackendName, type Backends } from './backends.ts'

let backends: Backends
let client: OpenAI

beforeAll(async () => {
  backends = await startBackends()
  client = new OpenAI({ baseURL: `${backends.url}/v1`, apiKey: 'sk-e2e', maxRetries: 0 })
}, 60_000)

afterAll(() => backends?.close())

const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const FRANCE = [{ role: 'user' as const, content: 'What is the capital of France?' }]
const ALL = Object.keys(BACKENDS) as BackendName[]
const Person = z.object({ name: z.string(), age: z.number().int() })

const weather = {
  name: 'get_weather',
  description: 'Weather of a city',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
}

const failure = async (promise: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> => {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (error instanceof OpenAI.APIError) return error
  throw new Error(`no error of the API: ${String(error)}`)
}

describe.each(ALL)('chat to %s', (backend) => {
  const model = BACKENDS[backend]

  it('answers and streams the same, with usage', async () => {
    const whole = await client.chat.completions.create({ model, messages: FRANCE })
    expect(whole.choices[0]).toMatchObject({ finish_reason: 'stop', message: { role: 'assistant' } })
    expect(whole.choices[0]?.message.content).toContain('Paris')
    expect(whole.usage?.total_tokens).toBe((whole.usage?.prompt_tokens ?? 0) + (whole.usage?.completion_tokens ?? 0))
    expect(whole._request_id).toEqual(expect.any(String))
    const final = await client.chat.completions
      .stream({ model, messages: FRANCE, stream_options: { include_usage: true } })
      .finalChatCompletion()
    expect(final.choices[0]?.message.content).toBe(whole.choices[0]?.message.content)
    expect(final.usage?.completion_tokens).toBe(whole.usage?.completion_tokens)
  })

  it.each([false, true])('runs tools to the end (stream: %s)', async (stream) => {
    const seen: unknown[] = []
    const tools = [
      zodFunction({
        name: 'get_weather',
        parameters: z.object({ city: z.string() }),
        function: (args) => {
          seen.push(args)
          return 'sunny, 21 degrees'
        },
      }),
    ]
    const messages = [{ role: 'user' as const, content: 'What is the weather in Oslo?' }]
    const text = stream
      ? await client.chat.completions.runTools({ model, messages, tools, stream: true }).finalContent()
      : await client.chat.completions.runTools({ model, messages, tools }).finalContent()
    expect(seen).toEqual([{ city: 'Oslo' }])
    expect(text).toContain('sunny, 21 degrees')
  })

  it('parses output by a schema, whole and streamed', async () => {
    const request = {
      model,
      messages: [{ role: 'user' as const, content: 'Ada is 36 years old.' }],
      response_format: zodResponseFormat(Person, 'person'),
    }
    const parsed = (await client.chat.completions.parse(request)).choices[0]?.message.parsed
    expect(Person.parse(parsed)).toEqual(parsed)
    const streamed = await client.chat.completions.stream(request).finalChatCompletion()
    expect(streamed.choices[0]?.message.parsed).toEqual(parsed)
  })

  it('shows an image', async () => {
    const answer = await client.chat.completions.create({
      model,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is on this picture?' },
            { type: 'image_url', image_url: { url: PIXEL } },
          ],
        },
      ],
    })
    expect(answer.choices[0]?.message.content).toContain('I received')
  })

  it('raises the classes of the SDK', async () => {
    const ask = (fault: string) =>
      failure(client.chat.completions.create({ model: faulty(backend, fault), messages: FRANCE }))
    const limited = await ask('rate_limit=seconds')
    expect(limited).toBeInstanceOf(OpenAI.RateLimitError)
    expect(limited.headers?.get('retry-after')).toMatch(/^\d+$/)
    expect(await ask('context_length')).toMatchObject({ status: 400, code: 'context_length_exceeded' })
    expect(await ask('status=503')).toBeInstanceOf(OpenAI.InternalServerError)
    const messages = [{ role: 'user', content: [{ type: 'image_url' }] }] as never
    expect(await failure(client.chat.completions.create({ model, messages }))).toBeInstanceOf(OpenAI.BadRequestError)
  })

  it('raises an error in the middle of a stream after what came before', async () => {
    const stream = await client.chat.completions.create({
      model: faulty(backend, 'interval=50~error_after=2'),
      messages: FRANCE,
      stream: true,
    })
    let text = ''
    const read = async (): Promise<void> => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
    }
    await expect(read()).rejects.toBeInstanceOf(OpenAI.APIError)
    expect(text).toMatch(/^The capital/)
  })
})

describe.each(ALL)('responses to %s', (backend) => {
  const model = BACKENDS[backend]

  it('answers and streams the same, with usage', async () => {
    const whole = await client.responses.create({ model, input: 'What is the capital of France?', store: false })
    expect(whole.output_text).toContain('Paris')
    expect(whole.status).toBe('completed')
    expect(whole.usage?.total_tokens).toBeGreaterThan(5)
    const stream = client.responses.stream({ model, input: 'What is the capital of France?', store: false })
    const types: string[] = []
    for await (const event of stream) types.push(event.type)
    expect(types[0]).toBe('response.created')
    expect(types.at(-1)).toBe('response.completed')
    expect((await stream.finalResponse()).output_text).toBe(whole.output_text)
  })

  it('calls a function and takes its result', async () => {
    const tools = [{ type: 'function' as const, ...weather, strict: true }]
    const question = { role: 'user' as const, content: 'What is the weather in Oslo?' }
    const called = await client.responses.create({ model, input: [question], tools, store: false })
    const call = called.output.find((item) => item.type === 'function_call')
    if (call?.type !== 'function_call') return expect.unreachable(JSON.stringify(called.output))
    expect(JSON.parse(call.arguments)).toEqual({ city: 'Oslo' })
    const streamed = await client.responses.stream({ model, input: [question], tools, store: false }).finalResponse()
    expect(streamed.output.find((item) => item.type === 'function_call')).toMatchObject({ name: 'get_weather' })
    const answer = await client.responses.create({
      model,
      input: [
        question,
        ...(called.output as OpenAI.Responses.ResponseInputItem[]),
        { type: 'function_call_output', call_id: call.call_id, output: 'sunny' },
      ],
      tools,
      store: false,
      include: ['reasoning.encrypted_content'],
    })
    expect(answer.output_text).toContain('sunny')
  })

  it('parses output by a schema', async () => {
    const request = {
      model,
      input: 'Ada is 36 years old.',
      text: { format: zodTextFormat(Person, 'person') },
      store: false,
    }
    const { output_parsed: parsed } = await client.responses.parse(request)
    expect(Person.parse(parsed)).toEqual(parsed)
    expect((await client.responses.stream(request).finalResponse()).output_parsed).toEqual(parsed)
  })

  it('shows an image', async () => {
    const answer = await client.responses.create({
      model,
      store: false,
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'What is on this picture?' },
            { type: 'input_image', image_url: PIXEL, detail: 'auto' },
          ],
        },
      ],
    })
    expect(answer.output_text).toContain('I received')
  })

  it('raises errors, also in the middle of a stream', async () => {
    const input = 'What is the capital of France?'
    const ask = (fault: string) =>
      failure(client.responses.create({ model: faulty(backend, fault), input, store: false }))
    expect(await ask('rate_limit=seconds')).toBeInstanceOf(OpenAI.RateLimitError)
    expect(await ask('context_length')).toBeInstanceOf(OpenAI.BadRequestError)
    const stream = await client.responses.create({
      model: faulty(backend, 'interval=50~error_after=2'),
      input,
      store: false,
      stream: true,
    })
    let text = ''
    const types: string[] = []
    const read = async (): Promise<void> => {
      for await (const event of stream) {
        types.push(event.type)
        if (event.type === 'response.output_text.delta') text += event.delta
      }
    }
    const error: unknown = await read().catch((thrown: unknown) => thrown)
    expect(text).toMatch(/^The capital/)
    // The SDK itself raises some errors of streams, and hands others on as events.
    if (error === undefined) expect(types.at(-1)).toMatch(/^(?:error|response\.failed)$/)
    else expect(error).toBeInstanceOf(OpenAI.APIError)
    expect(types).not.toContain('response.completed')
  })
})

describe.each(['openai', 'anthropic', 'gemini', 'bedrock'] as const)('legacy completions to %s', (backend) => {
  it('complete a prompt, whole and streamed', async () => {
    const request = { model: BACKENDS[backend], prompt: 'What is the capital of France?', max_tokens: 200 }
    const whole = await client.completions.create(request)
    expect(whole.choices[0]?.text).toContain('Paris')
    let text = ''
    for await (const chunk of await client.completions.create({ ...request, stream: true }))
      text += chunk.choices[0]?.text ?? ''
    expect(text).toBe(whole.choices[0]?.text)
  })
})

describe('embeddings', () => {
  it.each([
    'openai/text-embedding-3-small',
    'gemini/gemini-embedding-001',
    'ollama/nomic-embed-text',
    'cohere/embed-v4.0',
  ])('of %s', async (model) => {
    const input = ['How do I reset my password?', 'Best pizza in Naples']
    const { data, usage } = await client.embeddings.create({ model, input })
    expect(data.map(({ index }) => index)).toEqual([0, 1])
    expect(data[0]?.embedding.length).toBeGreaterThan(10)
    // Google does not count them.
    if (!model.startsWith('gemini')) expect(usage.prompt_tokens).toBeGreaterThan(0)
    const one = await client.embeddings.create({ model, input: input[1]!, encoding_format: 'float' })
    expect(one.data[0]?.embedding[0]).toBeCloseTo(data[1]!.embedding[0]!, 5)
  })
})

it('is told of a model that there is not', async () => {
  const error = await failure(client.chat.completions.create({ model: 'no-such-model', messages: FRANCE }))
  expect(error).toBeInstanceOf(OpenAI.NotFoundError)
  expect(error.code).toBe('model_not_found')
})
