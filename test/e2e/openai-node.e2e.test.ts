import OpenAI, { toFile } from 'openai'
import { zodFunction, zodResponseFormat, zodTextFormat } from 'openai/helpers/zod'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { startSim } from '../../src/sim/index.ts'
import type { Gateway } from './support.ts'
import { startGateway, withGateway } from './support.ts'

let gateway: Gateway
let client: OpenAI

beforeAll(async () => {
  gateway = await startGateway()
  client = new OpenAI({ baseURL: gateway.url, apiKey: 'sk-e2e', maxRetries: 0 })
})

afterAll(() => gateway?.stop())

const FRANCE = [{ role: 'user' as const, content: 'What is the capital of France?' }]
const MODEL = 'gpt-4o-mini'

describe('chat', () => {
  it('answers, with usage and a request id', async () => {
    const answer = await client.chat.completions.create({ model: MODEL, messages: FRANCE })
    expect(answer.choices[0]?.message.content).toContain('Paris')
    expect(answer.choices[0]?.finish_reason).toBe('stop')
    expect(answer.usage?.total_tokens).toBe((answer.usage?.prompt_tokens ?? 0) + (answer.usage?.completion_tokens ?? 0))
    expect(answer._request_id).toEqual(expect.any(String))
  })

  it('streams, with usage on request, and says the same', async () => {
    const whole = await client.chat.completions.create({ model: MODEL, messages: FRANCE })
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages: FRANCE,
      stream: true,
      stream_options: { include_usage: true },
    })
    let text = ''
    let usage: OpenAI.CompletionUsage | null | undefined
    let chunks = 0
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage ?? usage
      chunks++
    }
    expect(text).toBe(whole.choices[0]?.message.content)
    expect(chunks).toBeGreaterThan(4)
    expect(usage?.total_tokens).toBe(whole.usage?.total_tokens)
  })

  it('satisfies the stream helper, for several choices', async () => {
    const final = await client.chat.completions.stream({ model: MODEL, messages: FRANCE, n: 2 }).finalChatCompletion()
    expect(final.choices.map(({ finish_reason }) => finish_reason)).toEqual(['stop', 'stop'])
    expect(final.choices[0]?.message.content).toContain('Paris')
    expect(final.choices[1]?.message.content).not.toBe(final.choices[0]?.message.content)
  })

  it('honours stop, token limits, logprobs and seed', async () => {
    const stopped = await client.chat.completions.create({ model: MODEL, messages: FRANCE, stop: [' Paris'] })
    expect(stopped.choices[0]?.message.content).toBe('The capital of France is')
    const cut = await client.chat.completions.create({
      model: MODEL,
      messages: FRANCE,
      max_completion_tokens: 2,
      logprobs: true,
      top_logprobs: 2,
    })
    expect(cut.choices[0]).toMatchObject({ finish_reason: 'length', message: { content: 'The capital' } })
    expect(cut.choices[0]?.logprobs?.content?.map(({ token }) => token)).toEqual(['The', ' capital'])
  })

  it('parses structured output, whole and streamed', async () => {
    const city = z.object({
      name: z.string(),
      country: z.enum(['France', 'Spain']),
      population: z.number().int().min(1),
      twin: z.object({ name: z.string() }).nullable(),
    })
    const request = { model: MODEL, messages: FRANCE, response_format: zodResponseFormat(city, 'city') }
    const parsed = (await client.chat.completions.parse(request)).choices[0]?.message.parsed
    expect(city.parse(parsed)).toEqual(parsed)
    const streamed = await client.chat.completions.stream(request).finalChatCompletion()
    expect(streamed.choices[0]?.message.parsed).toEqual(parsed)
  })

  const tools = (seen: unknown[]) => [
    zodFunction({
      name: 'get_weather',
      parameters: z.object({ city: z.string() }),
      function: (args) => {
        seen.push(args)
        return { temperature: 21 }
      },
    }),
    zodFunction({
      name: 'add_numbers',
      parameters: z.object({ a: z.number(), b: z.number() }),
      function: ({ a, b }) => {
        seen.push({ a, b })
        return a + b
      },
    }),
  ]

  it.each([false, true])('runs tools to the end (stream: %s)', async (stream) => {
    const seen: unknown[] = []
    const messages = [{ role: 'user' as const, content: 'What is the weather in Oslo? Then add_numbers 3 and 4.' }]
    const text = stream
      ? await client.chat.completions
          .runTools({ model: MODEL, messages, tools: tools(seen), stream: true })
          .finalContent()
      : await client.chat.completions.runTools({ model: MODEL, messages, tools: tools(seen) }).finalContent()
    expect(seen).toEqual([{ a: 3, b: 4 }])
    expect(text).toContain('7')
  })

  it('calls the tools that are named, together or one by one', async () => {
    const messages = [{ role: 'user' as const, content: 'Call get_weather for Rome and add_numbers for 1 and 2' }]
    const ask = async (parallel: boolean): Promise<string[]> => {
      const answer = await client.chat.completions.create({
        model: MODEL,
        messages,
        tools: tools([]),
        parallel_tool_calls: parallel,
      })
      return (answer.choices[0]?.message.tool_calls ?? []).map((call) =>
        call.type === 'function' ? call.function.name : call.type,
      )
    }
    expect(await ask(true)).toEqual(['get_weather', 'add_numbers'])
    expect(await ask(false)).toEqual(['get_weather'])
  })

  it('takes images, files and audio', async () => {
    const answer = await client.chat.completions.create({
      model: MODEL,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What do you see?' },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
            { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERg==' } },
            { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } },
          ],
        },
      ],
    })
    expect(answer.choices[0]?.message.content).toContain('image/png')
  })
})

