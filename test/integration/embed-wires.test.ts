// `/v1/embeddings` in front of backends that have an API of their own for vectors.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { call, type Reply } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { BASES } from '../support/translation.ts'

const WIRES = ['gemini.generate', 'cohere.chat', 'ollama.chat'] as const
const MODELS = {
  'gemini.generate': 'gemini-embedding-001',
  'cohere.chat': 'embed-v4.0',
  'ollama.chat': 'nomic-embed-text',
}

let sim: Sim
let gateway: Gateway

beforeAll(async () => {
  sim = await startSim({ port: 0 })
  const provider = (wire: (typeof WIRES)[number]): string =>
    `  ${wire.replace('.', '_')}: { type: openai_compatible, base_url: "http://127.0.0.1:${sim.port}${BASES[wire]}", operations: [passthrough], wire: ${wire} }`
  const model = (wire: (typeof WIRES)[number]): string => `  ${wire}: ${wire.replace('.', '_')}/${MODELS[wire]}`
  gateway = await startGateway(
    `providers:\n${WIRES.map(provider).join('\n')}\nmodels:\n${WIRES.map(model).join('\n')}\n`,
  )
})

afterAll(async () => {
  await gateway.stop()
  await sim.close()
})

const embed = (model: string, input: unknown, more: object = {}): Promise<Reply> =>
  call(`${gateway.url}/v1/embeddings`, { body: { model, input, ...more } })

interface Answer {
  readonly model: string
  readonly data: readonly { readonly index: number; readonly embedding: readonly number[] | string }[]
  readonly usage: { readonly prompt_tokens: number }
}

test.each(WIRES)('%s: vectors of a batch come in the order of the texts', async (wire) => {
  const reply = await embed(wire, ['a cat', 'a dog', 'a house'], { dimensions: 256 })
  expect(reply).toMatchObject({ status: 200 })
  const { data, model, usage } = reply.json() as Answer
  expect(model).toBe(wire)
  expect(data.map(({ index }) => index)).toEqual([0, 1, 2])
  expect(data.map(({ embedding }) => embedding.length)).toEqual([256, 256, 256])
  const alone = (await embed(wire, 'a dog', { dimensions: 256 })).json() as Answer
  expect(alone.data[0]!.embedding).toEqual(data[1]!.embedding)
  if (wire !== 'gemini.generate') expect(usage.prompt_tokens).toBeGreaterThan(0)
})

test.each(WIRES)('%s: vectors as base64 are the same numbers', async (wire) => {
  const plain = ((await embed(wire, 'a cat')).json() as Answer).data[0]!.embedding as readonly number[]
  const packed = ((await embed(wire, 'a cat', { encoding_format: 'base64' })).json() as Answer).data[0]!
    .embedding as string
  const bytes = Buffer.from(packed, 'base64')
  expect(bytes).toHaveLength(plain.length * 4)
  expect(bytes.readFloatLE(4)).toBeCloseTo(plain[1]!, 6)
})

test('what a vector is for reaches those who must know, and too many texts are refused by name', async () => {
  expect((await embed('cohere.chat', 'a cat', { input_type: 'query' })).status).toBe(200)
  expect(JSON.parse(sim.received.at(-1)!.body.toString())).toMatchObject({ input_type: 'search_query' })
  expect((await embed('gemini.generate', 'a cat', { input_type: 'query' })).status).toBe(200)
  expect(sim.received.at(-1)!.body.toString()).toContain('RETRIEVAL_QUERY')
  const many = await embed(
    'cohere.chat',
    Array.from({ length: 97 }, (_, i) => `text ${i}`),
  )
  expect(many.status).toBe(400)
  expect(many.json()).toMatchObject({ error: { param: 'input' } })
})
