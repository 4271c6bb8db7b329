// Cohere's own SDK with another base URL, before backends of every vendor: text, streams, tools, schemas, images, documents,
// vectors, errors; and before Cohere itself, which it reaches untouched.
import { CohereClientV2, CohereError, CohereTimeoutError, type Cohere } from 'cohere-ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BACKENDS, faulty, startBackends, type BackendName, type Backends } from './backends.ts'

let backends: Backends

beforeAll(async () => {
  backends = await startBackends()
}, 60_000)

afterAll(() => backends?.close())

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const FRANCE: Cohere.ChatMessageV2[] = [{ role: 'user', content: 'What is the capital of France?' }]
const WEATHER: Cohere.ToolV2 = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}

const client = (): CohereClientV2 => new CohereClientV2({ token: 'sk-e2e', environment: backends.url, maxRetries: 0 })

const textIn = (content: readonly { type: string; text?: string }[] | undefined): string =>
  (content ?? []).map((one) => (one.type === 'text' ? (one.text ?? '') : '')).join('')

type Events = readonly Cohere.V2ChatStreamResponse[]
type EventOf<T extends Events[number]['type']> = Extract<Events[number], { type: T }>

const all = <T extends Events[number]['type']>(events: Events, type: T): EventOf<T>[] =>
  events.filter((event): event is EventOf<T> => event.type === type)

/** What a client puts together of a stream. */
async function heard(stream: AsyncIterable<Cohere.V2ChatStreamResponse>) {
  const events: Cohere.V2ChatStreamResponse[] = []
  for await (const event of stream) events.push(event)
  const pieces = all(events, 'tool-call-delta')
  return {
    text: all(events, 'content-delta')
      .map(({ delta }) => delta?.message?.content?.text ?? '')
      .join(''),
    calls: all(events, 'tool-call-start').map(({ index, delta }) => ({
      id: delta?.message?.toolCalls?.id ?? '',
      name: delta?.message?.toolCalls?.function?.name ?? '',
      arguments: pieces
        .filter((piece) => piece.index === index)
        .map((piece) => piece.delta?.message?.toolCalls?.function?.arguments ?? '')
        .join(''),
    })),
    end: all(events, 'message-end')[0]?.delta,
    types: new Set(events.map(({ type }) => type)),
  }
}