describe('responses', () => {
  it('goes on from an earlier answer', async () => {
    const first = await client.responses.create({ model: MODEL, input: 'My name is Ada.' })
    const next = await client.responses.create({
      model: MODEL,
      input: 'What is my name?',
      previous_response_id: first.id,
    })
    expect(next.output_text).toContain('Ada')
  })

  it('streams the whole sequence of events', async () => {
    const types: string[] = []
    const stream = client.responses.stream({
      model: 'o4-mini',
      input: 'What is the capital of France?',
      reasoning: { summary: 'auto' },
    })
    for await (const event of stream) types.push(event.type)
    const final = await stream.finalResponse()
    expect(final.output_text).toContain('Paris')
    expect(final.usage?.output_tokens_details.reasoning_tokens).toBeGreaterThan(0)
    expect(types[0]).toBe('response.created')
    expect(types.at(-1)).toBe('response.completed')
    expect(types).toContain('response.reasoning_summary_text.delta')
  })

  it('calls functions and takes their results', async () => {
    const tools = [
      {
        type: 'function' as const,
        name: 'get_weather',
        strict: true,
        parameters: {
          type: 'object',
          properties: { city: { type: 'string' } },
          required: ['city'],
          additionalProperties: false,
        },
      },
    ]
    const first = await client.responses.create({ model: MODEL, input: 'Weather in Oslo?', tools })
    const call = first.output.find((item) => item.type === 'function_call')
    expect(JSON.parse(call?.arguments ?? '{}')).toEqual({ city: 'Oslo' })
    const input = [{ type: 'function_call_output' as const, call_id: call?.call_id ?? '', output: 'rain, 7 degrees' }]
    const second = await client.responses.create({ model: MODEL, input, tools, previous_response_id: first.id })
    expect(second.output_text).toContain('rain, 7 degrees')
  })

  it('parses structured output', async () => {
    const schema = z.object({ steps: z.array(z.string()).min(2), done: z.boolean() })
    const answer = await client.responses.parse({
      model: MODEL,
      input: 'Plan a trip',
      text: { format: zodTextFormat(schema, 'plan') },
    })
    expect(answer.output_parsed?.steps.length).toBeGreaterThanOrEqual(2)
  })
})

describe('the rest of the API', () => {
  it('completes text as before chat', async () => {
    const answer = await client.completions.create({
      model: 'gpt-3.5-turbo-instruct',
      prompt: 'Question: What is the capital of France?\nAnswer:',
      max_tokens: 20,
      echo: true,
    })
    expect(answer.choices[0]?.text).toBe(
      'Question: What is the capital of France?\nAnswer: The capital of France is Paris.',
    )
    let text = ''
    for await (const chunk of await client.completions.create({
      model: 'gpt-3.5-turbo-instruct',
      prompt: 'capital of France',
      max_tokens: 20,
      stream: true,
    })) {
      text += chunk.choices[0]?.text ?? ''
    }
    expect(text).toContain('Paris')
  })

  it('embeds, as base64 (the default of the client) and as numbers', async () => {
    const request = { model: 'text-embedding-3-small', input: ['warp', 'weft'], dimensions: 32 }
    const encoded = await client.embeddings.create(request)
    const numbers = await client.embeddings.create({ ...request, encoding_format: 'float' })
    expect(encoded.data.map(({ embedding }) => [...embedding])).toEqual(numbers.data.map(({ embedding }) => embedding))
    expect(numbers.data.map(({ index }) => index)).toEqual([0, 1])
    const norm = Math.hypot(...(numbers.data[0]?.embedding ?? []))
    expect(norm).toBeCloseTo(1, 5)
  })

  it('lists models', async () => {
    const models = await client.models.list()
    expect(models.data.length).toBeGreaterThan(0)
    for (const { id, object } of models.data) expect([typeof id, object]).toEqual(['string', 'model'])
  })
})

