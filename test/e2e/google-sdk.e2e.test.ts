// Google's own SDK, with its own dialect, before backends of every vendor.
import { ApiError, FunctionCallingConfigMode, GoogleGenAI, Type, type FunctionDeclaration } from '@google/genai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BACKENDS, faulty, startBackends, type BackendName, type Backends } from './backends.ts'

let backends: Backends
let client: GoogleGenAI

beforeAll(async () => {
  backends = await startBackends()
  client = new GoogleGenAI({ apiKey: 'sk-e2e', httpOptions: { baseUrl: backends.url } })
}, 60_000)

afterAll(() => backends?.close())

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const FRANCE = 'What is the capital of France?'
const ALL = Object.keys(BACKENDS) as BackendName[]

const weather: FunctionDeclaration = {
  name: 'get_weather',
  description: 'Weather of a city',
  parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ['city'] },
}

describe.each(ALL)('Google SDK to %s', (backend) => {
  const model = BACKENDS[backend]

  it('answers and streams the same, with usage', async () => {
    const contents = 'Tell me about looms'
    const whole = await client.models.generateContent({ model, contents, config: { systemInstruction: 'Be brief.' } })
    expect(whole.text?.length).toBeGreaterThan(20)
    expect(whole.candidates?.[0]?.finishReason).toBe('STOP')
    expect(whole.usageMetadata?.promptTokenCount).toBeGreaterThan(0)
    expect(whole.usageMetadata?.candidatesTokenCount).toBeGreaterThan(0)
    let text = ''
    let pieces = 0
    let finish: string | undefined
    const config = { systemInstruction: 'Be brief.' }
    for await (const chunk of await client.models.generateContentStream({ model, contents, config })) {
      text += chunk.text ?? ''
      finish = chunk.candidates?.[0]?.finishReason ?? finish
      pieces++
    }
    expect(text).toBe(whole.text)
    expect(pieces).toBeGreaterThan(4)
    expect(finish).toBe('STOP')
  })

  it('has a chat that remembers', async () => {
    const chat = client.chats.create({ model })
    await chat.sendMessage({ message: 'My name is Ada.' })
    let text = ''
    for await (const chunk of await chat.sendMessageStream({ message: 'What is my name?' })) text += chunk.text ?? ''
    expect(text).toContain('Ada')
    expect(new Set(chat.getHistory().map(({ role }) => role))).toEqual(new Set(['user', 'model']))
  })

  it('calls a function and takes its result', async () => {
    const config = { tools: [{ functionDeclarations: [weather] }] }
    const question = { role: 'user', parts: [{ text: 'What is the weather in Oslo?' }] }
    const called = await client.models.generateContent({ model, contents: [question], config })
    const call = called.functionCalls?.[0]
    expect(call).toMatchObject({ name: 'get_weather', args: { city: 'Oslo' } })
    const answer = await client.models.generateContent({
      model,
      config,
      contents: [
        question,
        called.candidates![0]!.content!,
        {
          role: 'user',
          parts: [
            {
              functionResponse: {
                ...(call?.id === undefined ? {} : { id: call.id }),
                name: 'get_weather',
                response: { output: 'sunny, 21 degrees' },
              },
            },
          ],
        },
      ],
    })
    expect(answer.text).toContain('sunny, 21 degrees')
  })

  it('calls functions by itself', async () => {
    const seen: unknown[] = []
    const answer = await client.models.generateContent({
      model,
      contents: 'What is the weather in Oslo?',
      config: {
        tools: [
          {
            tool: () => Promise.resolve({ functionDeclarations: [weather] }),
            callTool: (calls) => {
              seen.push(...calls.map(({ args }) => args))
              return Promise.resolve(
                calls.map(({ id, name }) => ({
                  functionResponse: {
                    ...(id === undefined ? {} : { id }),
                    ...(name === undefined ? {} : { name }),
                    response: { output: 'sunny' },
                  },
                })),
              )
            },
          },
        ],
      },
    })
    expect(seen).toEqual([{ city: 'Oslo' }])
    expect(answer.text).toContain('sunny')
  })

  it('makes output by a schema', async () => {
    const properties = { name: { type: Type.STRING }, age: { type: Type.INTEGER } }
    const answer = await client.models.generateContent({
      model,
      contents: 'Ada is 36 years old.',
      config: {
        responseMimeType: 'application/json',
        responseSchema: { type: Type.OBJECT, properties, required: ['name', 'age'] },
      },
    })
    expect(JSON.parse(answer.text ?? '')).toEqual({ name: expect.any(String), age: expect.any(Number) })
  })

  it('shows an image', async () => {
    const answer = await client.models.generateContent({
      model,
      contents: [
        { role: 'user', parts: [{ inlineData: { mimeType: 'image/png', data: PIXEL } }, { text: 'What is this?' }] },
      ],
    })
    expect(answer.text).toContain('I received')
  })

  it('raises its own error class with the status', async () => {
    const ask = (fault: string): Promise<unknown> =>
      client.models
        .generateContent({ model: faulty(backend, fault), contents: FRANCE })
        .catch((error: unknown) => error)
    const limited = await ask('rate_limit=seconds')
    expect(limited).toBeInstanceOf(ApiError)
    expect(limited).toMatchObject({ status: 429, message: expect.stringContaining('RESOURCE_EXHAUSTED') })
    expect(await ask('context_length')).toMatchObject({
      status: 400,
      message: expect.stringContaining('INVALID_ARGUMENT'),
    })
    expect(await ask('status=503')).toMatchObject({ status: 503 })
  })

  it('raises an error in the middle of a stream', async () => {
    let text = ''
    const read = async (): Promise<void> => {
      const stream = await client.models.generateContentStream({
        model: faulty(backend, 'interval=50~error_after=2'),
        contents: FRANCE,
      })
      for await (const chunk of stream) text += chunk.text ?? ''
    }
    await expect(read()).rejects.toBeInstanceOf(ApiError)
    expect(text).toMatch(/^The capital/)
  })
})

