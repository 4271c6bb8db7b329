// One brain behind all wires: whoever asks, however it is asked, the answer is the same.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'
import type { Conversation, Said, WireName } from '../support/wires.ts'
import { askOver, canAsk, WIRE_NAMES } from '../support/wires.ts'

let sim: Sim
let origin = ''
beforeAll(async () => {
  sim = await startSim({ seed: 7 })
  origin = sim.url.replace(/\/v1$/, '')
})
afterAll(() => sim.close())

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const user = (text: string) => ({ role: 'user' as const, text })
const tool = (name: string) => ({
  name,
  description: `Asks ${name}`,
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' }, days: { type: 'integer' } },
    required: ['city', 'days'],
  },
})
const tools = [tool('get_weather'), tool('get_time')]
const call = (name: string, id: string) => ({ id, name, input: { city: 'Oslo', days: 3 } })
const [first, second] = [call('get_weather', 'call_1'), call('get_time', 'call_2')]
const schema = {
  type: 'object',
  properties: { city: { type: 'string' }, tags: { type: 'array', items: { type: 'string' }, minItems: 1 } },
  required: ['city', 'tags'],
  additionalProperties: false,
}

const CONVERSATIONS: readonly Conversation[] = [
  { name: 'a question', turns: [user('What is the capital of France?')] },
  { name: 'seeded text in other scripts', turns: [user('Erzähl mir von Webstühlen – 日本語 😀, bitte ausführlich')] },
  {
    name: 'instructions and a history',
    system: 'Be short.',
    turns: [user('My name is Ada.'), { role: 'assistant', text: 'Hello Ada.' }, user('What is my name?')],
  },
  { name: 'a limit', turns: [user('Tell me of looms and threads')], maxTokens: 9 },
  { name: 'a stop sequence', turns: [user('Count to 20')], stop: [', 7'] },
  { name: 'an image', turns: [{ role: 'user', text: 'Say cheese', image: PNG }] },
  { name: 'a tool by itself', turns: [user('What is the weather in Oslo for 3 days?')], tools },
  { name: 'two tools at once', turns: [user('ALWAYS call get_weather and get_time in Oslo for 3 days')], tools },
  { name: 'one tool at a time', turns: [user('Call get_weather and get_time in Oslo')], tools, single: true },
  {
    name: 'a tool that must be called',
    turns: [user('Good evening in Oslo, 3 times')],
    tools,
    choice: 'tool:get_time',
  },
  { name: 'some tool that must be called', turns: [user('Good evening, Oslo')], tools, choice: 'required' },
  {
    name: 'results of two tools',
    system: 'Use tools.',
    tools,
    turns: [
      user('ALWAYS call get_weather and get_time in Oslo for 3 days'),
      { role: 'assistant', text: 'I shall.', calls: [first, second] },
      {
        role: 'results',
        results: [
          { call: first, text: '7 °C and "rain"' },
          { call: second, text: '{"time": "12:00"}' },
        ],
      },
    ],
  },
  { name: 'JSON of a schema', turns: [user('Plan a day in Oslo')], schema },
  { name: 'thinking', turns: [user('Why do threads cross?')], think: true },
  { name: 'a model that thinks', turns: [user('Why do threads cross?')], model: 'sim-reasoner' },
  { name: 'thinking before a call', turns: [user('What is the weather in Oslo for 3 days?')], tools, think: true },
]

const PAIRS = CONVERSATIONS.flatMap((asked) =>
  WIRE_NAMES.filter((name) => canAsk(name, asked)).map((name): [string, WireName, Conversation] => [
    asked.name,
    name,
    asked,
  ]),
)

/** Cohere names a tool by offering no other: its prompt is shorter. */
const comparable = (said: Said, name: WireName, { choice }: Conversation): Said =>
  name === 'cohere' && choice?.startsWith('tool:') === true ? { ...said, usage: { ...said.usage, input: 0 } } : said

