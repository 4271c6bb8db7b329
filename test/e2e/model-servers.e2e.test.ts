/**
 * gRPC to model servers against the published messages: the gateway before a server of grpcio, and the clients that people
 * have before the simulator. Neither shares code with Heddle.
 */
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it, type TestContext } from 'vitest'
import { say } from '../../src/sim/serving-model.ts'
import { startServing, type SimServing } from '../../src/sim/serving-index.ts'
import { call, headOf, open, type Reply } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { clientEnv, pythonEnv, run, type PythonEnv } from './python-env.ts'

const INSTALL_MS = 240_000
const HERE = fileURLToPath(new URL('.', import.meta.url))

interface Told {
  readonly service?: string
  readonly model?: string
  readonly signature?: string
  readonly version?: unknown
  readonly label?: string
  readonly inputs?: Readonly<Record<string, { dtype: string; shape: readonly number[]; values: readonly unknown[] }>>
  readonly filter?: readonly string[]
  readonly metadata?: Readonly<Record<string, string>>
  readonly left?: number | null
  readonly parameters?: Readonly<Record<string, string>>
  readonly port?: number
  readonly secure?: number
}

let python: PythonEnv
let server: ChildProcessWithoutNullStreams | null = null
const told: Told[] = []
const listeners = new Set<() => void>()
let gateway: Gateway | null = null
let sim: SimServing
let folder = ''

/** What the server says next that fits. */
async function heard(fits: (one: Told) => boolean): Promise<Told> {
  for (;;) {
    const found = told.find(fits)
    if (found !== undefined) return found
    await new Promise<void>((resolve) => {
      const once = (): void => {
        listeners.delete(once)
        resolve()
      }
      listeners.add(once)
    })
  }
}

const configuration = ({ port, secure }: Told): string => `
providers:
  tf:
    type: tensorflow_serving
    base_url: grpc://127.0.0.1:${port}
    class: mesh
    mapping:
      signature: serving_default
      version: 42
      inputs:
        text: "{{prompt}}"
        max_len: { value: "{{max_tokens}}", type: int32, shape: [] }
        temperature: { value: "{{temperature}}", default: 1 }
        seed: "{{seed}}"
        sampled: { value: true }
        big: { value: "9007199254740993", type: int64 }
      outputs: { text: output, embedding: vector, output_tokens: tokens }
  safe:
    type: tensorflow_serving
    base_url: grpcs://localhost:${secure}
    tls: { ca: "\${file:${folder}/cert.pem}" }
    api_key: sk-serving
    mapping: { version_label: stable, inputs: { text: { value: "{{prompt}}", shape: [1, 1] } }, outputs: { text: output } }
  unsafe:
    type: tensorflow_serving
    base_url: grpcs://localhost:${secure}
    mapping: { inputs: { text: "{{prompt}}" }, outputs: { text: output } }
  v2:
    type: kserve
    base_url: grpc://127.0.0.1:${port}
    mapping:
      inputs: { text: "{{prompt}}" }
      parameters: { temperature: "{{temperature}}", max_tokens: "{{max_tokens}}", mode: fast }
      outputs: { text: output, embedding: vector }
`

beforeAll(async () => {
  python = await pythonEnv('serving', 11, 12)
  sim = await startServing()
  if ('missing' in python) return
  folder = mkdtempSync(join(tmpdir(), 'heddle-serving-'))
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, '-keyout', key, '-out', certificate],
    { stdio: 'pipe' },
  )
  server = spawn(python.python, ['python/serving_server.py', key, certificate], { cwd: HERE, env: clientEnv({}) })
  let errors = ''
  server.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  createInterface({ input: server.stdout }).on('line', (line) => {
    told.push(JSON.parse(line) as Told)
    for (const listener of listeners) listener()
  })
  const died = new Promise<never>((_resolve, reject) => server!.once('exit', () => reject(new Error(errors))))
  const ports = await Promise.race([heard(({ port }) => port !== undefined), died])
  died.catch(() => {})
  gateway = await startGateway(configuration(ports))
}, INSTALL_MS)

afterAll(async () => {
  await gateway?.stop()
  await sim?.close()
  server?.stdin.end()
  if (folder !== '') rmSync(folder, { recursive: true, force: true })
})

const need = (context: TestContext): string => ('missing' in python ? context.skip(python.missing) : python.python)

const chat = (model: string, more: object = {}): Promise<Reply> =>
  call(`${gateway!.url}/v1/chat/completions`, {
    body: { model, messages: [{ role: 'user', content: 'Ünïcödé?' }], ...more },
    headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
  })

const contentOf = (reply: Reply): string =>
  (reply.json() as { choices: readonly { message: { content: string } }[] }).choices[0]!.message.content

it('tells a server of grpcio what its messages are made for, to the last type and shape', async (context) => {
  need(context)
  const reply = await chat('tf/mine', { max_tokens: 20, temperature: 0.25, seed: 5 })
  expect(reply).toMatchObject({ status: 200 })
  expect(contentOf(reply)).toBe('Answer: Ünïcödé?')
  expect(reply.json()).toMatchObject({ usage: { completion_tokens: 7 } })
  const seen = await heard(({ model }) => model === 'mine')
  expect(seen).toMatchObject({ signature: 'serving_default', version: 42, filter: ['output', 'tokens', 'vector'] })
  expect(seen.inputs).toEqual({
    text: { dtype: 'DT_STRING', shape: [1], values: ['Ünïcödé?'] },
    max_len: { dtype: 'DT_INT32', shape: [], values: [20] },
    temperature: { dtype: 'DT_FLOAT', shape: [1], values: [0.25] },
    seed: { dtype: 'DT_INT64', shape: [1], values: ['5'] },
    sampled: { dtype: 'DT_BOOL', shape: [1], values: [true] },
    big: { dtype: 'DT_INT64', shape: [1], values: ['9007199254740993'] },
  })
  expect(seen.metadata!['traceparent']).toContain('0af7651916cd43dd8448eb211c80319c')
  expect(seen.metadata!['x-request-id']).toMatch(/./)
  expect(seen.left).toBeGreaterThan(1)
  expect(seen.left).toBeLessThan(3600)
})

