// The simulator as Anthropic's SDK meets it.
import Anthropic, { APIError } from '@anthropic-ai/sdk'
import type { MessageCreateParamsNonStreaming, MessageParam } from '@anthropic-ai/sdk/resources/messages'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'

const KEY = 'sk-ant-right-0123456789'
let sim: Sim
let client: Anthropic

beforeAll(async () => {
  sim = await startSim({ apiKey: KEY })
  client = new Anthropic({ apiKey: KEY, baseURL: sim.url.replace(/\/v1$/, ''), maxRetries: 0 })
})
afterAll(() => sim.close())

const PARIS = 'What is the capital of France?'
type Ask = Partial<MessageCreateParamsNonStreaming>
const params = (content: MessageParam['content'], more: Ask = {}): MessageCreateParamsNonStreaming => ({
  model: 'sim-chat',
  max_tokens: 2048,
  messages: [{ role: 'user', content }],
  ...more,
})
const ask = (content: MessageParam['content'], more: Ask = {}) => client.messages.create(params(content, more))
const stream = (content: MessageParam['content'], more: Ask = {}) =>
  client.messages.stream(params(content, more)).finalMessage()

const failure = async (run: Promise<unknown>): Promise<APIError> => {
  try {
    await run
  } catch (error) {
    if (error instanceof APIError) return error
    throw error
  }
  throw new Error('it did not fail')
}

const WEATHER = {
  name: 'get_weather',
  description: 'Weather of a city',
  input_schema: { type: 'object' as const, properties: { city: { type: 'string' } }, required: ['city'] },
}
const THINKING = { type: 'enabled' as const, budget_tokens: 1024 }