describe('the same conversation', () => {
  it('is asked over enough wires', () => {
    for (const name of WIRE_NAMES) {
      const count = PAIRS.filter((pair) => pair[1] === name).length
      expect([name, count >= (name === 'tgi' ? 4 : 12)]).toEqual([name, true])
    }
  })

  it.each(PAIRS)('%s over %s', async (_, name, asked) => {
    const wanted = comparable(await askOver('openai.chat', origin, asked, false), name, asked)
    for (const stream of [false, true]) {
      const said = await askOver(name, origin, asked, stream)
      expect(said.usage.input).toBeGreaterThan(0)
      expect(comparable(said, name, asked)).toEqual(wanted)
    }
  })

  it('says something, in each of its ways', async () => {
    const all = await Promise.all(CONVERSATIONS.map((asked) => askOver('openai.chat', origin, asked, false)))
    const of = (name: string): Said | undefined => all[CONVERSATIONS.findIndex((asked) => asked.name === name)]
    expect(of('two tools at once')?.calls.map(({ name }) => name)).toEqual(['get_weather', 'get_time'])
    expect(of('one tool at a time')?.calls).toHaveLength(1)
    expect(of('a limit')).toMatchObject({ finish: 'length', usage: { output: 9 } })
    expect(of('a stop sequence')?.text).toBe('1, 2, 3, 4, 5, 6')
    expect(of('an image')?.text).toBe('cheese I received image/png (70 bytes).')
    expect(of('thinking')?.reasoning.length).toBeGreaterThan(100)
    expect(of('thinking before a call')).toMatchObject({ finish: 'tool_calls', calls: [{ name: 'get_weather' }] })
    expect(of('results of two tools')?.text).toContain('The tool get_time returned: {"time": "12:00"}')
  })
})

describe('the smaller things', () => {
  const send = (path: string, body: unknown) =>
    fetch(origin + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })

  it('TGI: a list from the root, the text with what stopped it, errors of its own', async () => {
    const inputs = 'What is the capital of France?'
    const root = await send('/', { inputs, parameters: { stop: [' is'], details: true } })
    expect(await root.json()).toMatchObject([
      { generated_text: 'The capital of France is', details: { finish_reason: 'stop_sequence' } },
    ])
    const full = await send('/generate', { inputs, parameters: { return_full_text: true } })
    expect(await full.json()).toEqual({ generated_text: `${inputs}The capital of France is Paris.` })
    for (const parameters of [{ temperature: 0 }, { top_p: 1 }, { stop: ['a', 'b', 'c', 'd', 'e'] }]) {
      const refused = await send('/generate', { inputs, parameters })
      expect([refused.status, await refused.json()]).toMatchObject([422, { error_type: 'validation' }])
    }
    const failing = (fault: string, path = '/generate_stream') =>
      fetch(origin + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-sim-fault': fault },
        body: JSON.stringify({ inputs }),
      })
    expect(await (await failing('error_after=2')).text()).toMatch(
      /\ndata:\{"error":"[^\n]*","error_type":"generation"\}\n\n$/,
    )
    expect((await failing('overloaded_body=429')).status).toBe(400)
    expect(await (await failing('overloaded_body=503')).json()).toMatchObject({ error_type: expect.any(String) })
    expect(await (await failing('content_filter')).json()).toMatchObject({ error: /makes no sense/ })
    expect(await (await failing('no_done')).text()).not.toContain('finish_reason')
    expect((await fetch(`${origin}/health`)).status).toBe(200)
    expect(await (await fetch(`${origin}/info`)).json()).toMatchObject({ model_id: 'sim-chat' })
  })

  it('ranks documents as Jina and vLLM do', async () => {
    const documents = ['cats', { text: 'looms for weaving' }, 'rain']
    const ranked = await send('/v1/rerank', {
      model: 'sim-rerank',
      query: 'weaving looms',
      documents,
      top_n: 1,
      return_documents: true,
    })
    expect(await ranked.json()).toMatchObject({
      results: [{ index: 1, relevance_score: expect.any(Number), document: { text: 'looms for weaving' } }],
      usage: { total_tokens: expect.any(Number) },
    })
    expect((await send('/v1/rerank', { model: 'sim-rerank', query: 'x', documents: [] })).status).toBe(400)
  })

  it('seals what is thought for the Responses API, and refuses it altered', async () => {
    const asked = { model: 'sim-reasoner', input: 'Why?', include: ['reasoning.encrypted_content'], store: false }
    interface Item {
      readonly type: string
      readonly encrypted_content?: string
    }
    const { output } = (await (await send('/v1/responses', asked)).json()) as { output: Item[] }
    const sealed = output.find(({ type }) => type === 'reasoning')
    const again = (encrypted_content: string) =>
      send('/v1/responses', {
        ...asked,
        input: [
          { ...sealed, encrypted_content },
          { role: 'user', content: 'And?' },
        ],
      })
    const content = sealed?.encrypted_content ?? ''
    expect((await again(content)).status).toBe(200)
    expect(await (await again(`x${content}`)).json()).toMatchObject({ error: { code: 'invalid_encrypted_content' } })
  })
})
