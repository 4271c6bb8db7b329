// Anthropic's own SDK, with its own dialect, before backends of every vendor.
import Anthropic from '@anthropic-ai/sdk'
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { BACKENDS, faulty, startBackends, type BackendName, type Backends } from './backends.ts'

let backends: Backends
let client: Anthropic

beforeAll(async () => {
  backends = await startBackends()
  client = new Anthropic({ baseURL: backends.url, apiKey: 'sk-e2e', maxRetries: 0 })
}, 60_000)

afterAll(() => backends?.close())

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const FRANCE = [{ role: 'user' as const, content: 'What is the capital of France?' }]
const ALL = Object.keys(BACKENDS) as BackendName[]

const weather: Anthropic.Tool = {
  name: 'get_weather',
  description: 'Weather of a city',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}

const textOf = (content: readonly Anthropic.ContentBlock[]): string =>
  content.map((block) => (block.type === 'text' ? block.text : '')).join('')

describe.each(ALL)('Anthropic SDK to %s', (backend) => {
  const model = BACKENDS[backend]

  it('answers, with usage', async () => {
    const answer = await client.messages.create({ model, max_tokens: 400, system: 'Be brief.', messages: FRANCE })
    expect(textOf(answer.content)).toContain('Paris')
    expect(answer).toMatchObject({ type: 'message', role: 'assistant', stop_reason: 'end_turn' })
    // Where nothing is translated, the model's name is the backend's.
    expect(answer.model).toBe(backend === 'anthropic' ? 'claude-opus-4-5' : model)
    expect(answer.usage.input_tokens).toBeGreaterThan(0)
    expect(answer.usage.output_tokens).toBeGreaterThan(0)
    expect(answer._request_id).toEqual(expect.any(String))
  })

  it('streams the same', async () => {
    const request = { model, max_tokens: 400, messages: [{ role: 'user' as const, content: 'Tell me about looms' }] }
    const whole = await client.messages.create(request)
    const pieces: string[] = []
    const stream = client.messages.stream(request).on('text', (piece) => void pieces.push(piece))
    const final = await stream.finalMessage()
    expect(textOf(final.content)).toBe(textOf(whole.content))
    expect(pieces.join('')).toBe(textOf(whole.content))
    expect(pieces.length).toBeGreaterThan(5)
    expect(final.stop_reason).toBe('end_turn')
    expect(final.usage).toMatchObject({
      input_tokens: whole.usage.input_tokens,
      output_tokens: whole.usage.output_tokens,
    })
  })

  it('calls a tool and takes its result', async () => {
    const question: Anthropic.MessageParam = { role: 'user', content: 'What is the weather in Oslo?' }
    const request = { model, max_tokens: 400, tools: [weather] }
    const called = await client.messages.create({ ...request, messages: [question] })
    expect(called.stop_reason).toBe('tool_use')
    const use = called.content.find((block) => block.type === 'tool_use')
    expect(use).toMatchObject({ name: 'get_weather', input: { city: 'Oslo' } })
    const streamed = await client.messages.stream({ ...request, messages: [question] }).finalMessage()
    expect(streamed.content.find((block) => block.type === 'tool_use')?.input).toEqual({ city: 'Oslo' })
    const answer = await client.messages.create({
      ...request,
      messages: [
        question,
        { role: 'assistant', content: called.content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: use!.id, content: 'sunny, 21 degrees' }] },
      ],
    })
    expect(textOf(answer.content)).toContain('sunny, 21 degrees')
  })

  it.each([false, true])('runs the tool runner to the end (stream: %s)', async (stream) => {
    const seen: unknown[] = []
    const tool = betaZodTool({
      name: 'get_weather',
      description: 'Weather of a city',
      inputSchema: z.object({ city: z.string() }),
      run: (input) => {
        seen.push(input)
        return 'sunny, 21 degrees'
      },
    })
    const runner = client.beta.messages.toolRunner({
      model,
      max_tokens: 400,
      stream,
      tools: [tool],
      messages: [{ role: 'user', content: 'What is the weather in Oslo?' }],
    })
    const final = await runner.runUntilDone()
    expect(seen).toEqual([{ city: 'Oslo' }])
    expect(JSON.stringify(final.content)).toContain('sunny, 21 degrees')
  })

  it('says what of a choice of tools can be had', async () => {
    const request = {
      model,
      max_tokens: 400,
      tools: [weather],
      messages: [{ role: 'user' as const, content: 'Hello' }],
    }
    const answer = client.messages.create({ ...request, tool_choice: { type: 'tool', name: 'get_weather' } })
    if (backend === 'ollama') await expect(answer).rejects.toBeInstanceOf(Anthropic.BadRequestError)
    else
      expect((await answer).content.find((block) => block.type === 'tool_use')).toMatchObject({ name: 'get_weather' })
  })

  it('makes output by a schema', async () => {
    const schema = {
      type: 'object',
      properties: { name: { type: 'string' }, age: { type: 'integer' } },
      required: ['name', 'age'],
      additionalProperties: false,
    }
    const answer = await client.messages.create({
      model,
      max_tokens: 400,
      messages: [{ role: 'user', content: 'Ada is 36 years old.' }],
      output_config: { format: { type: 'json_schema', schema } },
    })
    expect(JSON.parse(textOf(answer.content))).toEqual({ name: expect.any(String), age: expect.any(Number) })
  })

  it('shows an image', async () => {
    const answer = await client.messages.create({
      model,
      max_tokens: 400,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } },
            { type: 'text', text: 'What is on this picture?' },
          ],
        },
      ],
    })
    expect(textOf(answer.content)).toContain('I received')
  })

  it('raises its own error classes', async () => {
    const failing = (fault: string, more: Partial<Anthropic.MessageCreateParamsNonStreaming> = {}): Promise<unknown> =>
      client.messages
        .create({ model: faulty(backend, fault), max_tokens: 400, messages: FRANCE, ...more })
        .catch((error: unknown) => error)
    const limited = await failing('rate_limit=seconds')
    expect(limited).toBeInstanceOf(Anthropic.RateLimitError)
    expect((limited as InstanceType<typeof Anthropic.APIError>).headers?.get('retry-after')).toMatch(/^\d+$/)
    expect(limited).toMatchObject({ error: { type: 'error', error: { type: 'rate_limit_error' } } })
    const long = await failing('context_length')
    expect(long).toBeInstanceOf(Anthropic.BadRequestError)
    expect(long).toMatchObject({ error: { error: { type: 'invalid_request_error' } } })
    expect(await failing('status=503')).toBeInstanceOf(Anthropic.InternalServerError)
  })

  it('raises an error in the middle of a stream', async () => {
    let text = ''
    const stream = client.messages
      .stream({ model: faulty(backend, 'interval=50~error_after=2'), max_tokens: 400, messages: FRANCE })
      .on('text', (piece) => void (text += piece))
    await expect(stream.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIError)
    expect(text).toMatch(/^The capital/)
  })

  it('counts tokens', async () => {
    const { input_tokens: tokens } = await client.messages.countTokens({ model, messages: FRANCE })
    expect(tokens).toBeGreaterThan(5)
    expect(tokens).toBeLessThan(40)
  })
})

