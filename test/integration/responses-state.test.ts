// Answers of the Responses API that are kept: chains, retrieval, deletion, who may; by OpenAI's own client.
import { createHash, randomBytes } from 'node:crypto'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { sendJson, startBackend, type Backend } from '../support/backend.ts'
import { call } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { redisServer, TestRedis } from '../support/redis.ts'

let sim: Sim
const open = closedAfterEach()

beforeAll(async () => {
  sim = await startSim({ port: 0 })
})
afterAll(() => sim.close())

const provider = (name: string, url: string, more: string): string =>
  `  ${name}: { type: openai_compatible, base_url: "${url}", ${more}, class: mesh }\n`

function config({ more = 'responses: {}', workers = 1, native = '' } = {}): string {
  const url = `http://127.0.0.1:${sim.port}/v1`
  return (
    `server: { log: { level: silent, access: false }, workers: ${workers} }\nproviders:\n` +
    provider('claude', url, 'operations: [passthrough], wire: anthropic.messages') +
    (native === '' ? '' : provider('own', native, 'operations: [chat, responses, passthrough]')) +
    `models:\n  claude: claude/claude-opus-4-5\n` +
    (native === '' ? '' : '  own: own/sim-1\n  both: [own/sim-1, claude/claude-opus-4-5]\n') +
    `${more}\n`
  )
}

const clientOf = (url: string, apiKey = 'none'): OpenAI => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 })

async function start(yaml: string): Promise<{ gateway: Gateway; client: OpenAI }> {
  const gateway = await startGateway(yaml)
  open.push(() => gateway.stop())
  return { gateway, client: clientOf(gateway.url) }
}

const WHO = 'What is my name?'

