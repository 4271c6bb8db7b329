import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type MiniLmEmbedder, type MiniLmOptions, startMiniLm } from '../../src/cache/embed/minilm.ts'

/**
 * onnxruntime-node is the operator's to install. In its place stands one of the same interface, whose "model" answers by
 * the ids it is given: the thread, the queue and the time limit are the real ones.
 */
const RUNTIME = `
export class Tensor { constructor(type, data, shape) { this.data = data; this.shape = shape } }
export const InferenceSession = {
  async create(path) {
    if (!path.endsWith('model.onnx')) throw new Error('no such model')
    return {
      async run({ input_ids, attention_mask }) {
        const ids = [...input_ids.data].map(Number)
        if (attention_mask.data.length !== ids.length) throw new Error('shapes')
        if (ids.includes(4)) throw new Error('refused')
        if (ids.includes(5)) await new Promise((resolve) => setTimeout(resolve, 300))
        if (ids.includes(6)) process.exit(3)
        return { embedding: { data: Float32Array.from([ids.length, ids[0], ids.at(-1), ids[1]]) } }
      },
    }
  },
}
`
const VOCABULARY = ['[CLS]', '[SEP]', '[UNK]', 'hello', 'fail', 'slow', 'die', 'world'].join('\n')

const folder = mkdtempSync(join(tmpdir(), 'minilm-'))
const options: MiniLmOptions = {
  model: join(folder, 'model.onnx'),
  vocabulary: join(folder, 'vocab.txt'),
  runtime: join(folder, 'runtime.mjs'),
  deadlineMs: 10_000,
}
writeFileSync(options.runtime!, RUNTIME)
writeFileSync(options.vocabulary, VOCABULARY)
const started: MiniLmEmbedder[] = []
afterAll(async () => {
  await Promise.all(started.map((embedder) => embedder.close()))
  rmSync(folder, { recursive: true })
})
async function start(changes: Partial<MiniLmOptions> = {}): Promise<MiniLmEmbedder> {
  const embedder = await startMiniLm({ ...options, ...changes })
  started.push(embedder)
  return embedder
}

describe('MiniLM in its thread', () => {
  test('gives the pieces between their marks, and the vector back', async () => {
    const embedder = await start()
    const vector = await embedder.embed('Hello world zzz')
    // 5 ids, first 0, last 1, then hello = 3, scaled by 127 / 5
    expect([...vector!.values]).toEqual([127, 0, 25, 76])
    expect(vector!.coverage).toBeCloseTo(10 / 13, 10)
    expect(vector!.norm).toBeCloseTo(Math.hypot(127, 25, 76), 10)
  })

  test('at most 128 pieces', async () => {
    const embedder = await start()
    const vector = await embedder.embed('hello '.repeat(300))
    expect(vector!.values[3]).toBe(Math.round((3 * 127) / 128))
  })

  test('one that fails has no vector, the next has', async () => {
    const embedder = await start()
    expect(await Promise.all([embedder.embed('fail'), embedder.embed('hello')])).toEqual([null, expect.anything()])
  })

  test('what takes too long has none, and what finds the queue full has none at once', async () => {
    const embedder = await start({ deadlineMs: 50, mostWaiting: 1 })
    const slow = embedder.embed('slow')
    expect(await embedder.embed('hello')).toBeNull()
    expect(await slow).toBeNull()
    // still at it: nothing is taken before it is done
    expect(await embedder.embed('hello')).toBeNull()
  })

  test('a thread that dies leaves nobody waiting', async () => {
    const embedder = await start()
    expect(await embedder.embed('die')).toBeNull()
    expect(await embedder.embed('hello')).toBeNull()
  })

  test('a model that is not there is an error of the start', async () => {
    await expect(startMiniLm({ ...options, model: join(folder, 'none') })).rejects.toThrow('no such model')
  })
})
