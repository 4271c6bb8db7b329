// The AI SDK with its providers for OpenAI, Anthropic and Google, each before backends of every vendor.
import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogleGenerativeAI } from '@ai-sdk/google'
import { createOpenAI } from '@ai-sdk/openai'
import { APICallError, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from 'ai'
import type { LanguageModel } from 'ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { BACKENDS, faulty, startBackends, type BackendName, type Backends } from './backends.ts'

let backends: Backends

beforeAll(async () => {
  backends = await startBackends()
}, 60_000)

afterAll(() => backends?.close())

const key = { apiKey: 'sk-e2e' }
const CLIENTS: Readonly<Record<string, (name: string) => LanguageModel>> = {
  'openai chat': (name) => createOpenAI({ ...key, baseURL: `${backends.url}/v1` }).chat(name),
  'openai responses': (name) => createOpenAI({ ...key, baseURL: `${backends.url}/v1` }).responses(name),
  anthropic: (name) => createAnthropic({ ...key, baseURL: `${backends.url}/v1` })(name),
  google: (name) => createGoogleGenerativeAI({ ...key, baseURL: `${backends.url}/v1beta` })(name),
}
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const FRANCE = 'What is the capital of France?'

const weather = tool({
  description: 'Weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: ({ city }) => Promise.resolve(`sunny in ${city}, 21 degrees`),
})

const pairs = Object.keys(CLIENTS).flatMap((client) =>
  (Object.keys(BACKENDS) as BackendName[]).map((backend) => ({ client, backend })),
)

describe.each(pairs)('AI SDK, $client to $backend', ({ client, backend }) => {
  const model = () => CLIENTS[client]!(BACKENDS[backend])

  it('generates and streams the same, with usage', async () => {
    const asked = { prompt: FRANCE, system: 'Be brief.', maxOutputTokens: 2_000 }
    const { text, finishReason, usage, warnings } = await generateText({ model: model(), ...asked })
    expect(text).toContain('Paris')
    expect(finishReason).toBe('stop')
    expect(usage.inputTokens).toBeGreaterThan(0)
    expect(usage.outputTokens).toBeGreaterThan(0)
    expect(warnings ?? []).toEqual([])
    const result = streamText({ model: model(), ...asked })
    let streamed = ''
    for await (const piece of result.textStream) streamed += piece
    expect(streamed).toBe(text)
    expect((await result.usage).outputTokens).toBe(usage.outputTokens)
  })

  it.each([false, true])('runs tools over several steps (stream: %s)', async (stream) => {
    const request = {
      model: model(),
      tools: { get_weather: weather },
      stopWhen: stepCountIs(4),
      prompt: 'What is the weather in Oslo?',
    }
    const result = stream ? streamText(request) : await generateText(request)
    expect(await result.text).toContain('sunny in Oslo, 21 degrees')
    const steps = await result.steps
    expect(steps).toHaveLength(2)
    expect(steps[0]?.toolCalls[0]).toMatchObject({ toolName: 'get_weather', input: { city: 'Oslo' } })
  })

  it('makes objects, whole and in parts', async () => {
    const schema = z.object({ name: z.string(), age: z.number() })
    const asked = { model: model(), schema, prompt: 'Ada is 36 years old.' }
    if (client === 'anthropic' && backend === 'ollama') {
      // It forces a tool there, which Ollama cannot: nobody is told that it worked.
      await expect(generateObject(asked)).rejects.toThrow('tool_choice')
      return
    }
    const { object } = await generateObject(asked)
    expect(schema.parse(object)).toEqual(object)
    const result = streamObject(asked)
    for await (const partial of result.partialObjectStream) expect(partial).toBeTypeOf('object')
    expect(await result.object).toEqual(object)
  })

  it('shows an image', async () => {
    const { text } = await generateText({
      model: model(),
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this?' },
            { type: 'image', image: PIXEL, mediaType: 'image/png' },
          ],
        },
      ],
    })
    expect(text).toContain('I received')
  })

  it('raises mistakes and limits', async () => {
    const ask = (fault: string): Promise<unknown> =>
      generateText({ model: CLIENTS[client]!(faulty(backend, fault)), prompt: FRANCE, maxRetries: 0 }).catch(
        (error: unknown) => error,
      )
    const long = await ask('context_length')
    expect(APICallError.isInstance(long)).toBe(true)
    expect(long).toMatchObject({ statusCode: 400, isRetryable: false })
    expect(await ask('rate_limit=seconds')).toMatchObject({ statusCode: 429, isRetryable: true })
  })

  it('reports an error in the middle of a stream', async () => {
    const errors: unknown[] = []
    const result = streamText({
      model: CLIENTS[client]!(faulty(backend, 'interval=50~error_after=2')),
      prompt: FRANCE,
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    })
    let text = ''
    for await (const piece of result.textStream) text += piece
    expect(text).toMatch(/^The capital/)
    expect(errors.length).toBeGreaterThan(0)
  })
})

const THINKING: readonly (readonly [
  client: string,
  options: NonNullable<Parameters<typeof generateText>[0]['providerOptions']>,
])[] = [
  ['anthropic', { anthropic: { thinking: { type: 'enabled', budgetTokens: 2_000 } } }],
  ['google', { google: { thinkingConfig: { thinkingBudget: 2_000, includeThoughts: true } } }],
  ['openai responses', { openai: { reasoningEffort: 'medium', store: false, forceReasoning: true } }],
]
const thinkers = THINKING.flatMap(([client, providerOptions]) =>
  (['anthropic', 'bedrock', 'gemini', 'responses'] as const).map((backend) => ({ client, backend, providerOptions })),
)

it.each(thinkers)(
  'AI SDK, $client to $backend, thinks over several steps',
  async ({ client, backend, providerOptions }) => {
    const request = {
      model: CLIENTS[client]!(BACKENDS[backend]),
      tools: { get_weather: weather },
      stopWhen: stepCountIs(4),
      maxOutputTokens: 20_000,
      prompt: 'What is the weather in Oslo?',
      providerOptions,
      maxRetries: 0,
    }
    for (const stream of [false, true]) {
      const result = stream ? streamText(request) : await generateText(request)
      expect(await result.text).toContain('sunny in Oslo')
      expect((await result.steps)[0]?.reasoning.length).toBeGreaterThan(0)
    }
  },
)