describe('conversations', () => {
  test.each([1, 2])('three turns are told by ids alone, at %i workers', async (workers) => {
    const { client } = await start(config({ workers }))
    let previous: string | undefined
    const ids: string[] = []
    // Each call opens a connection of its own: any worker may get it.
    for (const input of ['My name is Ada.', 'I weave.', WHO]) {
      const fresh = clientOf(client.baseURL.replace('/v1', ''))
      const answer = await fresh.responses.create({
        model: 'claude',
        input,
        ...(previous === undefined ? {} : { previous_response_id: previous }),
      })
      expect(answer).toMatchObject({ status: 'completed', store: true, previous_response_id: previous ?? null })
      expect(await fresh.responses.retrieve(answer.id)).toMatchObject({ id: answer.id, output: answer.output })
      previous = answer.id
      ids.push(answer.id)
      if (input === WHO) expect(answer.output_text).toContain('Ada')
    }
    expect(new Set(ids).size).toBe(3)
    const items: string[] = []
    for await (const item of client.responses.inputItems.list(ids[2]!, { order: 'asc', limit: 2 }))
      items.push(item.type === 'message' ? item.role : item.type)
    expect(items).toEqual(['user', 'assistant', 'user', 'assistant', 'user'])
  })

  test('a stream is kept as well, when its last event is there, and is told again from any number on', async () => {
    const { client } = await start(config())
    let id = ''
    const stream = await client.responses.create({ model: 'claude', input: 'My name is Ada.', stream: true })
    for await (const event of stream) if (event.type === 'response.completed') id = event.response.id
    const next = await client.responses.create({ model: 'claude', input: WHO, previous_response_id: id })
    expect(next.output_text).toContain('Ada')
    const again = await client.responses.retrieve(next.id, { stream: true })
    const numbers: number[] = []
    let text = ''
    for await (const event of again) {
      numbers.push(event.sequence_number)
      if (event.type === 'response.output_text.delta') text += event.delta
    }
    expect(text).toBe(next.output_text)
    expect(numbers).toEqual(numbers.map((_, i) => i))
    const rest = await client.responses.retrieve(next.id, { stream: true, starting_after: 4 })
    const left: number[] = []
    for await (const event of rest) left.push(event.sequence_number)
    expect(left).toEqual(numbers.slice(5))
  })

  test('tools: a call and its result, by id', async () => {
    const { client } = await start(config())
    const tools = [
      {
        type: 'function' as const,
        name: 'get_weather',
        description: 'Weather of a city',
        strict: false,
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      },
    ]
    const first = await client.responses.create({ model: 'claude', input: 'What is the weather in Paris?', tools })
    const made = first.output.find((item) => item.type === 'function_call')!
    expect(made).toMatchObject({ name: 'get_weather' })
    const second = await client.responses.create({
      model: 'claude',
      tools,
      previous_response_id: first.id,
      input: [{ type: 'function_call_output', call_id: made.call_id, output: '{"celsius":21}' }],
    })
    expect(second.status).toBe('completed')
    expect(second.output_text).toContain('21')
  })

  test('an item is found by its id', async () => {
    const { client } = await start(config())
    const first = await client.responses.create({ model: 'claude', input: 'My name is Ada.' })
    const [said] = (await client.responses.inputItems.list(first.id)).data
    const input = [
      { type: 'item_reference' as const, id: said!.id },
      { type: 'item_reference' as const, id: first.output[0]!.id! },
      { role: 'user' as const, content: WHO },
    ]
    expect((await client.responses.create({ model: 'claude', input })).output_text).toContain('Ada')
    const missing = [{ type: 'item_reference' as const, id: `${first.output[0]!.id!}9` }]
    await expect(client.responses.create({ model: 'claude', input: missing })).rejects.toMatchObject({ status: 400 })
  })

  test('what is not to be kept is not', async () => {
    const { client } = await start(config())
    const first = await client.responses.create({ model: 'claude', input: 'My name is Ada.' })
    const made = await client.responses.create({
      model: 'claude',
      input: 'x',
      store: false,
      previous_response_id: first.id,
    })
    expect(made).toMatchObject({ store: false })
    await expect(client.responses.retrieve(made.id)).rejects.toMatchObject({ status: 404 })
    const alone = await client.responses.create({ model: 'claude', input: 'x', store: false })
    expect(alone.id).not.toContain('hdl_')
    expect(alone).toMatchObject({ store: false })
  })

  test('deleted is deleted: for retrieval, and for those who would go on', async () => {
    const { client, gateway } = await start(config())
    const first = await client.responses.create({ model: 'claude', input: 'My name is Ada.' })
    const second = await client.responses.create({ model: 'claude', input: 'x', previous_response_id: first.id })
    const gone = await call(`${gateway.url}/v1/responses/${first.id}`, { method: 'DELETE' })
    expect(gone.json()).toEqual({ id: first.id, object: 'response', deleted: true })
    await expect(client.responses.retrieve(first.id)).rejects.toMatchObject({ status: 404 })
    for (const previous_response_id of [first.id, second.id])
      await expect(
        client.responses.create({ model: 'claude', input: 'y', previous_response_id }),
      ).rejects.toMatchObject({
        status: 400,
        code: 'previous_response_not_found',
        param: 'previous_response_id',
      })
    expect((await call(`${gateway.url}/v1/responses/${first.id}`, { method: 'DELETE' })).status).toBe(404)
    expect((await call(`${gateway.url}/v1/responses/${first.id}`, { method: 'PUT', body: {} })).status).toBe(405)
  })

  test('off means off: the fields are refused as before', async () => {
    const { client } = await start(config({ more: '' }))
    const first = await client.responses.create({ model: 'claude', input: 'My name is Ada.' })
    expect(first).toMatchObject({ store: false })
    expect(first.id).not.toContain('hdl_')
    for (const more of [{ previous_response_id: 'resp_1' }, { background: true }, { conversation: 'conv_1' }])
      await expect(client.responses.create({ model: 'claude', input: 'x', ...more })).rejects.toMatchObject({
        status: 400,
        code: 'unsupported_parameter',
      })
  })

  test('a conversation object is refused with a reason', async () => {
    const { client } = await start(config())
    await expect(
      client.responses.create({ model: 'claude', input: 'x', conversation: 'conv_1' }),
    ).rejects.toMatchObject({
      status: 400,
      param: 'conversation',
    })
  })
})

