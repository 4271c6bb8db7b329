// The simulator as Cohere's SDK meets it.
import { CohereClientV2, CohereError } from 'cohere-ai'
import type { Cohere } from 'cohere-ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'

let sim: Sim
let origin = ''
let client: CohereClientV2

const clientFor = (token: string): CohereClientV2 => new CohereClientV2({ token, environment: origin, maxRetries: 0 })

beforeAll(async () => {
  sim = await startSim({ apiKey: 'co-key' })
  origin = sim.url.replace(/\/v1$/, '')
  client = clientFor('co-key')
})
afterAll(() => sim.close())

const PARIS = 'What is the capital of France?'
type Ask = Partial<Cohere.V2ChatRequest>
const request = (content: string, more: Ask = {}): Cohere.V2ChatRequest => ({
  model: 'sim-chat',
  messages: [{ role: 'user', content }],
  ...more,
})
const ask = (content: string, more: Ask = {}) => client.chat(request(content, more))
const stream = async (content: string, more: Ask = {}): Promise<Cohere.V2ChatStreamResponse[]> => {
  const events: Cohere.V2ChatStreamResponse[] = []
  for await (const event of await client.chatStream(request(content, more))) events.push(event)
  return events
}
const textOf = (events: readonly Cohere.V2ChatStreamResponse[], kind: 'text' | 'thinking' = 'text'): string =>
  events.map((event) => (event.type === 'content-delta' ? (event.delta?.message?.content?.[kind] ?? '') : '')).join('')

const failure = async (run: Promise<unknown>): Promise<CohereError> => {
  try {
    await run
  } catch (error) {
    if (error instanceof CohereError) return error
    throw error
  }
  throw new Error('it did not fail')
}

const WEATHER: Cohere.ToolV2 = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}

