// The simulator as Google's SDK meets it.
import { ApiError, FunctionCallingConfigMode, GoogleGenAI, ThinkingLevel } from '@google/genai'
import type { Content, GenerateContentConfig, GenerateContentResponse, Part } from '@google/genai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'

const KEY = 'AIza-right-0123456789'
let sim: Sim
let origin = ''
let client: GoogleGenAI

const clientFor = (apiKey: string, baseUrl = origin): GoogleGenAI =>
  new GoogleGenAI({ apiKey, vertexai: false, httpOptions: { baseUrl } })

beforeAll(async () => {
  sim = await startSim({ apiKey: KEY })
  origin = sim.url.replace(/\/v1$/, '')
  client = clientFor(KEY)
})
afterAll(() => sim.close())

const PARIS = 'What is the capital of France?'

const ask = (contents: string | Content[], config: GenerateContentConfig = {}, model = 'sim-chat') =>
  client.models.generateContent({ model, contents, config })

/** The parts of a stream, texts of one kind joined. */
const stream = async (contents: string | Content[], config: GenerateContentConfig = {}, model = 'sim-chat') => {
  const parts: Part[] = []
  let last: GenerateContentResponse | undefined
  for await (const chunk of await client.models.generateContentStream({ model, contents, config })) {
    last = chunk
    for (const part of chunk.candidates?.[0]?.content?.parts ?? []) {
      const open = parts.at(-1)
      if (part.text !== undefined && open?.text !== undefined && open.thought === part.thought)
        parts[parts.length - 1] = { ...open, ...part, text: open.text + part.text }
      else if (part.text !== '') parts.push(part)
    }
  }
  return { parts, last }
}