it('speaks TLS with the certificate that is named, sends the key as metadata, and calls nobody else', async (context) => {
  need(context)
  const reply = await chat('safe/tls')
  expect(reply).toMatchObject({ status: 200 })
  const seen = await heard(({ model }) => model === 'tls')
  expect(seen.metadata!['authorization']).toBe('Bearer sk-serving')
  expect(seen).toMatchObject({ label: 'stable' })
  expect(seen.inputs!['text']).toEqual({ dtype: 'DT_STRING', shape: [1, 1], values: ['Ünïcödé?'] })
  const refused = await chat('unsafe/tls2')
  expect(refused.status).toBe(503)
  expect(told.some(({ model }) => model === 'tls2')).toBe(false)
})

it.each(['plain', 'packed', 'half', 'bfloat', 'same'])('reads vectors that are %s', async (form) => {
  if ('missing' in python) return
  const reply = await call(`${gateway!.url}/v1/embeddings`, { body: { model: `tf/${form}`, input: ['abc', 'de'] } })
  expect(reply).toMatchObject({ status: 200 })
  const vectors = (reply.json() as { data: readonly { embedding: readonly number[] }[] }).data.map(
    ({ embedding }) => embedding,
  )
  const want = (length: number): readonly number[] =>
    form === 'same' ? [0.25, 0.25, 0.25, 0.25] : [length, 0.5, -1.25, 3e-5]
  for (const [i, length] of [3, 2].entries())
    for (const [j, value] of want(length).entries())
      expect(vectors[i]![j]).toBeCloseTo(value, form === 'bfloat' ? 1 : 4)
})

it('shows bytes that are no text without breaking', async (context) => {
  need(context)
  const reply = await chat('tf/bytes')
  expect(reply).toMatchObject({ status: 200 })
  expect(contentOf(reply)).toBe('\uFFFD\uFFFDÜnïcödé?')
})

it('passes on what a failed call says', async (context) => {
  need(context)
  const reply = await chat('tf/abort')
  expect(reply.status).toBe(429)
})

it('takes back the call of a client that leaves', async (context) => {
  need(context)
  const req = open(`${gateway!.url}/v1/chat/completions`, {
    body: { model: 'tf/sleep', messages: [{ role: 'user', content: 'hi' }] },
  })
  headOf(req).catch(() => {})
  await heard(({ model }) => model === 'sleep')
  req.destroy()
  expect(await heard(({ service }) => service === 'cancelled')).toEqual({ service: 'cancelled' })
})

it.each(['listed', 'raw'])('infers by the Open Inference Protocol, %s', async (model) => {
  if ('missing' in python) return
  const reply = await chat(`v2/${model}`, { temperature: 0.5, max_tokens: 9 })
  expect(reply).toMatchObject({ status: 200 })
  expect(contentOf(reply)).toBe('Answer: Ünïcödé?')
  const seen = await heard((one) => one.service === 'kserve' && one.model === model)
  expect(seen.inputs).toEqual({ text: { dtype: 'BYTES', shape: [1], values: ['Ünïcödé?'] } })
  expect(seen.parameters).toEqual({ temperature: 'double_param', max_tokens: 'int64_param', mode: 'string_param' })
  expect(seen.filter).toEqual(['output', 'vector'])
  const vectors = await call(`${gateway!.url}/v1/embeddings`, { body: { model: `v2/${model}`, input: ['abc', 'de'] } })
  expect(vectors).toMatchObject({ status: 200 })
  expect((vectors.json() as { data: readonly { embedding: readonly number[] }[] }).data[1]!.embedding[0]).toBe(2)
})

it('has a simulator that the clients of the tutorials understand', async (context) => {
  const { code, output } = await run(
    need(context),
    ['python/serving_client.py', `127.0.0.1:${sim.grpcPort}`],
    clientEnv({}),
  )
  expect({ code, output }).toMatchObject({ code: 0 })
  interface Got {
    readonly text: string
    readonly vector: readonly number[]
  }
  const got = JSON.parse(output.trim().split('\n').at(-1)!) as Record<'tensorflow' | 'raw' | 'listed', Got> & {
    readonly tensorflow: { readonly dtype: string; readonly shape: readonly number[]; readonly missing: string }
  }
  const answer = say('What is the capital of France?', 'm', undefined, { seed: 1 }).text
  for (const one of [got.tensorflow, got.raw, got.listed]) {
    expect(one.text).toBe(answer)
    expect(one.vector).toHaveLength(16)
    expect(one.vector[3]).toBeCloseTo(got.raw.vector[3]!, 6)
  }
  expect(got.tensorflow).toMatchObject({ dtype: 'DT_FLOAT', shape: [1, 16], missing: 'NOT_FOUND' })
})
