import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clusterBytes, ClusterMemory, MAX_ENDPOINTS } from './cluster-memory.ts'
import { INDEX_ENTRIES } from './prefix-index.ts'
import { PromptHasher } from './prompt-hash.ts'

const hasher = new PromptHasher(64, 65_536, 42)
const chat = (messages: readonly string[], more: object = {}): Buffer =>
  Buffer.from(JSON.stringify({ ...more, messages: messages.map((content) => ({ role: 'user', content })), n: 1 }))

describe('hashes of prompts', () => {
  test('a conversation with more messages begins with the same hashes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 200 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.string({ maxLength: 200 }), { maxLength: 3 }),
        (before, after) => {
          const one = hasher.hash('m', chat(before))
          const two = hasher.hash('m', chat([...before, ...after]))
          expect([...two.subarray(0, one.length)]).toEqual([...one])
        },
      ),
    )
  })

  test('from the first block that differs on, all hashes differ', () => {
    const text = 'abcdefgh'.repeat(64)
    const one = hasher.hash('m', chat([text]))
    const two = hasher.hash('m', chat([`${text.slice(0, 200)}X${text.slice(201)}`]))
    let same = 0
    while (one[same] === two[same]) same++
    expect(same).toBe(2 * Math.floor((Buffer.from('[{"role":"user","content":"').length + 200) / 64))
    for (let i = same; i < one.length; i++) expect(one[i]).not.toBe(two[i])
  })

  test('where the fields stand does not count; model, tools and seed do', () => {
    const text = 'once upon a time '.repeat(20)
    const hash = (body: Buffer, model = 'm', by = hasher): string => by.hash(model, body).join()
    const plain = hash(chat([text]))
    expect(hash(chat([text], { temperature: 1, stream: true }))).toBe(plain)
    expect(hash(chat([text], { tools: [{ a: 1 }] }))).not.toBe(plain)
    expect(hash(chat([text]), 'n')).not.toBe(plain)
    expect(hash(chat([text]), 'm', new PromptHasher(64, 65_536, 43))).not.toBe(plain)
  })

  test('prompt and input count like messages; what is no JSON object has no hashes', () => {
    const text = 'once upon a time '.repeat(20)
    for (const field of ['prompt', 'input'])
      expect(hasher.hash('m', Buffer.from(JSON.stringify({ [field]: text }))).length).toBeGreaterThan(4)
    for (const body of ['', '{', `"${text}"`, JSON.stringify({ text }), 'x'.repeat(400)])
      expect(hasher.hash('m', Buffer.from(body))).toHaveLength(0)
  })

  test('no more than maxBytes are looked at', () => {
    const short = new PromptHasher(64, 1024, 1)
    expect(short.hash('m', chat(['x'.repeat(100_000)]))).toHaveLength(2 * (1024 / 64))
  })
})

describe('which blocks an endpoint has', () => {
  const index = () => new ClusterMemory(new SharedArrayBuffer(clusterBytes(1)), { worker: 0, workers: 1 }).prefixes
  const blocks = (count: number, seed: number): Int32Array =>
    new PromptHasher(64, count * 64, seed).hash('m', chat(['x'.repeat(count * 64 + 64)]))

  test('what was added is found, in its slot only', () => {
    const prefixes = index()
    const hashes = blocks(100, 1)
    prefixes.add(3, hashes)
    expect(prefixes.match(3, hashes, 1000)).toBe(100)
    expect(prefixes.match(3, hashes.subarray(0, 20), 1000)).toBe(10)
    expect(prefixes.match(4, hashes, 1000)).toBe(0)
    expect(prefixes.match(MAX_ENDPOINTS - 1, blocks(100, 2), 1000)).toBe(0)
    prefixes.forget(3)
    expect(prefixes.match(3, hashes, INDEX_ENTRIES)).toBe(0)
  })

  test('what is older than the cache is large is gone, what was used again is not; ends go before beginnings', () => {
    const prefixes = index()
    const old = blocks(50, 1)
    const used = blocks(50, 2)
    prefixes.add(0, old)
    prefixes.add(0, used)
    prefixes.add(0, blocks(60, 3))
    prefixes.add(0, used)
    expect(prefixes.match(0, old, 100)).toBe(0)
    expect(prefixes.match(0, used, 100)).toBe(50)
    // 20 more would have evicted the last blocks of `old`, which are taken to be put in first.
    expect(prefixes.match(0, old, 135)).toBeGreaterThan(0)
    expect(prefixes.match(0, old, 135)).toBeLessThan(50)
  })

  test('a full table holds the newest', () => {
    const prefixes = index()
    for (let seed = 1; seed <= 100; seed++) prefixes.add(0, blocks(1000, seed))
    expect(prefixes.match(0, blocks(1000, 1), INDEX_ENTRIES)).toBe(0)
    expect(prefixes.match(0, blocks(1000, 100), INDEX_ENTRIES)).toBe(1000)
  })
})