describe('who may', () => {
  const sha = (key: string): string => createHash('sha256').update(key).digest('hex')

  test('nobody else finds, deletes, lists or goes on from an answer', async () => {
    const keys = ['sk-ada-0123456789', 'sk-bob-0123456789', 'sk-eve-0123456789']
    const more = `responses: {}
tenants: { loom: {}, mill: {} }
auth:
  keys:
    - { id: ada, hash: "sha256:${sha(keys[0]!)}", tenant: loom }
    - { id: bob, hash: "sha256:${sha(keys[1]!)}", tenant: loom }
    - { id: eve, hash: "sha256:${sha(keys[2]!)}", tenant: mill }
`
    const { gateway } = await start(config({ more }))
    const [ada, bob, eve] = keys.map((key) => clientOf(gateway.url, key))
    const { id } = await ada!.responses.create({ model: 'claude', input: 'My name is Ada.' })
    for (const other of [bob!, eve!]) {
      await expect(other.responses.retrieve(id)).rejects.toMatchObject({ status: 404 })
      await expect(other.responses.inputItems.list(id)).rejects.toMatchObject({ status: 404 })
      await expect(other.responses.delete(id)).rejects.toMatchObject({ status: 404 })
      await expect(other.responses.cancel(id)).rejects.toMatchObject({ status: 404 })
      await expect(
        other.responses.create({ model: 'claude', input: WHO, previous_response_id: id }),
      ).rejects.toMatchObject({ status: 400, code: 'previous_response_not_found' })
      await expect(
        other.responses.create({
          model: 'claude',
          input: [{ type: 'item_reference', id: `msg_${id.slice(5)}_i0` }],
        }),
      ).rejects.toMatchObject({ status: 400 })
    }
    const stranger = await call(`${gateway.url}/v1/responses/${id}`)
    expect(stranger.status).toBe(401)
    expect((await ada!.responses.retrieve(id)).id).toBe(id)
  })
})

describe('backends that speak the API themselves', () => {
  const RESPONSE = { id: 'resp_theirs', object: 'response', status: 'completed', output: [], usage: null }
  const native = async (): Promise<Backend> => {
    const backend = await startBackend((res) => sendJson(res, 200, RESPONSE))
    open.push(() => backend.close())
    return backend
  }

  test('their ids and requests pass as they come', async () => {
    const backend = await native()
    const { client } = await start(config({ native: backend.url }))
    const body = { model: 'own', input: 'x', previous_response_id: 'resp_theirs', background: true }
    expect(await client.responses.create(body)).toMatchObject({ id: 'resp_theirs' })
    expect(JSON.parse(String(backend.bodies[0]))).toEqual({ ...body, model: 'sim-1' })
    await client.responses.retrieve('resp_theirs', {}, { headers: { 'x-heddle-provider': 'own' } })
    expect(backend.bodies).toHaveLength(2)
  })

  test('a conversation begun elsewhere goes on there, told in full', async () => {
    const backend = await native()
    const { client } = await start(config({ native: backend.url }))
    const first = await client.responses.create({ model: 'claude', input: 'My name is Ada.' })
    await client.responses.create({ model: 'own', input: WHO, previous_response_id: first.id })
    const sent = JSON.parse(String(backend.bodies[0])) as { input: object[]; previous_response_id?: string }
    expect(sent.previous_response_id).toBeUndefined()
    expect(sent.input).toMatchObject([
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'My name is Ada.' }] },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: first.output_text }] },
      { role: 'user', content: WHO },
    ])
    expect(JSON.stringify(sent)).not.toContain('hdl_')
  })

  test('an id of a provider goes only where that is known', async () => {
    const backend = await native()
    const { client } = await start(config({ native: backend.url }))
    await expect(
      client.responses.create({ model: 'claude', input: 'x', previous_response_id: 'resp_theirs' }),
    ).rejects.toMatchObject({ status: 400, code: 'previous_response_not_found', param: 'previous_response_id' })
    const { id } = await client.responses.create({ model: 'both', input: 'x', previous_response_id: 'resp_theirs' })
    expect(id).toBe('resp_theirs')
  })
})

