// The simulator as Ollama's own client meets it.
import { Ollama } from 'ollama'
import type { ChatRequest, ChatResponse, Message } from 'ollama'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'

let sim: Sim
let host = ''
let client: Ollama

beforeAll(async () => {
  sim = await startSim()
  host = sim.url.replace(/\/v1$/, '')
  client = new Ollama({ host })
})
afterAll(() => sim.close())

const PARIS = 'What is the capital of France?'
type Ask = Partial<Omit<ChatRequest, 'stream'>>
const request = (content: string, more: Ask = {}): Omit<ChatRequest, 'stream'> => ({
  model: 'sim-chat',
  messages: [{ role: 'user', content }],
  ...more,
})
const ask = (content: string, more: Ask = {}) => client.chat({ ...request(content, more), stream: false })
const stream = async (content: string, more: Ask = {}): Promise<ChatResponse[]> => {
  const parts: ChatResponse[] = []
  for await (const part of await client.chat({ ...request(content, more), stream: true })) parts.push(part)
  return parts
}
const textOf = (parts: readonly ChatResponse[]): string => parts.map(({ message }) => message.content).join('')
const raw = (path: string, body: unknown) =>
  fetch(host + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}

describe('chat', () => {
  it('answers in text, whole and in lines alike', async () => {
    const whole = await ask(PARIS)
    expect(whole).toMatchObject({
      model: 'sim-chat',
      message: { role: 'assistant', content: 'The capital of France is Paris.' },
      done: true,
      done_reason: 'stop',
      eval_count: 7,
    })
    const parts = await stream(PARIS)
    expect(textOf(parts)).toBe(whole.message.content)
    expect(parts.at(-1)).toMatchObject({ done: true, eval_count: 7, prompt_eval_count: whole.prompt_eval_count })
    expect((await raw('/api/chat', request(PARIS))).headers.get('content-type')).toBe('application/x-ndjson')
  })

  it('obeys its options, formats and limits', async () => {
    expect((await ask(PARIS, { options: { stop: [' is'] } })).message.content).toBe('The capital of France')
    const cut = await ask(PARIS, { options: { num_predict: 3 } })
    expect([cut.done_reason, cut.eval_count]).toEqual(['length', 3])
    const format = { type: 'object', properties: { days: { type: 'integer' } }, required: ['days'] }
    expect(JSON.parse((await ask('Plan 3 days', { format })).message.content)).toEqual({ days: 3 })
    expect(JSON.parse((await ask('Plan 3 days', { format: 'json' })).message.content)).toHaveProperty('answer')
    expect((await ask(PARIS, { logprobs: true, top_logprobs: 2 })).logprobs).toHaveLength(7)
  })

  it('calls tools and takes their results', async () => {
    const question: Message = { role: 'user', content: 'What is the weather in Oslo?' }
    const called = await ask('', { messages: [question], tools: [WEATHER] })
    expect(called.message.tool_calls).toMatchObject([
      { function: { name: 'get_weather', arguments: { city: 'Oslo' } } },
    ])
    const lines = await stream('', { messages: [question], tools: [WEATHER] })
    expect(lines.flatMap(({ message }) => message.tool_calls ?? [])).toEqual(called.message.tool_calls)
    for (const tool_name of ['get_weather', undefined]) {
      const result: Message = { role: 'tool', content: '7 °C', ...(tool_name === undefined ? {} : { tool_name }) }
      const answer = await ask('', { messages: [question, called.message, result], tools: [WEATHER] })
      expect(answer.message.content).toBe('The tool get_weather returned: 7 °C')
    }
  })

  it('thinks when told to, or by its name', async () => {
    const whole = await ask(PARIS, { think: true })
    expect([whole.message.thinking?.length ?? 0, whole.eval_count]).toEqual([expect.any(Number), 71])
    const parts = await stream(PARIS, { think: true })
    expect(parts.map(({ message }) => message.thinking ?? '').join('')).toBe(whole.message.thinking)
    expect((await ask(PARIS, { think: 'low' })).eval_count).toBe(39)
    expect((await ask(PARIS, { model: 'sim-reasoner' })).message.thinking).toBe(whole.message.thinking)
    expect((await ask(PARIS, { model: 'sim-reasoner', think: false })).message.thinking).toBeUndefined()
  })

  it('sees images by their first bytes', async () => {
    const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
    const seen = await ask('', { messages: [{ role: 'user', content: 'Say cheese', images: [png] }] })
    expect(seen.message.content).toBe('cheese I received image/png (70 bytes).')
    await expect(ask('', { messages: [{ role: 'user', content: 'x', images: ['!'] }] })).rejects.toThrow(
      /illegal base64/,
    )
  })
})