describe('messages', () => {
  it('answers in text, whole and streamed alike', async () => {
    const whole = await ask(PARIS)
    expect(whole).toMatchObject({
      type: 'message',
      role: 'assistant',
      model: 'sim-chat',
      content: [{ type: 'text', text: 'The capital of France is Paris.' }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: { output_tokens: 7, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 },
    })
    expect(whole.id).toMatch(/^msg_01[0-9a-f]{22}$/)
    const streamed = await stream(PARIS)
    expect(streamed.content).toEqual(whole.content)
    expect(streamed.stop_reason).toBe('end_turn')
    expect(streamed.usage).toMatchObject({ input_tokens: whole.usage.input_tokens, output_tokens: 7 })
  })

  it('stops where it is told to, and says at what', async () => {
    const stopped = await ask(PARIS, { stop_sequences: ['zzz', ' is'] })
    expect([stopped.stop_reason, stopped.stop_sequence]).toEqual(['stop_sequence', ' is'])
    expect(stopped.content).toMatchObject([{ text: 'The capital of France' }])
    const cut = await stream(PARIS, { max_tokens: 3 })
    expect([cut.stop_reason, cut.usage.output_tokens]).toEqual(['max_tokens', 3])
  })

  it('calls tools, takes results, and obeys the choice', async () => {
    const question: MessageParam = { role: 'user', content: 'What is the weather in Oslo?' }
    const called = await client.messages
      .stream({ ...params(''), messages: [question], tools: [WEATHER] })
      .finalMessage()
    expect(called.stop_reason).toBe('tool_use')
    expect(called.content).toMatchObject([{ type: 'tool_use', name: 'get_weather', input: { city: 'Oslo' } }])
    const [block] = called.content
    if (block?.type !== 'tool_use') throw new Error('no call')
    const history: MessageParam[] = [question, { role: 'assistant', content: [block] }]
    const result = {
      type: 'tool_result' as const,
      tool_use_id: block.id,
      content: [{ type: 'text' as const, text: '7 °C' }],
    }
    const answer = await client.messages.create({
      ...params(''),
      tools: [WEATHER],
      messages: [...history, { role: 'user', content: [result] }],
    })
    expect(answer.content).toMatchObject([{ text: 'The tool get_weather returned: 7 °C' }])
    const other = { ...WEATHER, name: 'get_time' }
    const both = 'ALWAYS call get_weather and get_time for Oslo'
    const tools = [WEATHER, other]
    expect((await ask(both, { tools })).content).toHaveLength(2)
    expect(
      (await ask(both, { tools, tool_choice: { type: 'auto', disable_parallel_tool_use: true } })).content,
    ).toHaveLength(1)
    expect((await ask('Hi', { tools, tool_choice: { type: 'tool', name: 'get_time' } })).content).toMatchObject([
      { name: 'get_time' },
    ])
    expect((await ask('Hi', { tools, tool_choice: { type: 'any' } })).stop_reason).toBe('tool_use')
    expect((await ask(both, { tools, tool_choice: { type: 'none' } })).stop_reason).toBe('end_turn')
  })

  it('pairs calls with their results as strictly as the API', async () => {
    const use = { type: 'tool_use' as const, id: 'toolu_1', name: 'get_weather', input: { city: 'Oslo' } }
    const user: MessageParam = { role: 'user', content: 'x' }
    const result = (id: string) => ({ type: 'tool_result' as const, tool_use_id: id, content: 'ok' })
    const send = (messages: MessageParam[]) =>
      failure(client.messages.create({ ...params(''), tools: [WEATHER], messages }))
    const cases: [MessageParam[], RegExp][] = [
      [[user, { role: 'assistant', content: [use] }, user], /tool_use` ids were found without `tool_result/],
      [
        [user, { role: 'assistant', content: [use] }, { role: 'user', content: [result('toolu_2')] }],
        /unexpected `tool_use_id/,
      ],
      [[{ role: 'assistant', content: 'x' }], /first message must use/],
      [[user, { role: 'assistant', content: 'ends in white space ' }], /trailing whitespace/],
      [[{ role: 'user', content: '' }], /non-empty content/],
      [[], /at least one message/],
    ]
    for (const [messages, message] of cases) {
      const error = await send(messages)
      expect([error.status, error.type]).toEqual([400, 'invalid_request_error'])
      expect(error.message).toMatch(message)
    }
  })

  it('thinks when asked to, and wants its thoughts back unmodified', async () => {
    const question: MessageParam = { role: 'user', content: 'What is the weather in Oslo?' }
    const base = { ...params(''), tools: [WEATHER], thinking: THINKING }
    const called = await client.messages.create({ ...base, messages: [question] })
    const streamed = await client.messages.stream({ ...base, messages: [question] }).finalMessage()
    expect(streamed.content).toEqual(called.content)
    const [thought, use] = called.content
    if (thought?.type !== 'thinking' || use?.type !== 'tool_use') throw new Error('no thought before a call')
    expect(thought.thinking.length).toBeGreaterThan(50)
    expect(called.usage.output_tokens_details?.thinking_tokens).toBe(64)
    const result = { type: 'tool_result' as const, tool_use_id: use.id, content: 'cold' }
    const turns = (content: MessageParam['content']): MessageParam[] => [
      question,
      { role: 'assistant', content },
      { role: 'user', content: [result] },
    ]
    const last = await client.messages.create({ ...base, messages: turns([thought, use]) })
    expect(last.content.map(({ type }) => type)).toEqual(['thinking', 'text'])
    const changed = { ...thought, thinking: `${thought.thinking}!` }
    expect((await failure(client.messages.create({ ...base, messages: turns([changed, use]) }))).message).toMatch(
      /Invalid `signature` in `thinking` block/,
    )
    expect((await failure(client.messages.create({ ...base, messages: turns([use]) }))).message).toMatch(
      /Expected `thinking` or `redacted_thinking`, but found `tool_use`/,
    )
  })

  it('hides thoughts, refuses, and thinks by itself where its name says so', async () => {
    const hidden = await ask('TRIGGER_REDACTED_THINKING please', { thinking: THINKING })
    expect(hidden.content.map(({ type }) => type)).toEqual(['redacted_thinking', 'text'])
    const refused = await stream('TRIGGER_REFUSAL')
    expect([refused.stop_reason, refused.content]).toEqual(['refusal', []])
    expect((await ask(PARIS, { model: 'sim-reasoner' })).content).toMatchObject([
      { type: 'thinking' },
      { type: 'text' },
    ])
    const off = await ask(PARIS, { model: 'sim-reasoner', thinking: { type: 'disabled' } })
    expect(off.content).toMatchObject([{ type: 'text' }])
    const omitted = await ask(PARIS, { thinking: { type: 'adaptive', display: 'omitted' } })
    expect(omitted.content).toMatchObject([{ type: 'thinking', thinking: '' }, { type: 'text' }])
  })

  it('writes JSON of a schema', async () => {
    const schema = {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer' } },
      required: ['city', 'days'],
      additionalProperties: false,
    }
    const made = await stream('Plan 3 days in Oslo', { output_config: { format: { type: 'json_schema', schema } } })
    const [block] = made.content
    expect(JSON.parse(block?.type === 'text' ? block.text : '')).toEqual({ city: 'Oslo', days: 3 })
  })

  it('reads images and documents, and checks them', async () => {
    const image = (media_type: 'image/png', data: string) => ({
      type: 'image' as const,
      source: { type: 'base64' as const, media_type, data },
    })
    const pdf = { type: 'document' as const, source: { type: 'url' as const, url: 'https://example.test/a.pdf' } }
    const seen = await ask([image('image/png', 'AAAA'), pdf, { type: 'text', text: 'Say cheese' }])
    expect(seen.content).toMatchObject([{ text: 'cheese I received image/png (3 bytes), a file by URL.' }])
    expect((await failure(ask([image('image/tiff' as 'image/png', 'AAAA')]))).message).toMatch(
      /media_type: Input should be/,
    )
    expect((await failure(ask([image('image/png', 'no')]))).status).toBe(400)
  })

  it('counts what it keeps for later, and only where it is told to', async () => {
    const long = 'The loom has a warp and a weft. '.repeat(40)
    const system = [
      { type: 'text' as const, text: long, cache_control: { type: 'ephemeral' as const, ttl: '1h' as const } },
    ]
    const first = (await ask(PARIS, { system })).usage
    const second = (await ask('Another question', { system })).usage
    expect(first.cache_creation_input_tokens).toBeGreaterThan(300)
    expect(first.cache_creation?.ephemeral_1h_input_tokens).toBe(first.cache_creation_input_tokens)
    expect(first.cache_read_input_tokens).toBe(0)
    expect(second.cache_read_input_tokens).toBeGreaterThan(300)
    const plain = (await ask(PARIS, { system: long })).usage
    expect([plain.cache_read_input_tokens, plain.cache_creation_input_tokens]).toEqual([0, 0])
    expect(plain.input_tokens).toBe(first.input_tokens + (first.cache_creation_input_tokens ?? 0))
    const counted = await client.messages.countTokens({
      model: 'sim-chat',
      system: long,
      messages: params(PARIS).messages,
    })
    expect(counted.input_tokens).toBe(plain.input_tokens)
  })

  it('refuses what the API refuses', async () => {
    const cases: [Record<string, unknown>, RegExp][] = [
      [{ max_tokens: undefined }, /max_tokens: Field required/],
      [{ frequency_penalty: 1 }, /frequency_penalty: Extra inputs are not permitted/],
      [{ temperature: 1.5 }, /temperature: Input should be less than or equal to 1/],
      [{ stop_sequences: [' '] }, /non-whitespace/],
      [{ thinking: { type: 'enabled', budget_tokens: 100 } }, /greater than or equal to 1024/],
      [{ thinking: { type: 'enabled', budget_tokens: 4096 } }, /max_tokens` must be greater than/],
      [{ thinking: THINKING, tools: [WEATHER], tool_choice: { type: 'any' } }, /forces tool use/],
      [{ tool_choice: { type: 'auto' } }, /only be specified while providing tools/],
      [{ tools: [{ ...WEATHER, name: 'not allowed' }] }, /String should match pattern/],
      [{ messages: [{ role: 'tool', content: 'x' }] }, /messages/],
    ]
    for (const [change, message] of cases) {
      const error = await failure(ask(PARIS, change))
      expect([error.status, error.type]).toEqual([400, 'invalid_request_error'])
      expect(error.message).toMatch(message)
    }
  })

  it('checks key and version', async () => {
    const other = new Anthropic({ apiKey: 'sk-ant-wrong', baseURL: sim.url.replace(/\/v1$/, ''), maxRetries: 0 })
    const error = await failure(other.messages.create(params(PARIS)))
    expect([error.status, error.type]).toEqual([401, 'authentication_error'])
    const bare = await fetch(`${sim.url}/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': KEY },
      body: JSON.stringify(params(PARIS)),
    })
    expect(await bare.json()).toMatchObject({ error: { message: 'anthropic-version: header is required' } })
  })
})

describe('faults', () => {
  const fails = (fault: string, streamed = false) => {
    const request = params(PARIS, { model: `sim-chat~${fault}` })
    return failure(streamed ? client.messages.stream(request).finalMessage() : client.messages.create(request))
  }

  it.each([
    ['status=529', 529, 'overloaded_error'],
    ['overloaded_body=529', 529, 'overloaded_error'],
    ['overloaded_body=529-anthropic', 529, 'overloaded_error'],
    ['status=500', 500, 'api_error'],
    ['status=402', 402, 'billing_error'],
    ['insufficient_quota', 400, 'invalid_request_error'],
    ['auth_401', 401, 'authentication_error'],
    ['auth_403', 403, 'permission_error'],
    ['context_length', 400, 'invalid_request_error'],
    ['content_filter', 400, 'invalid_request_error'],
    ['annotations_first', 400, 'invalid_request_error'],
    ['rate_limit=google', 400, 'invalid_request_error'],
    ['overloaded_body=200-openai', 400, 'invalid_request_error'],
  ])('%s is told in its own words', async (fault, status, type) => {
    const error = await fails(fault)
    expect([error.status, error.type]).toEqual([status, type])
    expect(error.requestID).toMatch(/^req_/)
  })

  it.each([
    ['seconds', 'retry-after', /^2$/],
    ['date', 'retry-after', /GMT$/],
    ['ms', 'retry-after-ms', /^2000$/],
    ['go', 'anthropic-ratelimit-requests-reset', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/],
    ['long', 'retry-after', /^86400$/],
  ])('429 with the hint %s', async (hint, header, value) => {
    const error = await fails(`rate_limit=${hint}`)
    expect([error.status, error.type]).toEqual([429, 'rate_limit_error'])
    expect(error.headers?.get(header)).toMatch(value)
  })

  it('an error in a stream that began well', async () => {
    for (const fault of ['early_error', 'error_after=2'])
      expect((await fails(fault, true)).type).toBe('overloaded_error')
  })

  it('a stream without its end, or without its payload', async () => {
    const events = async (fault: string): Promise<string[]> => {
      const response = await client.messages
        .create({ ...params(PARIS, { model: `sim-chat~${fault}` }), stream: true })
        .asResponse()
      return [...(await response.text()).matchAll(/^event: (\w+)\r?$/gm)].map((match) => match[1] ?? '')
    }
    expect((await events('no_done')).at(-1)).toBe('message_delta')
    expect((await events('cut_stream_after=2')).at(-1)).toBe('content_block_delta')
    expect(await events('no_choices')).toEqual(['message_start', 'ping', 'message_delta', 'message_stop'])
    expect((await events('crlf')).at(-1)).toBe('message_stop')
    expect((await events('duplicate_frames')).filter((name) => name === 'content_block_delta')).toHaveLength(14)
  })

  it('quota and statistics count as in chat', async () => {
    const own = await startSim({ quota: { requestsPerMinute: 1 } })
    const limited = new Anthropic({ apiKey: 'k', baseURL: own.url.replace(/\/v1$/, ''), maxRetries: 0 })
    const first = await limited.messages.create(params(PARIS)).withResponse()
    expect(first.response.headers.get('anthropic-ratelimit-requests-remaining')).toBe('0')
    const error = await failure(limited.messages.create(params(PARIS)))
    expect([error.status, error.headers?.get('retry-after')]).toEqual([429, '60'])
    expect(own.stats()).toMatchObject({ byPath: { 'POST /v1/messages': 2 }, completionTokens: 7 })
    await own.close()
  })
})