describe('bounds', () => {
  test('an answer that is too large to be kept says so, whole and streamed', async () => {
    const { client, gateway } = await start(config({ more: 'responses: { max_item: 1KiB }' }))
    const input = 'word '.repeat(500)
    const whole = await client.responses.create({ model: 'claude', input })
    expect(whole).toMatchObject({ store: false })
    await expect(client.responses.retrieve(whole.id)).rejects.toMatchObject({ status: 404 })
    let last: OpenAI.Responses.ResponseStreamEvent | null = null
    for await (const event of await client.responses.create({ model: 'claude', input, stream: true })) last = event
    expect(last).toMatchObject({ type: 'response.completed', response: { store: false } })
    expect(await gateway.metric('heddle_responses_store_faults_total', { fault: 'size' })).toBe(2)
  })

  test('a conversation has a greatest length', async () => {
    const { client } = await start(config({ more: 'responses: { max_chain: 2 }' }))
    let { id } = await client.responses.create({ model: 'claude', input: 'a' })
    for (const input of ['b', 'c'])
      id = (await client.responses.create({ model: 'claude', input, previous_response_id: id })).id
    await expect(
      client.responses.create({ model: 'claude', input: 'd', previous_response_id: id }),
    ).rejects.toMatchObject({ status: 400, param: 'previous_response_id' })
  })

  test('memory holds what it may: the oldest answers make room', async () => {
    const { client } = await start(config({ more: 'responses: { max_bytes: 1MiB, max_item: 512KiB }' }))
    const input = 'x'.repeat(300_000)
    const ids: string[] = []
    for (let i = 0; i < 4; i++) ids.push((await client.responses.create({ model: 'claude', input })).id)
    await expect(client.responses.retrieve(ids[0]!)).rejects.toMatchObject({ status: 404 })
    expect((await client.responses.retrieve(ids[3]!)).id).toBe(ids[3])
  })

  test('a reload of something else loses nothing', async () => {
    const { client, gateway } = await start(config())
    const { id } = await client.responses.create({ model: 'claude', input: 'My name is Ada.' })
    expect(await gateway.reload(config({ more: 'responses: {}\ndefaults: { retries: { max_attempts: 2 } }' }))).toBe(
      true,
    )
    expect(
      (await client.responses.create({ model: 'claude', input: WHO, previous_response_id: id })).output_text,
    ).toContain('Ada')
  })
})

describe.skipIf(redisServer === null)('in Redis', () => {
  const key = randomBytes(32).toString('base64')
  const more = (redis: TestRedis): string =>
    `ledger: { redis: { url: "${redis.url}" } }\nresponses: { store: redis, encryption_key: "${key}" }`

  test('another process goes on; nothing can be read there; who is away is told', async () => {
    const redis = await TestRedis.start()
    open.push(() => redis.stop())
    const first = await startGateway(config({ more: more(redis) }))
    const { id } = await clientOf(first.url).responses.create({ model: 'claude', input: 'My name is Adamantine.' })
    await first.stop()
    const { client, gateway } = await start(config({ more: more(redis), workers: 2 }))
    const next = await client.responses.create({ model: 'claude', input: WHO, previous_response_id: id })
    expect(next.output_text).toContain('Adamantine')
    const dump = await redis.ask(
      'EVAL',
      "local o='' for _,k in ipairs(redis.call('KEYS','*blob*')) do o=o..redis.call('GET',k) end return o",
      '0',
    )
    expect(dump.length).toBeGreaterThan(500)
    for (const hidden of ['Adamantine', Buffer.from('Adamantine').toString('base64').slice(0, 10), id])
      expect(dump).not.toContain(hidden)
    await redis.kill()
    await expect(
      client.responses.create({ model: 'claude', input: WHO, previous_response_id: id }),
    ).rejects.toMatchObject({ status: 503 })
    // An answer that cannot be kept is an answer all the same.
    expect(await clientOf(gateway.url).responses.create({ model: 'claude', input: 'x' })).toMatchObject({
      store: false,
    })
  })
})