describe('chat', () => {
  it('answers in text, whole and streamed alike', async () => {
    const whole = await ask(PARIS)
    expect(whole.message.content).toEqual([{ type: 'text', text: 'The capital of France is Paris.' }])
    expect(whole.finishReason).toBe('COMPLETE')
    expect(whole.usage?.tokens?.outputTokens).toBe(7)
    const events = await stream(PARIS)
    expect(textOf(events)).toBe('The capital of France is Paris.')
    const last = events.at(-1)
    expect(last?.type === 'message-end' ? last.delta : undefined).toMatchObject({
      finishReason: 'COMPLETE',
      usage: { tokens: whole.usage?.tokens },
    })
  })

  it('stops, cuts, formats and tells probabilities', async () => {
    expect((await ask(PARIS, { stopSequences: [' is'] })).finishReason).toBe('STOP_SEQUENCE')
    expect((await ask(PARIS, { maxTokens: 3 })).finishReason).toBe('MAX_TOKENS')
    const jsonSchema = { type: 'object', properties: { days: { type: 'integer' } }, required: ['days'] }
    const made = await ask('Plan 3 days', { responseFormat: { type: 'json_object', jsonSchema } })
    const [block] = made.message.content ?? []
    expect(JSON.parse(block?.type === 'text' ? block.text : '')).toEqual({ days: 3 })
    expect((await ask(PARIS, { logprobs: true })).logprobs).toHaveLength(7)
  })

  it('plans, calls tools and takes their results', async () => {
    const question: Cohere.ChatMessageV2 = { role: 'user', content: 'What is the weather in Oslo?' }
    const called = await ask('', { messages: [question], tools: [WEATHER] })
    expect(called.finishReason).toBe('TOOL_CALL')
    expect(called.message.toolPlan).toMatch(/get_weather/)
    const toolCalls = called.message.toolCalls ?? []
    expect(toolCalls).toMatchObject([{ function: { name: 'get_weather', arguments: '{"city":"Oslo"}' } }])
    const events = await stream('', { messages: [question], tools: [WEATHER] })
    const plan = events.map((event) => (event.type === 'tool-plan-delta' ? (event.delta?.message?.toolPlan ?? '') : ''))
    expect(plan.join('')).toBe(called.message.toolPlan)
    const written = events.map((event) =>
      event.type === 'tool-call-delta' ? (event.delta?.message?.toolCalls?.function?.arguments ?? '') : '',
    )
    expect(written.join('')).toBe('{"city":"Oslo"}')
    const turn: Cohere.ChatMessageV2 = { role: 'assistant', toolCalls }
    const result = (
      content: Cohere.ToolMessageV2Content,
      toolCallId = toolCalls[0]?.id ?? '',
    ): Cohere.ChatMessageV2 => ({
      role: 'tool',
      toolCallId,
      content,
    })
    for (const content of ['7 °C', [{ type: 'document' as const, document: { data: { data: '7 °C' } } }]]) {
      const answer = await ask('', { messages: [question, turn, result(content)], tools: [WEATHER] })
      expect(answer.message.content).toMatchObject([{ text: 'The tool get_weather returned: 7 °C' }])
    }
    const wrong = await failure(ask('', { messages: [question, turn, result('x', 'other')], tools: [WEATHER] }))
    expect(wrong.statusCode).toBe(400)
    expect((await failure(ask('', { messages: [question, turn], tools: [WEATHER] }))).statusCode).toBe(400)
    expect((await ask('Hi', { tools: [WEATHER], toolChoice: 'REQUIRED' })).finishReason).toBe('TOOL_CALL')
    expect((await ask('weather in Oslo', { tools: [WEATHER], toolChoice: 'NONE' })).finishReason).toBe('COMPLETE')
  })

  it('thinks, and cites documents', async () => {
    const thought = await ask(PARIS, { thinking: { type: 'enabled' } })
    const [first] = thought.message.content ?? []
    expect([first?.type, thought.usage?.tokens?.outputTokens]).toEqual(['thinking', 71])
    const events = await stream(PARIS, { thinking: { type: 'enabled' } })
    expect(textOf(events, 'thinking')).toBe(first?.type === 'thinking' ? first.thinking : '')
    expect((await ask(PARIS, { model: 'sim-reasoner' })).message.content?.map(({ type }) => type)).toEqual([
      'thinking',
      'text',
    ])
    const documents = ['France has Paris.', { id: 'd2', data: { text: 'x' } }]
    const cited = await ask(PARIS, { documents })
    expect(cited.message.citations).toMatchObject([
      { start: 0, end: 14, text: 'The capital of', sources: [{ type: 'document', id: 'doc:0' }] },
    ])
    expect((await stream(PARIS, { documents })).filter(({ type }) => type.startsWith('citation'))).toHaveLength(2)
    expect((await ask(PARIS, { documents, citationOptions: { mode: 'OFF' } })).message.citations).toBeUndefined()
  })

  it('embeds and ranks', async () => {
    const embedded = await client.embed({
      model: 'sim-embed',
      inputType: 'search_document',
      texts: ['a loom', 'a heddle'],
      embeddingTypes: ['float', 'int8', 'ubinary', 'base64'],
      outputDimension: 16,
    })
    expect(embedded.embeddings.float?.map(({ length }) => length)).toEqual([16, 16])
    expect(embedded.embeddings.int8?.[0]?.length).toBe(16)
    expect(embedded.embeddings.ubinary?.[0]?.length).toBe(2)
    expect(Buffer.from(embedded.embeddings.base64?.[0] ?? '', 'base64').length).toBe(64)
    const ranked = await client.rerank({
      model: 'sim-rerank',
      query: 'weaving looms',
      documents: ['cats', 'looms for weaving', 'rain'],
      topN: 2,
    })
    expect(ranked.results.map(({ index }) => index)[0]).toBe(1)
    expect(ranked.results).toHaveLength(2)
  })

  it('refuses and fails in its own words', async () => {
    expect((await failure(clientFor('wrong').chat(request(PARIS)))).statusCode).toBe(401)
    expect((await failure(ask(PARIS, { temperature: 1.5 }))).message).toMatch(/between 0 and 1/)
    expect((await failure(ask(PARIS, { messages: [] }))).message).toMatch(/must not be empty/)
    const raw = await fetch(`${origin}/v2/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer co-key' },
      body: JSON.stringify({ ...request(PARIS), top_p: 1 }),
    })
    expect(await raw.json()).toEqual({
      id: expect.stringMatching(/^req_/),
      message: "unknown field: parameter 'top_p' is not a valid field",
    })
    const fault = (spec: string) => failure(ask(PARIS, { model: `sim-chat~${spec}` }))
    expect((await fault('rate_limit=seconds')).statusCode).toBe(429)
    expect((await fault('context_length')).message).toMatch(/too many tokens/)
    expect((await fault('content_filter')).message).toMatch(/makes no sense on the cohere wire/)
    for (const spec of ['early_error', 'error_after=2']) {
      const last = (await stream(PARIS, { model: `sim-chat~${spec}` })).at(-1)
      expect(last?.type === 'message-end' ? last.delta?.finishReason : last).toBe('ERROR')
    }
    expect((await stream(PARIS, { model: 'sim-chat~no_done' })).at(-1)?.type).toBe('content-end')
    expect((await stream(PARIS, { model: 'sim-chat~no_choices' })).map(({ type }) => type)).toEqual([
      'message-start',
      'message-end',
    ])
    expect(textOf(await stream(PARIS, { model: 'sim-chat~cut_stream_after=2' }))).toBe('The capital')
  })
})