describe('APIs that are passed on', () => {
  let raw: Gateway
  let own: OpenAI

  beforeAll(async () => {
    raw = await startGateway('passthrough.yaml')
    own = new OpenAI({ baseURL: raw.url, apiKey: 'sk-e2e', maxRetries: 0 })
  })

  afterAll(() => raw?.stop())

  it('finds and deletes a stored response', async () => {
    const made = await own.responses.create({ model: MODEL, input: 'Tell me about looms' })
    expect((await own.responses.retrieve(made.id)).output_text).toBe(made.output_text)
    expect((await own.responses.inputItems.list(made.id)).data).toHaveLength(1)
    await own.responses.delete(made.id)
    await expect(own.responses.retrieve(made.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError)
  })

  it('keeps files, byte for byte, and takes them in a message', async () => {
    const bytes = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7) & 0xff))
    const file = await own.files.create({ purpose: 'user_data', file: await toFile(bytes, 'loom.bin') })
    expect(file.bytes).toBe(5000)
    const content = Buffer.from(await (await own.files.content(file.id)).arrayBuffer())
    expect(content.equals(bytes)).toBe(true)
    const answer = await own.chat.completions.create({
      model: MODEL,
      messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: file.id } }] }],
    })
    expect(answer.choices[0]?.message.content).toContain(file.id)
    expect((await own.files.list()).data.map(({ id }) => id)).toEqual([file.id])
    await own.files.delete(file.id)
    expect((await own.files.list()).data).toEqual([])
  })

  it('speaks, hears, draws and moderates', async () => {
    const speech = await own.audio.speech.create({
      model: 'tts-1',
      voice: 'alloy',
      input: 'Hello',
      response_format: 'wav',
    })
    const wav = Buffer.from(await speech.arrayBuffer())
    expect(wav.subarray(0, 4).toString()).toBe('RIFF')
    const heard = await own.audio.transcriptions.create({ model: 'whisper-1', file: await toFile(wav, 'a.wav') })
    expect(heard.text).toContain(`${wav.length} bytes`)
    const image = await own.images.generate({ model: 'gpt-image-1', prompt: 'a loom' })
    expect(
      Buffer.from(image.data?.[0]?.b64_json ?? '', 'base64')
        .subarray(1, 4)
        .toString(),
    ).toBe('PNG')
    const moderation = await own.moderations.create({
      model: 'omni-moderation-latest',
      input: ['I will kill you', 'tea'],
    })
    expect(moderation.results.map(({ flagged }) => flagged)).toEqual([true, false])
  })
})

describe('errors', () => {
  const failure = async (model: string, via = client): Promise<InstanceType<typeof OpenAI.APIError>> => {
    try {
      await via.chat.completions.create({ model, messages: FRANCE })
    } catch (error) {
      if (error instanceof OpenAI.APIError) return error
      throw error
    }
    throw new Error(`${model} did not fail`)
  }

  it('keeps the class, code and param of a mistake in the request', async () => {
    const error = await failure(`${MODEL}~context_length`)
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(error).toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
      type: 'invalid_request_error',
      requestID: expect.any(String),
    })
    expect(await failure(`${MODEL}~content_filter`)).toBeInstanceOf(OpenAI.BadRequestError)
    const none = client.chat.completions.create({ model: MODEL, messages: [] })
    await expect(none).rejects.toMatchObject({ status: 400, param: expect.stringContaining('messages') })
  })

  it('has the class of a rate limit and of a failing backend', async () => {
    expect(await failure(`${MODEL}~rate_limit=long`)).toBeInstanceOf(OpenAI.RateLimitError)
    expect(await failure(`${MODEL}~status=500`)).toBeInstanceOf(OpenAI.InternalServerError)
    expect(await failure(`${MODEL}~status=503`)).toBeInstanceOf(OpenAI.InternalServerError)
  })

  it('never shows the key of a backend', () =>
    withGateway(async ({ url, direct }) => {
      const own = new OpenAI({ baseURL: url, apiKey: 'sk-e2e', maxRetries: 0 })
      const error = await failure(`${MODEL}~auth_401`, own)
      expect(error.status).toBe(direct ? 401 : 502)
      expect(JSON.stringify(error.error).includes('sk-')).toBe(direct)
    }))

  it('gives what came before an error in the middle of a stream, then raises it', async () => {
    // The pause lets the first words out: an error right behind them may still be retried unseen.
    const model = `${MODEL}~interval=50~error_after=2`
    const stream = await client.chat.completions.create({ model, messages: FRANCE, stream: true })
    let text = ''
    const read = async (): Promise<void> => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
    }
    await expect(read()).rejects.toBeInstanceOf(OpenAI.APIError)
    expect(text).toBe('The capital')
  })

  it('gets every class from the simulator itself, as from the API', async () => {
    const sim = await startSim()
    const own = new OpenAI({ baseURL: sim.url, apiKey: 'sk-e2e', maxRetries: 0 })
    const classes = [
      [401, OpenAI.AuthenticationError],
      [403, OpenAI.PermissionDeniedError],
      [404, OpenAI.NotFoundError],
      [409, OpenAI.ConflictError],
      [422, OpenAI.UnprocessableEntityError],
    ] as const
    for (const [status, type] of classes) {
      const error = await failure(`${MODEL}~status=${status}`, own)
      expect(error).toBeInstanceOf(type)
      expect(error.requestID).toMatch(/^req_/)
    }
    await sim.close()
  })
})
