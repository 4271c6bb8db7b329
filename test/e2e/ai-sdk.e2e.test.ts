import { createOpenAI } from '@ai-sdk/openai'
import {
  APICallError,
  cosineSimilarity,
  embedMany,
  generateObject,
  generateText,
  stepCountIs,
  streamObject,
  streamText,
  tool,
} from 'ai'
import type { LanguageModel } from 'ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import type { Gateway } from './support.ts'
import { startGateway } from './support.ts'

let gateway: Gateway
let provider: ReturnType<typeof createOpenAI>

beforeAll(async () => {
  gateway = await startGateway()
  provider = createOpenAI({ baseURL: gateway.url, apiKey: 'sk-e2e' })
})

afterAll(() => gateway?.stop())

const MODEL = 'gpt-4o-mini'

/** Both wire formats that the SDK speaks to an OpenAI endpoint. */
const FORMATS: readonly [string, (name?: string) => LanguageModel][] = [
  ['chat completions', (name = MODEL) => provider.chat(name)],
  ['responses', (name = MODEL) => provider.responses(name)],
]

const weather = tool({
  description: 'Weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: ({ city }) => Promise.resolve(`sunny in ${city}, 21 degrees`),
})

describe.each(FORMATS)('AI SDK over %s', (_, model) => {
  it('generates text with usage', async () => {
    const { text, finishReason, usage } = await generateText({
      model: model(),
      prompt: 'What is the capital of France?',
    })
    expect(text).toContain('Paris')
    expect(finishReason).toBe('stop')
    expect(usage.inputTokens).toBeGreaterThan(0)
    expect(usage.outputTokens).toBeGreaterThan(0)
  })

  it('streams text that is the same as whole', async () => {
    const prompt = 'Tell me about looms'
    const { text } = await generateText({ model: model(), prompt })
    const result = streamText({ model: model(), prompt })
    const pieces: string[] = []
    for await (const piece of result.textStream) pieces.push(piece)
    expect(pieces.join('')).toBe(text)
    expect(pieces.length).toBeGreaterThan(5)
    expect((await result.usage).outputTokens).toBeGreaterThan(5)
  })

  it('runs tools over several steps', async () => {
    const request = {
      model: model(),
      tools: { get_weather: weather },
      stopWhen: stepCountIs(4),
      prompt: 'What is the weather in Oslo?',
    }
    const result = await generateText(request)
    expect(result.steps).toHaveLength(2)
    expect(result.steps[0]?.toolCalls[0]).toMatchObject({ toolName: 'get_weather', input: { city: 'Oslo' } })
    expect(result.text).toContain('sunny in Oslo, 21 degrees')
    const streamed = streamText(request)
    await streamed.consumeStream()
    expect(await streamed.text).toBe(result.text)
  })

  it('obeys toolChoice', async () => {
    const tools = { get_weather: weather }
    const forced = await generateText({ model: model(), tools, toolChoice: 'required', prompt: 'Hello' })
    expect(forced.toolCalls).toHaveLength(1)
    const none = await generateText({
      model: model(),
      tools,
      toolChoice: 'none',
      prompt: 'What is the weather in Oslo?',
    })
    expect(none.toolCalls).toHaveLength(0)
  })

  it('makes objects, whole and in parts', async () => {
    const schema = z.object({
      title: z.string(),
      rating: z.number().min(1).max(5),
      tags: z.array(z.enum(['warm', 'cold'])).min(1),
    })
    const { object } = await generateObject({ model: model(), schema, prompt: 'Describe a blanket' })
    expect(schema.parse(object)).toEqual(object)
    const result = streamObject({ model: model(), schema, prompt: 'Describe a blanket' })
    let partials = 0
    for await (const partial of result.partialObjectStream) {
      expect(typeof partial).toBe('object')
      partials++
    }
    expect(partials).toBeGreaterThan(1)
    expect(await result.object).toEqual(object)
  })

  it('reports reasoning tokens', async () => {
    const { usage } = await generateText({ model: model('o4-mini'), prompt: 'Hi' })
    expect(usage.outputTokenDetails.reasoningTokens).toBeGreaterThan(0)
  })

  it('raises a mistake with its status and body', async () => {
    const failing = generateText({ model: model(`${MODEL}~context_length`), prompt: 'Hi', maxRetries: 0 })
    const error: unknown = await failing.catch((thrown: unknown) => thrown)
    expect(APICallError.isInstance(error)).toBe(true)
    expect(error).toMatchObject({
      statusCode: 400,
      isRetryable: false,
      responseBody: expect.stringContaining('context_length_exceeded'),
    })
  })

  it('reports an error in the middle of a stream', async () => {
    const errors: unknown[] = []
    const result = streamText({
      model: model(`${MODEL}~interval=50~error_after=2`),
      prompt: 'Tell me about looms',
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    })
    let text = ''
    for await (const piece of result.textStream) text += piece
    expect(errors).toHaveLength(1)
    expect(text.length).toBeGreaterThan(3)
  })
})

describe('AI SDK embeddings', () => {
  it('puts similar texts close together', async () => {
    const values = ['How do I reset my password?', 'how can I reset the password', 'Best pizza in Naples']
    const { embeddings, usage } = await embedMany({ model: provider.embedding('text-embedding-3-small'), values })
    const [asked, same, other] = embeddings
    if (asked === undefined || same === undefined || other === undefined) return expect.unreachable()
    expect(cosineSimilarity(asked, same)).toBeGreaterThan(cosineSimilarity(asked, other) + 0.2)
    expect(usage.tokens).toBeGreaterThan(0)
  })
})