describe('Anthropic SDK', () => {
  it('is told of a model that there is not', async () => {
    const failing = client.messages.create({ model: 'no-such-model', max_tokens: 40, messages: FRANCE })
    const error: unknown = await failing.catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Anthropic.NotFoundError)
    expect(error).toMatchObject({ error: { type: 'error', error: { type: 'not_found_error' } } })
  })

  it('is told of what it says wrongly', async () => {
    const messages = [{ role: 'user', content: [{ type: 'image' }] }] as unknown as Anthropic.MessageParam[]
    for (const backend of ['anthropic', 'openai', 'gemini'] as const)
      await expect(
        client.messages.create({ model: BACKENDS[backend], max_tokens: 40, messages }),
      ).rejects.toBeInstanceOf(Anthropic.BadRequestError)
  })

  it('lists the models', async () => {
    const own = await startBackends('  brief: anthropic/claude-opus-4-5')
    try {
      const page = await new Anthropic({ baseURL: own.url, apiKey: 'sk-e2e' }).models.list()
      expect(page.data.find(({ id }) => id === 'brief')).toMatchObject({ type: 'model' })
    } finally {
      await own.close()
    }
  })

  it.each(['anthropic', 'bedrock', 'gemini', 'responses'] as const)(
    'shows the thinking of %s, and brings it back with its proof',
    async (backend) => {
      const request = {
        model: BACKENDS[backend],
        max_tokens: 20_000,
        thinking: { type: 'enabled' as const, budget_tokens: 2_000 },
        tools: [weather],
      }
      const question: Anthropic.MessageParam = { role: 'user', content: 'What is the weather in Oslo?' }
      const called = await client.messages.stream({ ...request, messages: [question] }).finalMessage()
      const use = called.content.find((block) => block.type === 'tool_use')
      expect(called.content[0]?.type).toMatch(/thinking/)
      const { data: answer, response } = await client.messages
        .create({
          ...request,
          messages: [
            question,
            { role: 'assistant', content: called.content },
            { role: 'user', content: [{ type: 'tool_result', tool_use_id: use!.id, content: 'sunny' }] },
          ],
        })
        .withResponse()
      expect(textOf(answer.content)).toContain('sunny')
      expect(response.headers.get('x-heddle-dropped') ?? '').not.toContain('reasoning')
    },
  )
})
