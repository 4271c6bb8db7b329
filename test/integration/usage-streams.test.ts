// The golden corpus through a running gateway: what a backend says it used is in the record, streamed or not, to the
// nano-dollar.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { usdText } from '../../src/core/usd.ts'
import { startBackend } from '../support/backend.ts'
import type { Backend } from '../support/backend.ts'
import { startGateway } from '../support/gateway.ts'

interface Shape {
  readonly provider: string
  readonly dialect: 'chat' | 'responses' | 'embeddings' | 'native'
  readonly answer: unknown
  readonly stream: readonly { readonly type?: string }[] | null
  readonly price: Readonly<Record<string, unknown>>
  readonly nanoUsd: number
  readonly preferReported?: boolean
}

const FOLDER = new URL('../fixtures/usage/', import.meta.url)
const SHAPES = new Map(
  readdirSync(FOLDER)
    .map((file): [string, Shape] => [
      file.replace('.json', ''),
      JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Shape,
    ])
    .filter(([, { dialect }]) => dialect !== 'native'),
)

/** The configuration's names of a price's fields. */
const toYaml = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(toYaml)
  if (typeof value !== 'object' || value === null) return value
  const name = (key: string): string =>
    ({ cacheWrite5m: 'cache_write', cacheWrite1h: 'cache_write_hour' })[key] ??
    key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [name(key), toYaml(item)]))
}

const PATHS = { chat: '/v1/chat/completions', responses: '/v1/responses', embeddings: '/v1/embeddings', native: '' }
const folder = mkdtempSync(join(tmpdir(), 'heddle-usage-e2e-'))
const records = join(folder, 'usage.jsonl')
let backend: Backend
const costs = new Map<string, string[]>()

const ask = async (url: string, name: string, shape: Shape, stream: boolean): Promise<void> => {
  const input = shape.dialect === 'chat' ? { messages: [{ role: 'user', content: 'Hi' }] } : { input: 'Hi' }
  const response = await fetch(url + PATHS[shape.dialect], {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: name, ...input, ...(stream ? { stream } : {}) }),
  })
  await response.text()
  if (response.status !== 200) throw new Error(`${name}: ${response.status}`)
}

beforeAll(async () => {
  backend = await startBackend((res, _n, _req, body) => {
    const { model, stream } = JSON.parse(body.toString()) as { readonly model: string; readonly stream?: boolean }
    const shape = SHAPES.get(model)!
    if (stream !== true) {
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(shape.answer))
      return
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const event of shape.stream!) {
      if (event.type !== undefined) res.write(`event: ${event.type}\n`)
      res.write(`data: ${JSON.stringify(event)}\n\n`)
    }
    res.end(shape.dialect === 'chat' ? 'data: [DONE]\n\n' : '')
  })
  const provider = { base_url: backend.url, api_key: 'k', operations: ['chat', 'responses', 'embeddings'] }
  const target = (name: string, shape: Shape) => ({
    provider: shape.provider,
    model: name,
    // Without a price of the operator's the provider's own bill holds.
    ...(shape.preferReported === true ? {} : { price: toYaml(shape.price) }),
  })
  const sections = {
    providers: Object.fromEntries([...SHAPES.values()].map((shape) => [shape.provider, provider])),
    models: Object.fromEntries([...SHAPES].map(([name, shape]) => [name, { targets: [target(name, shape)] }])),
    usage: { records: { file: { path: records } } },
  }
  const yaml = Object.entries(sections).map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`)
  const gateway = await startGateway(yaml.join(''))
  for (const [name, shape] of SHAPES) {
    await ask(gateway.url, name, shape, false)
    if (shape.stream !== null) await ask(gateway.url, name, shape, true)
  }
  await gateway.stop()
  for (const line of readFileSync(records, 'utf8').split('\n').slice(0, -1)) {
    const { model, cost_usd, stream } = JSON.parse(line) as Record<'model' | 'cost_usd', string> & { stream: boolean }
    costs.set(model, [...(costs.get(model) ?? []), `${stream ? 'stream' : 'json'} ${cost_usd}`])
  }
})

afterAll(async () => {
  await backend.close()
  rmSync(folder, { recursive: true })
})

test.each([...SHAPES])('%s', (name, shape) => {
  const cost = usdText(shape.nanoUsd)
  expect(costs.get(name)).toEqual(shape.stream === null ? [`json ${cost}`] : [`json ${cost}`, `stream ${cost}`])
})