const failure = async (run: Promise<unknown>): Promise<ApiError> => {
  try {
    await run
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
  throw new Error('it did not fail')
}

interface Told {
  readonly error: {
    readonly code: number
    readonly status: string
    readonly message: string
    readonly details?: unknown
  }
}

const raw = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
  const response = await fetch(`${origin}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-goog-api-key': KEY, ...headers },
    body: JSON.stringify(body),
  })
  return { response, text: await response.text() }
}
const user = (text: string) => ({ role: 'user', parts: [{ text }] })

const WEATHER = {
  name: 'get_weather',
  description: 'Weather of a city',
  parametersJsonSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}
const TIME = { ...WEATHER, name: 'get_time' }

describe('generateContent', () => {
  it('answers in text, whole and streamed alike', async () => {
    const whole = await ask(PARIS)
    expect(whole.text).toBe('The capital of France is Paris.')
    expect(whole.candidates?.[0]).toMatchObject({ finishReason: 'STOP', index: 0 })
    expect(whole.usageMetadata).toMatchObject({ candidatesTokenCount: 7 })
    expect(whole.modelVersion).toBe('sim-chat')
    const streamed = await stream(PARIS)
    expect(streamed.parts).toEqual([{ text: 'The capital of France is Paris.' }])
    expect(streamed.last?.usageMetadata).toEqual(whole.usageMetadata)
  })

  it('is one JSON array without alt=sse', async () => {
    const body = { contents: [user(PARIS)] }
    const { response, text } = await raw('/v1beta/models/sim-chat:streamGenerateContent', body)
    expect(response.headers.get('content-type')).toBe('application/json; charset=UTF-8')
    const chunks = JSON.parse(text) as GenerateContentResponse[]
    expect(chunks).toHaveLength(8)
    const failed = await raw('/v1beta/models/sim-chat~error_after=2:streamGenerateContent', body)
    expect((JSON.parse(failed.text) as Told[]).at(-1)?.error).toMatchObject({ code: 503, status: 'UNAVAILABLE' })
    const short = await raw('/v1beta/models/sim-chat~no_done:streamGenerateContent', body)
    expect(() => JSON.parse(short.text) as unknown).toThrow(SyntaxError)
  })

  it('takes snake case, and paths of Vertex AI', async () => {
    const body = {
      system_instruction: { parts: [{ text: 'x' }] },
      contents: [
        { role: 'user', parts: [{ inline_data: { mime_type: 'image/png', data: 'AAAA' } }, { text: 'Say hi' }] },
      ],
      generation_config: { max_output_tokens: 100 },
    }
    const path = '/v1/projects/p/locations/eu/publishers/google/models/sim-chat:generateContent'
    const { text } = await raw(path, body)
    expect(text).toContain('hi I received image/png (3 bytes).')
  })

  it('stops, cuts, varies and tells probabilities', async () => {
    expect((await ask(PARIS, { stopSequences: [' is'] })).text).toBe('The capital of France')
    const cut = await ask(PARIS, { maxOutputTokens: 3 })
    expect([cut.candidates?.[0]?.finishReason, cut.usageMetadata?.candidatesTokenCount]).toEqual(['MAX_TOKENS', 3])
    expect((await ask('Tell me of looms', { candidateCount: 2 })).candidates).toHaveLength(2)
    const logged = await ask(PARIS, { responseLogprobs: true, logprobs: 2 })
    expect(logged.candidates?.[0]?.logprobsResult?.chosenCandidates).toHaveLength(7)
  })

  it('calls functions, takes their results, and obeys the choice', async () => {
    const tools = [{ functionDeclarations: [WEATHER, TIME] }]
    const question = user('What is the weather in Oslo?')
    const called = await stream([question], { tools })
    expect(called.parts).toMatchObject([{ functionCall: { name: 'get_weather', args: { city: 'Oslo' } } }])
    const turn = { role: 'model', parts: called.parts }
    const result = { functionResponse: { name: 'get_weather', response: { output: '7 °C' } } }
    const answer = await ask([question, turn, { role: 'user', parts: [result] }], { tools })
    expect(answer.text).toBe('The tool get_weather returned: 7 °C')
    const mode = (wanted: FunctionCallingConfigMode, names?: string[]) => ({
      tools,
      toolConfig: {
        functionCallingConfig: { mode: wanted, ...(names === undefined ? {} : { allowedFunctionNames: names }) },
      },
    })
    expect((await ask('Hi', mode(FunctionCallingConfigMode.ANY, ['get_time']))).functionCalls?.[0]?.name).toBe(
      'get_time',
    )
    expect((await ask('Hi', mode(FunctionCallingConfigMode.ANY))).functionCalls).toHaveLength(1)
    expect((await ask('weather in Oslo', mode(FunctionCallingConfigMode.NONE))).functionCalls).toBeUndefined()
    const unpaired = await failure(ask([question, turn, { role: 'user', parts: [result, result] }], { tools }))
    expect(unpaired.message).toMatch(/number of function response parts is equal/)
    const forgotten = await failure(ask([question, turn, user('and?')], { tools }))
    expect(forgotten.status).toBe(400)
  })

  it('thinks where asked to, and counts it apart', async () => {
    const config = { thinkingConfig: { includeThoughts: true, thinkingBudget: -1 } }
    const whole = await ask(PARIS, config)
    const parts = whole.candidates?.[0]?.content?.parts ?? []
    expect(parts.map(({ thought }) => thought)).toEqual([true, undefined])
    expect(whole.usageMetadata).toMatchObject({ thoughtsTokenCount: 64, candidatesTokenCount: 7 })
    expect(whole.usageMetadata?.totalTokenCount).toBe((whole.usageMetadata?.promptTokenCount ?? 0) + 71)
    expect((await stream(PARIS, config)).parts).toEqual(parts)
    const low = await ask(PARIS, { thinkingConfig: { thinkingLevel: ThinkingLevel.LOW } })
    expect(low.usageMetadata?.thoughtsTokenCount).toBe(32)
    expect(low.candidates?.[0]?.content?.parts).toHaveLength(1)
    const off = await ask(PARIS, { thinkingConfig: { thinkingBudget: 0 } }, 'sim-reasoner')
    expect(off.usageMetadata?.thoughtsTokenCount).toBeUndefined()
    const both = await failure(ask(PARIS, { thinkingConfig: { thinkingLevel: ThinkingLevel.LOW, thinkingBudget: 5 } }))
    expect(both.message).toMatch(/only one of thinking budget/)
  })

  it('wants signatures of calls back, unaltered, from models of the third generation', async () => {
    const tools = [{ functionDeclarations: [WEATHER] }]
    const question = user('What is the weather in Oslo?')
    const model = 'gemini-3-pro'
    const { parts } = await stream([question], { tools }, model)
    expect(parts[0]?.thoughtSignature).toMatch(/^[A-Za-z0-9+/]{86}==$/)
    const back = (part: Part, of = model) =>
      ask(
        [
          question,
          { role: 'model', parts: [part] },
          { role: 'user', parts: [{ functionResponse: { name: 'get_weather', response: { output: 'cold' } } }] },
        ],
        { tools },
        of,
      )
    const [part = {}] = parts
    expect((await back(part)).text).toContain('cold')
    const { thoughtSignature: _, ...bare } = part
    expect((await failure(back(bare))).message).toMatch(/missing a thought_signature.*get_weather/)
    expect((await back(bare, 'gemini-2.5-flash')).text).toContain('cold')
    expect((await back({ ...bare, thoughtSignature: 'skip_thought_signature_validator' })).text).toContain('cold')
    const forged = `A${(part.thoughtSignature ?? '').slice(1)}`
    for (const of of [model, 'gemini-2.5-flash'])
      expect(
        (await failure(back({ ...bare, thoughtSignature: forged === part.thoughtSignature ? 'AAAA' : forged }, of)))
          .message,
      ).toMatch(/Corrupted thought signature/)
  })

  it('writes JSON of a schema of either kind', async () => {
    const schema = {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer' } },
      required: ['city', 'days'],
    }
    const json = { responseMimeType: 'application/json', responseJsonSchema: schema }
    expect(JSON.parse((await ask('Plan 3 days in Oslo', json)).text ?? '')).toEqual({ city: 'Oslo', days: 3 })
    const { text } = await raw('/v1beta/models/sim-chat:generateContent', {
      contents: [user('Plan 3 days in Oslo')],
      generationConfig: {
        responseMimeType: 'application/json',
        responseSchema: {
          type: 'OBJECT',
          properties: { days: { type: 'INTEGER' }, tags: { type: 'ARRAY', items: { type: 'STRING' }, minItems: '1' } },
          required: ['days', 'tags'],
        },
      },
    })
    expect(
      JSON.parse((JSON.parse(text) as GenerateContentResponse).candidates?.[0]?.content?.parts?.[0]?.text ?? ''),
    ).toMatchObject({
      days: 3,
      tags: [expect.any(String)],
    })
  })

  it('blocks prompts and answers on a trigger', async () => {
    const blocked = await ask('TRIGGER_BLOCK')
    expect(blocked.promptFeedback?.blockReason).toBe('PROHIBITED_CONTENT')
    expect(blocked.candidates).toBeUndefined()
    const streamed = await stream('TRIGGER_BLOCK')
    expect(streamed.last?.promptFeedback?.blockReason).toBe('PROHIBITED_CONTENT')
    expect((await ask('TRIGGER_REFUSAL')).candidates?.[0]?.finishReason).toBe('SAFETY')
    expect((await ask(PARIS, {}, 'sim-chat~content_filter')).promptFeedback?.blockReason).toBe('PROHIBITED_CONTENT')
  })

  it('counts tokens and embeds', async () => {
    const counted = await client.models.countTokens({ model: 'sim-chat', contents: PARIS })
    expect(counted.totalTokens).toBe((await ask(PARIS)).usageMetadata?.promptTokenCount)
    const embedded = await client.models.embedContent({ model: 'sim-embed', contents: ['a loom', 'the looms'] })
    expect(embedded.embeddings?.map(({ values }) => values?.length)).toEqual([256, 256])
    const one = await raw('/v1beta/models/sim-embed:embedContent', {
      content: { parts: [{ text: 'a loom' }] },
      outputDimensionality: 8,
    })
    expect((JSON.parse(one.text) as { embedding: { values: number[] } }).embedding.values).toHaveLength(8)
  })

  it('refuses what the API refuses', async () => {
    const cases: [unknown, RegExp][] = [
      [{ contents: [] }, /contents is not specified/],
      [{ contents: [user('x')], max_tokens: 1 }, /Unknown name \\?"maxTokens\\?": Cannot find field/],
      [{ contents: [user('x')], generationConfig: { temperature: 3 } }, /temperature must be in the range/],
      [{ contents: [{ role: 'assistant', parts: [{ text: 'x' }] }] }, /valid role: user, model/],
      [{ contents: [{ role: 'user', parts: [{}] }] }, /must have one initialized field/],
      [
        { contents: [{ role: 'user', parts: [{ inlineData: { mimeType: 'image/tiff', data: 'AAAA' } }] }] },
        /Unsupported MIME type/,
      ],
      [{ contents: [user('x')], generationConfig: { responseSchema: { type: 'STRING' } } }, /response mime type/],
    ]
    for (const [body, message] of cases) {
      const { response, text } = await raw('/v1beta/models/sim-chat:generateContent', body)
      expect(text).toMatch(message)
      expect([response.status, (JSON.parse(text) as Told).error.status]).toEqual([400, 'INVALID_ARGUMENT'])
    }
  })

  it('checks the key', async () => {
    const wrong = await failure(clientFor('AIza-wrong').models.generateContent({ model: 'sim-chat', contents: PARIS }))
    expect([wrong.status, wrong.message.includes('API_KEY_INVALID')]).toEqual([400, true])
    const none = await raw('/v1beta/models/sim-chat:generateContent', {}, { 'x-goog-api-key': '' })
    expect(none.response.status).toBe(403)
    const query = await raw(
      `/v1beta/models/sim-chat:generateContent?key=${KEY}`,
      { contents: [user('x')] },
      { 'x-goog-api-key': '' },
    )
    expect(query.response.status).toBe(200)
  })
})

describe('faults', () => {
  const fails = (fault: string) => failure(ask(PARIS, {}, `sim-chat~${fault}`))

  it.each([
    ['status=503', 503, 'UNAVAILABLE'],
    ['overloaded_body=503-google', 503, 'UNAVAILABLE'],
    ['insufficient_quota', 429, 'RESOURCE_EXHAUSTED'],
    ['context_length', 400, 'INVALID_ARGUMENT'],
    ['auth_401', 401, 'UNAUTHENTICATED'],
    ['rate_limit=google', 429, 'RetryInfo'],
    ['rate_limit=ms', 400, 'makes no sense'],
    ['rate_limit=go', 400, 'makes no sense'],
    ['annotations_first', 400, 'makes no sense'],
  ])('%s is told in its own words', async (fault, status, words) => {
    const error = await fails(fault)
    expect(error.status).toBe(status)
    expect(error.message).toContain(words)
  })

  it('an error in a stream that began well', async () => {
    for (const fault of ['early_error', 'error_after=2'])
      expect((await failure(stream(PARIS, {}, `sim-chat~${fault}`))).message).toContain('UNAVAILABLE')
  })

  it('the quota says in the body how long to wait', async () => {
    const own = await startSim({ quota: { requestsPerMinute: 1 } })
    const limited = clientFor('k', own.url.replace(/\/v1$/, ''))
    await limited.models.generateContent({ model: 'sim-chat', contents: PARIS })
    const error = await failure(limited.models.generateContent({ model: 'sim-chat', contents: PARIS }))
    expect(error.message).toMatch(/"retryDelay":"60s"/)
    expect(own.stats()).toMatchObject({ completionTokens: 7, byModel: { 'sim-chat': 2 } })
    await own.close()
  })
})
