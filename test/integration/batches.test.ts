// The Batch API, run here: by OpenAI's own client, over limits, cancellation, expiry and the end of processes.
import { createHash, randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { CHAT_ANSWER, sendJson, startBackend, type Backend } from '../support/backend.ts'
import { call, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { redisServer, TestRedis } from '../support/redis.ts'

let sim: Sim
const open = closedAfterEach()

beforeAll(async () => {
  sim = await startSim({ port: 0 })
})
afterAll(() => sim.close())

interface Parts {
  readonly url?: string
  readonly more?: string
  readonly workers?: number
  readonly batches?: string
}

const config = ({ url, more = 'responses: {}', workers = 1, batches = '{}' }: Parts = {}): string =>
  `server: { log: { level: silent, access: false }, workers: ${workers}, drain: { max: 200ms } }
providers:
  here: { type: openai_compatible, base_url: "${url ?? `http://127.0.0.1:${sim.port}/v1`}", operations: [chat, embeddings, passthrough], class: mesh }
  claude: { type: openai_compatible, base_url: "http://127.0.0.1:${sim.port}/v1", operations: [passthrough], wire: anthropic.messages, class: mesh }
models: { m: here/sim-1, claude: claude/claude-opus-4-5, elsewhere: here/sim-1 }
${more}
batches: ${batches}
`

const clientOf = (url: string, apiKey = 'none'): OpenAI => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 })

async function start(yaml: string): Promise<{ gateway: Gateway; client: OpenAI }> {
  const gateway = await startGateway(yaml)
  open.push(() => gateway.stop())
  return { gateway, client: clientOf(gateway.url) }
}

type Endpoint = OpenAI.BatchCreateParams['endpoint']
const CHAT: Endpoint = '/v1/chat/completions'

const line = (id: string, body: object, url: string = CHAT): object => ({ custom_id: id, method: 'POST', url, body })
const say = (content: string, model = 'm'): object => ({ model, messages: [{ role: 'user', content }] })

const upload = async (client: OpenAI, lines: readonly (object | string)[]): Promise<OpenAI.FileObject> => {
  const text = lines.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join('\n')
  return client.files.create({ purpose: 'batch', file: await toFile(Buffer.from(text), 'in.jsonl') })
}

const create = async (
  client: OpenAI,
  lines: readonly (object | string)[],
  { endpoint = CHAT, window = '24h' }: { endpoint?: Endpoint; window?: string } = {},
): Promise<OpenAI.Batch> => {
  const { id } = await upload(client, lines)
  return client.batches.create({ input_file_id: id, endpoint, completion_window: window as '24h' })
}

const FINAL = ['completed', 'failed', 'expired', 'cancelled']
async function ended(client: OpenAI, id: string, ms = 10_000): Promise<OpenAI.Batch> {
  let batch = await client.batches.retrieve(id)
  await until(async () => {
    batch = await client.batches.retrieve(id)
    return FINAL.includes(batch.status)
  }, ms)
  return batch
}

interface Result {
  readonly id: string
  readonly custom_id: string
  readonly response: {
    readonly status_code: number
    readonly body: { choices: { message: { content: string } }[] }
  } | null
  readonly error: { readonly code: string } | null
}
async function results(client: OpenAI, id: string | null | undefined): Promise<Result[]> {
  const text = await (await client.files.content(id!)).text()
  return text
    .split('\n')
    .filter((one) => one !== '')
    .map((one) => JSON.parse(one) as Result)
    .toSorted((a, b) => a.custom_id.localeCompare(b.custom_id))
}

/** Holds answers back until it is told. */
async function held(): Promise<{ backend: Backend; readonly release: () => void }> {
  const waiting: ServerResponse[] = []
  let free = false
  const backend = await startBackend((res) => {
    if (free) sendJson(res, 200, CHAT_ANSWER)
    else waiting.push(res)
  })
  open.push(() => backend.close())
  return {
    backend,
    release: () => {
      free = true
      for (const res of waiting.splice(0)) sendJson(res, 200, CHAT_ANSWER)
    },
  }
}

describe('a batch', () => {
  test.each([1, 2])('goes from a file of requests to a file of answers, at %i workers', async (workers) => {
    const { client, gateway } = await start(config({ workers }))
    const lines = Array.from({ length: 40 }, (_, i) => line(`q${i}`, say(`What is ${i} + 1?`)))
    const file = await upload(client, lines)
    expect(file).toMatchObject({ object: 'file', purpose: 'batch', filename: 'in.jsonl', status: 'processed' })
    expect(await (await client.files.content(file.id)).text()).toBe(lines.map((one) => JSON.stringify(one)).join('\n'))
    const batch = await client.batches.create({
      input_file_id: file.id,
      endpoint: CHAT,
      completion_window: '24h',
      metadata: { team: 'loom' },
    })
    expect(batch).toMatchObject({ object: 'batch', input_file_id: file.id, metadata: { team: 'loom' } })
    const done = await ended(client, batch.id)
    expect(done).toMatchObject({
      status: 'completed',
      request_counts: { total: 40, completed: 40, failed: 0 },
      errors: null,
    })
    expect(done.error_file_id).toBeNull()
    const found = await results(client, done.output_file_id)
    expect(found.map((one) => one.custom_id)).toEqual(lines.map((_, i) => `q${i}`).toSorted())
    expect(new Set(found.map((one) => one.id)).size).toBe(40)
    for (const one of found) expect(one.response!.status_code).toBe(200)
    // Counted like any other requests.
    expect(await gateway.metric('heddle_requests_total', { operation: 'chat', outcome: 'ok' })).toBe(40)
    expect(await gateway.metric('heddle_batch_lines_total', { result: 'completed' })).toBe(40)
  })

  test('of other paths, on a backend of another dialect', async () => {
    const { client } = await start(config())
    const asked: readonly (readonly [Endpoint, object])[] = [
      ['/v1/responses', { model: 'claude', input: 'Hello' }],
      ['/v1/embeddings', { model: 'm', input: 'Hello' }],
      ['/v1/messages' as Endpoint, { model: 'claude', max_tokens: 50, messages: [{ role: 'user', content: 'Hello' }] }],
    ]
    for (const [endpoint, body] of asked) {
      const done = await ended(client, (await create(client, [line('a', body, endpoint)], { endpoint })).id)
      expect([endpoint, done.status, done.request_counts]).toEqual([
        endpoint,
        'completed',
        { total: 1, completed: 1, failed: 0 },
      ])
    }
  })

  test('says which lines failed, and gives the others', async () => {
    const { client } = await start(config())
    const batch = await create(client, [line('good', say('x')), line('bad', { model: 'm', messages: 'none' })])
    const done = await ended(client, batch.id)
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 2, completed: 1, failed: 1 } })
    expect((await results(client, done.output_file_id)).map((one) => one.custom_id)).toEqual(['good'])
    expect(await results(client, done.error_file_id)).toMatchObject([
      { custom_id: 'bad', response: { status_code: 400, body: { error: { param: 'messages' } } }, error: null },
    ])
  })

  test('fails as a whole when its file is not what it should be, before anything is asked', async () => {
    const { client, gateway } = await start(config({ batches: '{ max_lines: 4, models: [m, claude] }' }))
    const first = line('a', say('x'))
    const cases: readonly (readonly [readonly (object | string)[], string, number | null])[] = [
      [[first, '{oops'], 'invalid_json_line', 2],
      [[first, first], 'duplicate_custom_id', 2],
      [[first, line('b', say('x'), '/v1/responses')], 'invalid_url', 2],
      [[first, line('b', say('x', 'elsewhere'))], 'model_not_found', 2],
      [[first, line('b', { ...say('x'), stream: true })], 'invalid_request', 2],
      [[first, ...['b', 'c', 'd', 'e'].map((id) => line(id, say('x')))], 'too_many_lines', null],
    ]
    for (const [lines, code, at] of cases) {
      const done = await ended(client, (await create(client, lines)).id)
      expect(done).toMatchObject({ status: 'failed', errors: { object: 'list', data: [{ code, line: at }] } })
    }
    expect(await gateway.metric('heddle_requests_total', { operation: 'chat' })).toBe(0)
  })

  test('is cancelled: what is under way ends, the rest is not begun', async () => {
    const { backend, release } = await held()
    const { client } = await start(config({ url: backend.url, batches: '{ concurrency: 2 }' }))
    const { id } = await create(
      client,
      Array.from({ length: 10 }, (_, i) => line(`q${i}`, say('x'))),
    )
    await until(() => backend.bodies.length === 2)
    expect(await client.batches.cancel(id)).toMatchObject({ status: 'cancelling' })
    release()
    const done = await ended(client, id)
    expect(done).toMatchObject({ status: 'cancelled', request_counts: { total: 10, completed: 2, failed: 0 } })
    expect(done.cancelled_at).toBeTypeOf('number')
    expect(backend.bodies).toHaveLength(2)
    expect(await results(client, done.output_file_id)).toHaveLength(2)
    await expect(client.batches.cancel(id)).rejects.toMatchObject({ status: 409 })
  })

  test('expires: lines that were not made stand in the file of errors', async () => {
    const { backend, release } = await held()
    const { client } = await start(config({ url: backend.url, batches: '{ concurrency: 1 }' }))
    const batch = await create(client, [line('a', say('x')), line('b', say('x'))], { window: '1s' })
    await until(() => backend.bodies.length === 1)
    await until(() => Date.now() / 1000 > batch.expires_at! + 0.1, 5000)
    release()
    const done = await ended(client, batch.id)
    expect(done).toMatchObject({ status: 'expired', request_counts: { total: 2, completed: 1, failed: 1 } })
    expect(await results(client, done.error_file_id)).toMatchObject([
      { custom_id: 'b', response: null, error: { code: 'batch_expired' } },
    ])
  })

  test('goes on under other settings', async () => {
    const { backend, release } = await held()
    const { client, gateway } = await start(config({ url: backend.url, batches: '{ concurrency: 2 }' }))
    const { id } = await create(
      client,
      Array.from({ length: 6 }, (_, i) => line(`q${i}`, say('x'))),
    )
    await until(() => backend.bodies.length === 2)
    expect(await gateway.reload(config({ url: backend.url, batches: '{ concurrency: 3 }' }))).toBe(true)
    release()
    const done = await ended(client, id)
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 6, completed: 6, failed: 0 } })
    expect(backend.bodies).toHaveLength(6)
  })

  test('waits for limits instead of failing by them', async () => {
    const more = 'responses: {}\nlimits: { all: { rules: [{ requests: 3, per: 1s }] } }'
    const { client } = await start(config({ more }))
    const done = await ended(
      client,
      (
        await create(
          client,
          Array.from({ length: 6 }, (_, i) => line(`q${i}`, say('x'))),
        )
      ).id,
    )
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 6, completed: 6, failed: 0 } })
  })
})

describe('files and lists', () => {
  test('are listed page by page, and deleted', async () => {
    const { client } = await start(config())
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.push((await create(client, [line('a', say('x'))])).id)
    for (const id of ids) await ended(client, id)
    const listed: string[] = []
    for await (const batch of client.batches.list({ limit: 2 })) listed.push(batch.id)
    expect(listed.toSorted()).toEqual(ids.toSorted())
    const files: OpenAI.FileObject[] = []
    for await (const file of client.files.list({ limit: 4 })) files.push(file)
    expect(files.map(({ purpose }) => purpose).toSorted()).toEqual([
      ...Array.from({ length: 3 }, () => 'batch'),
      ...Array.from({ length: 3 }, () => 'batch_output'),
    ])
    for (const { id } of files) expect(await client.files.delete(id)).toMatchObject({ id, deleted: true })
    expect((await client.files.list()).data).toEqual([])
    await expect(client.files.content(files[0]!.id)).rejects.toMatchObject({ status: 404 })
  })

  test('a large file comes back byte for byte', async () => {
    const { client } = await start(config())
    const text = Array.from({ length: 3000 }, (_, i) => JSON.stringify(line(`q${i}`, say('é'.repeat(500))))).join(
      '\r\n',
    )
    const { id, bytes } = await client.files.create({
      purpose: 'batch',
      file: await toFile(Buffer.from(text), 'x.jsonl'),
    })
    expect(bytes).toBe(Buffer.byteLength(text))
    const back = Buffer.from(await (await client.files.content(id)).arrayBuffer())
    expect(back.equals(Buffer.from(text))).toBe(true)
  })

  test('what is too large, too many or unknown is refused', async () => {
    const { backend, release } = await held()
    const { client } = await start(config({ url: backend.url, batches: '{ max_file: 1KiB, max_open: 1 }' }))
    await expect(upload(client, [line('a', say('x'.repeat(2000)))])).rejects.toMatchObject({ status: 413 })
    const { id } = await create(client, [line('a', say('x'))])
    await expect(create(client, [line('a', say('x'))])).rejects.toMatchObject({ status: 429 })
    release()
    await ended(client, id)
    await until(async () => (await create(client, [line('a', say('x'))]).catch(() => null)) !== null)
    const unknown = { input_file_id: `file-hdl_${'x'.repeat(32)}`, endpoint: CHAT, completion_window: '24h' as const }
    await expect(client.batches.create(unknown)).rejects.toMatchObject({ status: 404 })
  })

  test('what is not for here passes to the provider', async () => {
    const seen: string[] = []
    const backend = await startBackend((res, _n, req) => {
      seen.push(`${req.method} ${req.url}`)
      sendJson(res, 200, { id: 'file-theirs', object: 'file' })
    })
    open.push(() => backend.close())
    const { client } = await start(config({ url: backend.url, batches: '{ models: [claude] }' }))
    expect(await upload(client, [line('a', say('x', 'm'))])).toMatchObject({ id: 'file-theirs' })
    await client.files.retrieve('file-theirs')
    await client.batches.create({ input_file_id: 'file-theirs', endpoint: CHAT, completion_window: '24h' })
    await client.batches.list({}, { headers: { 'x-heddle-provider': 'here' } })
    await client.files.create({ purpose: 'user_data', file: await toFile(Buffer.from('x'), 'x.txt') })
    expect(seen).toEqual([
      'POST /v1/files',
      'GET /v1/files/file-theirs',
      'POST /v1/batches',
      'GET /v1/batches',
      'POST /v1/files',
    ])
  })
})

describe('who may', () => {
  const KEYS = ['sk-ada-0123456789', 'sk-bob-0123456789']
  const hash = (key: string): string => createHash('sha256').update(key).digest('hex')
  const auth = (models: string): string => `responses: {}
auth:
  keys:
    - { id: ada, hash: "sha256:${hash(KEYS[0]!)}", models: [${models}] }
    - { id: bob, hash: "sha256:${hash(KEYS[1]!)}" }
`

  test('nobody else sees files and batches', async () => {
    const { gateway } = await start(config({ more: auth('"*"') }))
    const [ada, bob] = KEYS.map((key) => clientOf(gateway.url, key)) as [OpenAI, OpenAI]
    const batch = await create(ada, [line('a', say('x'))])
    const done = await ended(ada, batch.id)
    for (const id of [done.input_file_id, done.output_file_id!]) {
      await expect(bob.files.retrieve(id)).rejects.toMatchObject({ status: 404 })
      await expect(bob.files.content(id)).rejects.toMatchObject({ status: 404 })
      await expect(bob.files.delete(id)).rejects.toMatchObject({ status: 404 })
    }
    await expect(bob.batches.retrieve(batch.id)).rejects.toMatchObject({ status: 404 })
    await expect(bob.batches.cancel(batch.id)).rejects.toMatchObject({ status: 404 })
    const taken = { input_file_id: done.input_file_id, endpoint: CHAT, completion_window: '24h' as const }
    await expect(bob.batches.create(taken)).rejects.toMatchObject({ status: 404 })
    expect((await bob.batches.list()).data).toEqual([])
    expect((await bob.files.list()).data).toEqual([])
    expect((await call(`${gateway.url}/v1/files`)).status).toBe(401)
  })

  test('lines may do what their caller may', async () => {
    const { gateway } = await start(config({ more: auth('claude') }))
    const ada = clientOf(gateway.url, KEYS[0])
    const done = await ended(ada, (await create(ada, [line('no', say('x')), line('yes', say('x', 'claude'))])).id)
    expect(await results(ada, done.error_file_id)).toMatchObject([{ custom_id: 'no', response: { status_code: 403 } }])
    expect(await results(ada, done.output_file_id)).toMatchObject([{ custom_id: 'yes' }])
  })

  test('a key that is revoked meanwhile has lost the rest of its batch', async () => {
    const { backend, release } = await held()
    const { gateway } = await start(config({ url: backend.url, more: auth('"*"'), batches: '{ concurrency: 1 }' }))
    const ada = clientOf(gateway.url, KEYS[0])
    const { id } = await create(ada, [line('a', say('x')), line('b', say('x'))])
    await until(() => backend.bodies.length === 1)
    expect((await call(`${gateway.adminUrl}/admin/keys/revoked`, { body: { id: 'ada' } })).status).toBeLessThan(300)
    release()
    await until(async () => (await gateway.metric('heddle_batch_lines_total', { result: 'failed' })) === 1)
    expect(backend.bodies).toHaveLength(1)
    await expect(ada.batches.retrieve(id)).rejects.toMatchObject({ status: 401 })
  })
})

describe.skipIf(redisServer === null)('over the end of the process', () => {
  test('another process goes on where it stood: every line once', async () => {
    const redis = await TestRedis.start()
    open.push(() => redis.stop())
    const key = randomBytes(32).toString('base64')
    const more = `ledger: { redis: { url: "${redis.url}" } }\nresponses: { store: redis, encryption_key: "${key}" }`
    let free = 20
    const waiting: ServerResponse[] = []
    const backend = await startBackend((res) => {
      if (free-- > 0) sendJson(res, 200, CHAT_ANSWER)
      else waiting.push(res)
    })
    open.push(() => backend.close())
    const yaml = config({ url: backend.url, more, batches: '{ concurrency: 4 }' })
    const first = await startGateway(yaml)
    const lines = Array.from({ length: 50 }, (_, i) => line(`q${String(i).padStart(2, '0')}`, say(`line ${i}`)))
    const { id } = await create(clientOf(first.url), lines)
    await until(() => waiting.length === 4)
    await first.stop()
    free = 1000
    const { client } = await start(yaml)
    const done = await ended(client, id, 15_000)
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 50, completed: 50, failed: 0 } })
    const found = await results(client, done.output_file_id)
    expect(found.map((one) => one.custom_id)).toEqual(lines.map((_, i) => `q${String(i).padStart(2, '0')}`))
    // Those that were cut were asked twice, and no others.
    expect(backend.bodies).toHaveLength(54)
  }, 30_000)
})