describe.each(Object.keys(BACKENDS) as BackendName[])('Cohere SDK to %s', (backend) => {
  const model = BACKENDS[backend]

  it('answers and streams the same', async () => {
    const whole = await client().chat({ model, messages: FRANCE, maxTokens: 300, temperature: 0.2 })
    expect(whole).toMatchObject({ finishReason: 'COMPLETE', message: { role: 'assistant' } })
    expect(textIn(whole.message.content)).toContain('Paris')
    expect(whole.usage?.billedUnits?.outputTokens).toBeGreaterThan(0)
    const streamed = await heard(
      await client().chatStream({ model, messages: FRANCE, maxTokens: 300, temperature: 0.2 }),
    )
    expect(streamed.text).toBe(textIn(whole.message.content))
    expect(streamed.end).toMatchObject({ finishReason: 'COMPLETE', usage: { tokens: whole.usage?.tokens } })
    expect([...streamed.types]).toEqual(expect.arrayContaining(['message-start', 'content-start', 'content-end']))
  })

  it('calls a tool and takes its result, whole and streamed', async () => {
    const messages: Cohere.ChatMessageV2[] = [{ role: 'user', content: 'What is the weather in Oslo?' }]
    const { message, finishReason } = await client().chat({ model, messages, tools: [WEATHER] })
    expect(finishReason).toBe('TOOL_CALL')
    const [called] = message.toolCalls ?? []
    expect(called?.function?.name).toBe('get_weather')
    expect(JSON.parse(called?.function?.arguments ?? '')).toEqual({ city: 'Oslo' })
    const { calls, end } = await heard(await client().chatStream({ model, messages, tools: [WEATHER] }))
    expect(calls).toMatchObject([{ name: 'get_weather', id: expect.stringMatching(/./) as string }])
    expect(JSON.parse(calls[0]!.arguments)).toEqual({ city: 'Oslo' })
    expect(end?.finishReason).toBe('TOOL_CALL')
    const answer = await client().chat({
      model,
      tools: [WEATHER],
      messages: [
        ...messages,
        // As Cohere's guides go on: with the message that came.
        message,
        { role: 'tool', toolCallId: called?.id ?? '', content: [{ type: 'text', text: 'sunny' }] },
      ],
    })
    expect(textIn(answer.message.content)).toContain('sunny')
    // Ollama has no word for it.
    if (backend === 'ollama') return
    const forced = await client().chat({ model, messages: FRANCE, tools: [WEATHER], toolChoice: 'REQUIRED' })
    expect(forced.finishReason).toBe('TOOL_CALL')
  })

  it('makes output by a schema, takes images and documents', async () => {
    const jsonSchema = {
      type: 'object',
      properties: { name: { type: 'string' }, age: { type: 'integer' } },
      required: ['name', 'age'],
      additionalProperties: false,
    }
    const shaped = await client().chat({
      model,
      messages: [{ role: 'user', content: 'Ada is 36 years old.' }],
      responseFormat: { type: 'json_object', jsonSchema },
    })
    expect(JSON.parse(textIn(shaped.message.content))).toMatchObject({ age: expect.any(Number) as number })
    const seen = await client().chat({
      model,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this?' },
            { type: 'image_url', imageUrl: { url: `data:image/png;base64,${PIXEL}` } },
          ],
        },
      ],
    })
    expect(textIn(seen.message.content)).toContain('I received')
    const before = backends.sim.received.length
    const { message } = await client().chat({
      model,
      messages: FRANCE,
      documents: ['Paris has been the capital since 987.', { id: 'd2', data: { title: 'Atlas', page: 7 } }],
    })
    expect(textIn(message.content)).not.toBe('')
    const asked = backends.sim.received
      .slice(before)
      .map(({ body }) => body.toString())
      .join('\n')
    for (const words of ['since 987', 'Atlas']) expect(asked).toContain(words)
    if (backend === 'cohere') expect(message.citations?.[0]?.sources).toMatchObject([{ type: 'document', id: 'doc:0' }])
  })

  it('raises errors with their status, and ends a stream that breaks with an error', async () => {
    const ask = (fault: string) => client().chat({ model: faulty(backend, fault), messages: FRANCE })
    const limited: unknown = await ask('rate_limit=seconds').catch((error: unknown) => error)
    expect(limited).toBeInstanceOf(CohereError)
    expect(limited).toMatchObject({ statusCode: 429, body: { message: expect.stringMatching(/./) as string } })
    await expect(ask('context_length')).rejects.toMatchObject({ statusCode: 400 })
    const stream = await client().chatStream({ model: faulty(backend, 'interval=50~error_after=2'), messages: FRANCE })
    const { end } = await heard(stream)
    expect(end).toMatchObject({ finishReason: 'ERROR', error: expect.stringMatching(/./) as string })
  })
})

describe('Cohere SDK', () => {
  it.each(['openai/text-embedding-3-small', 'ollama/nomic-embed-text', 'cohere/embed-v4.0'])(
    'gets vectors of %s',
    async (model) => {
      const answer = await client().embed({
        model,
        texts: ['a cat', 'a dog'],
        inputType: 'search_query',
        embeddingTypes: ['float'],
        outputDimension: 256,
      })
      expect(answer.embeddings.float?.map((vector) => vector.length)).toEqual([256, 256])
      expect(answer.meta?.billedUnits?.inputTokens).toBeGreaterThan(0)
      expect(answer.id).toMatch(/./)
      const other = await client()
        .embed({ model, texts: ['a cat'], inputType: 'search_query', embeddingTypes: ['int8'] })
        .catch((error: unknown) => error)
      expect(other).toMatchObject({ statusCode: 400, body: { message: expect.stringContaining('float') as string } })
    },
  )

  it('ranks documents', async () => {
    const { results, meta } = await client().rerank({
      model: 'cohere/rerank-v3.5',
      query: 'a loom',
      documents: ['a fish', 'the loom of a weaver', 'a stone'],
      topN: 2,
    })
    expect(results.map(({ index }) => index)).toEqual([1, expect.any(Number)])
    expect(meta?.billedUnits?.searchUnits).toBe(1)
  })

  it('is told of a wrong model, a wrong field and a missing path in its own words', async () => {
    const refused = async (asked: Promise<unknown>): Promise<unknown> => asked.catch((error: unknown) => error)
    const unknown = await refused(client().chat({ model: 'nobody/knows', messages: FRANCE }))
    expect(unknown).toBeInstanceOf(CohereError)
    expect(unknown).toMatchObject({
      statusCode: 404,
      body: { message: expect.stringContaining('nobody/knows') as string },
    })
    const wrong = await refused(
      client().chat({ model: BACKENDS.openai, messages: FRANCE, thinking: { type: 'enabled', tokenBudget: -1 } }),
    )
    expect(wrong).toMatchObject({
      statusCode: 400,
      body: { message: expect.stringContaining('thinking.token_budget') as string },
    })
    expect(wrong).not.toBeInstanceOf(CohereTimeoutError)
  })
})