describe('Google SDK', () => {
  it.each(['gemini', 'openai', 'anthropic', 'bedrock'] as const)('may force a function of %s', async (backend) => {
    const answer = await client.models.generateContent({
      model: BACKENDS[backend],
      contents: 'Hello',
      config: {
        tools: [{ functionDeclarations: [weather] }],
        toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY } },
      },
    })
    expect(answer.functionCalls).toMatchObject([{ name: 'get_weather' }])
  })

  it('is told of a model that there is not', async () => {
    const error: unknown = await client.models
      .generateContent({ model: 'no-such-model', contents: FRANCE })
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ status: 404, message: expect.stringContaining('NOT_FOUND') })
  })

  it('is told of what it says wrongly', async () => {
    const contents = [{ role: 'user', parts: [{ inlineData: { mimeType: 'image/png', data: '' } }] }]
    for (const model of [BACKENDS.gemini, BACKENDS.openai, BACKENDS.anthropic])
      expect(await client.models.generateContent({ model, contents }).catch((error: unknown) => error)).toMatchObject({
        status: 400,
      })
  })

  it.each(['gemini/gemini-embedding-001', 'openai/text-embedding-3-small', 'cohere/embed-v4.0'])(
    'embeds with %s',
    async (model) => {
      const { embeddings } = await client.models.embedContent({ model, contents: ['warp', 'weft'] })
      expect(embeddings).toHaveLength(2)
      expect(embeddings?.[0]?.values?.length).toBeGreaterThan(10)
    },
  )

  it.each(['gemini', 'openai', 'anthropic'] as const)('counts tokens for %s', async (backend) => {
    const { totalTokens } = await client.models.countTokens({ model: BACKENDS[backend], contents: FRANCE })
    expect(totalTokens).toBeGreaterThan(3)
    expect(totalTokens).toBeLessThan(40)
  })

  it.each(['gemini', 'anthropic', 'responses'] as const)(
    'shows thoughts of %s, and brings them back',
    async (backend) => {
      const config = {
        thinkingConfig: { includeThoughts: true, thinkingBudget: 2_000 },
        maxOutputTokens: 20_000,
        tools: [{ functionDeclarations: [weather] }],
      }
      const chat = client.chats.create({ model: BACKENDS[backend], config })
      const called = await chat.sendMessage({ message: 'What is the weather in Oslo?' })
      expect(called.functionCalls).toHaveLength(1)
      const parts = called.candidates?.[0]?.content?.parts ?? []
      expect(parts.some(({ thought, thoughtSignature }) => thought === true || thoughtSignature !== undefined)).toBe(
        true,
      )
      const id = called.functionCalls?.[0]?.id
      const answer = await chat.sendMessage({
        message: [
          {
            functionResponse: {
              ...(id === undefined ? {} : { id }),
              name: 'get_weather',
              response: { output: 'sunny' },
            },
          },
        ],
      })
      expect(answer.text).toContain('sunny')
    },
  )
})