describe('the rest', () => {
  it('generates, embeds, lists, shows and tells its version', async () => {
    const made = await client.generate({ model: 'sim-chat', prompt: PARIS, system: 'Be short.' })
    expect(made).toMatchObject({ response: 'The capital of France is Paris.', done: true })
    const parts: string[] = []
    for await (const { response } of await client.generate({ model: 'sim-chat', prompt: PARIS, stream: true }))
      parts.push(response ?? '')
    expect(parts.join('')).toBe('The capital of France is Paris.')
    expect(
      (await client.embed({ model: 'sim-embed', input: ['a', 'b'], dimensions: 16 })).embeddings.map((v) => v.length),
    ).toEqual([16, 16])
    expect((await client.list()).models.map(({ name }) => name)).toContain('sim-chat')
    expect((await client.show({ model: 'sim-chat' })).capabilities).toContain('tools')
    expect((await client.version()).version).toMatch(/^\d/)
    expect(await (await raw('/api/chat', { model: 'sim-chat', stream: false })).json()).toMatchObject({
      done_reason: 'load',
    })
  })

  it('refuses what the server refuses', async () => {
    const cases: [unknown, number, RegExp][] = [
      [{ messages: [] }, 400, /model is required/],
      [request('x', { format: 'yaml' }), 400, /expected "json" or a valid JSON Schema/],
      [{ ...request('x'), think: 'much' }, 400, /invalid think value/],
      [{ ...request('x'), messages: 'x' }, 400, /cannot unmarshal/],
      [{ ...request('x'), messages: [{ role: 'model', content: 'x' }] }, 400, /invalid role: model/],
    ]
    for (const [body, status, message] of cases) {
      const response = await raw('/api/chat', body)
      expect(response.status).toBe(status)
      expect(((await response.json()) as { error: string }).error).toMatch(message)
    }
    const strict = await startSim({ strictModels: true, apiKey: 'k' })
    const other = (authorization: string) =>
      new Ollama({ host: strict.url.replace(/\/v1$/, ''), headers: { authorization } }).chat({
        model: 'nope',
        messages: [],
      })
    await expect(other('Bearer k')).rejects.toThrow(/model 'nope' not found/)
    await expect(other('')).rejects.toThrow(/unauthorized/)
    await strict.close()
  })

  it('fails in lines as well as with a status', async () => {
    const fault = (spec: string) => stream(PARIS, { model: `sim-chat~${spec}` })
    await expect(fault('error_after=2')).rejects.toThrow(/unexpected EOF/)
    await expect(fault('status=503')).rejects.toThrow(/engine is currently overloaded/)
    await expect(fault('overloaded_body=503')).rejects.toThrow(/server busy/)
    await expect(fault('insufficient_quota')).rejects.toThrow(/makes no sense on the ollama wire/)
    await expect(fault('comments')).rejects.toThrow(/makes no sense/)
    const lines = async (spec: string) =>
      (await (await raw('/api/chat', request(PARIS, { model: `sim-chat~${spec}` }))).text())
        .split(/\r?\n/)
        .filter((line) => line !== '')
    expect(await lines('no_done')).toHaveLength(7)
    expect(await lines('cut_stream_after=2')).toHaveLength(2)
    const truncated = (await lines('truncated_event=2')).at(-1) ?? ''
    expect(truncated).toMatch(/^\{"model".*cut $/)
    expect(() => JSON.parse(truncated) as unknown).toThrow(SyntaxError)
    expect((await lines('torn_utf8=1'))[1]).toContain('\uFFFD')
    expect(await lines('duplicate_frames')).toHaveLength(15)
    expect((await lines('no_choices')).join()).not.toContain('message')
  })
})
