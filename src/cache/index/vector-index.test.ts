import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Hits } from './hits.ts'
import { VectorIndex, type EvictReason } from './vector-index.ts'
import { WASM_BASE64 } from './wasm.ts'

interface Known {
  readonly partition: string
  readonly values: Int8Array
  readonly expiresAt: number
}

const vector = (values: Int8Array) => ({ values, norm: Math.hypot(...values), coverage: 1 })

function cosine(a: Int8Array, b: Int8Array): number {
  let dot = 0
  let aa = 0
  let bb = 0
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!
    aa += a[i]! * a[i]!
    bb += b[i]! * b[i]!
  }
  return dot / Math.sqrt(aa * bb)
}

/** xorshift32: the same vectors in every run. */
function randoms(seed: number): () => number {
  let x = seed
  return () => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) / 2 ** 32
  }
}

const noise = (random: () => number, dimensions: number, size = 127) =>
  Int8Array.from({ length: dimensions }, () => Math.round((random() * 2 - 1) * size))

/** The index beside a list of all that should be in it, oldest first within partitions, stalest partition first. */
class Pair {
  readonly entries = new Map<number, Known>()
  readonly order = new Map<string, number[]>()
  readonly evicted: [number, EvictReason][] = []
  readonly index: VectorIndex
  readonly hits = new Hits()
  readonly cap: number
  now = 1000

  constructor(dimensions: number, maxBytes: number, cap: number) {
    this.cap = cap
    this.index = new VectorIndex({
      dimensions,
      maxBytes,
      maxEntriesPerPartition: cap,
      onEvict: (entry, reason) => this.#evicted(entry, reason),
    })
  }

  #evicted(entry: number, reason: EvictReason): void {
    const known = this.entries.get(entry)
    if (known === undefined) throw new Error(`${entry} was evicted, but is not there`)
    if (reason === 'room') assert.equal([...this.order.values()][0]![0], entry)
    if (reason === 'full') assert.equal(this.order.get(known.partition)![0], entry)
    if (reason === 'expired') assert.ok(known.expiresAt <= this.now)
    this.evicted.push([entry, reason])
    this.#forget(entry)
  }

  #forget(entry: number): void {
    const { partition } = this.entries.get(entry)!
    const left = this.order.get(partition)!.filter((other) => other !== entry)
    if (left.length === 0) this.order.delete(partition)
    else this.order.set(partition, left)
    this.entries.delete(entry)
  }

  used(partition: string): void {
    const list = this.order.get(partition)
    if (list === undefined) return
    this.order.delete(partition)
    this.order.set(partition, list)
  }

  insert(partition: string, values: Int8Array, expiresAt: number): number {
    const takes = expiresAt > this.now && values.some((value) => value !== 0)
    if (takes) this.used(partition)
    const entry = this.index.insert(partition, vector(values), expiresAt, this.now)
    if (!takes) assert.equal(entry, -1)
    if (entry === -1) return -1
    assert.equal(this.entries.has(entry), false)
    this.entries.set(entry, { partition, values, expiresAt })
    const list = this.order.get(partition) ?? []
    this.order.delete(partition)
    this.order.set(partition, [...list, entry])
    return entry
  }

  remove(entry: number): void {
    assert.equal(this.index.remove(entry), this.entries.has(entry))
    if (this.entries.has(entry)) this.#forget(entry)
    assert.equal(this.index.remove(entry), false)
  }

  touch(entry: number): void {
    this.index.touch(entry)
    const known = this.entries.get(entry)
    if (known === undefined) return
    this.used(known.partition)
    const list = this.order.get(known.partition)!
    this.order.set(known.partition, [...list.filter((other) => other !== entry), entry])
  }

  search(partition: string, values: Int8Array, k: number): void {
    const found = this.index.search(partition, vector(values), k, this.now, this.hits)
    this.used(partition)
    const all = [...this.entries.values()].filter((e) => e.partition === partition && e.expiresAt > this.now)
    const best = values.some((value) => value !== 0)
      ? all.map((e) => cosine(values, e.values)).sort((a, b) => b - a)
      : []
    assert.equal(found, Math.min(k, 16, best.length))
    assert.equal(this.hits.count, found)
    assert.deepEqual([...this.hits.cosines.subarray(0, found)], best.slice(0, found))
    const entries = [...this.hits.entries.subarray(0, found)]
    assert.equal(new Set(entries).size, found)
    for (const [i, entry] of entries.entries()) {
      assert.equal(this.entries.get(entry)?.partition, partition)
      assert.equal(cosine(values, this.entries.get(entry)!.values), this.hits.cosines[i])
    }
  }

  check(): void {
    assert.equal(this.index.size, this.entries.size)
    assert.equal(this.index.partitions, this.order.size)
    assert.ok(this.index.bytes <= this.index.maxBytes)
    assert.deepEqual([...this.index.oldestFirst()], [...this.order.values()].flat())
    for (const list of this.order.values()) assert.ok(list.length <= this.cap)
    for (const [entry, known] of this.entries) assert.deepEqual(this.index.read(entry), known)
  }
}

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f']

test('does what a list of all entries does, whatever is inserted, removed, found or expires', () => {
  const shape = fc.record({
    size: fc.constantFrom(1, 7, 16, 40, 64, 65, 130),
    maxBytes: fc.constantFrom(70_000, 80_000, 140_000),
    cap: fc.integer({ min: 1, max: 80 }),
  })
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constant('insert'), fc.nat(), fc.nat(20)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('many'), fc.nat(), fc.nat(90)) },
    { weight: 3, arbitrary: fc.tuple(fc.constant('remove'), fc.nat(), fc.constant(0)) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('touch'), fc.nat(), fc.constant(0)) },
    { weight: 3, arbitrary: fc.tuple(fc.constant('search'), fc.nat(), fc.integer({ min: 1, max: 20 })) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('later'), fc.nat(8), fc.constant(0)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('sweep'), fc.nat(30), fc.constant(0)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('drop'), fc.nat(), fc.constant(0)) },
  )
  fc.assert(
    fc.property(shape, fc.array(step, { maxLength: 60, size: 'max' }), ({ size, maxBytes, cap }, steps) => {
      const pair = new Pair(size, maxBytes, cap)
      const random = randoms(size * 1000 + cap)
      let last = -1
      for (const [what, a, b] of steps) {
        const key = KEYS[a % KEYS.length]!
        const numbers = [...pair.entries.keys()]
        // Few values, so that cosines are equal now and then and whole vectors are 0.
        const values = noise(random, size, a % 3 === 0 ? 1 : 127)
        if (what === 'insert') last = pair.insert(key, values, pair.now + b)
        if (what === 'many') for (let i = 0; i < b; i++) pair.insert(key, noise(random, size), pair.now + 1 + (i % 9))
        if (what === 'remove') pair.remove(numbers[a % numbers.length] ?? last)
        if (what === 'touch') pair.touch(numbers[a % numbers.length] ?? last)
        if (what === 'search') pair.search(key, values, b)
        if (what === 'later') pair.now += a
        if (what === 'sweep') pair.index.sweep(pair.now, a)
        const had = pair.order.get(key)?.length ?? 0
        if (what === 'drop') expect(pair.index.drop(key)).toBe(had)
        expect(pair.index.size).toBe(pair.entries.size)
      }
      pair.check()
    }),
    { numRuns: 200 },
  )
})

test('a number kept too long finds nothing, not the entry that has its place', () => {
  const pair = new Pair(16, 1e6, 10)
  const values = noise(randoms(1), 16)
  const first = pair.insert('a', values, Infinity)
  pair.remove(first)
  const second = pair.insert('b', values, Infinity)
  expect(second).not.toBe(first)
  expect(pair.index.has(first)).toBe(false)
  expect(pair.index.read(first)).toBeNull()
  expect(pair.index.remove(first)).toBe(false)
  expect(pair.index.has(second)).toBe(true)
  for (const odd of [-1, 0.5, NaN, 3 * 2 ** 24, 2 ** 53, Infinity]) expect(pair.index.has(odd)).toBe(false)
})

test('a flood of partitions evicts the stalest and never grows beyond its bytes', () => {
  const pair = new Pair(64, 300_000, 100)
  const random = randoms(7)
  for (let i = 0; i < 1500; i++) {
    pair.insert(`partition ${i}`, noise(random, 64), Infinity)
    if (i >= 3) pair.search('partition 3', noise(random, 64), 1)
    expect(pair.index.bytes).toBeLessThanOrEqual(300_000)
  }
  pair.check()
  expect(pair.evicted.length).toBeGreaterThan(300)
  expect(pair.order.has('partition 3')).toBe(true)
  expect(pair.order.has('partition 4')).toBe(false)
  expect(pair.evicted.every(([, reason]) => reason === 'room')).toBe(true)
})

test('many entries of one partition go, oldest first, for one of another when there is no room', () => {
  const pair = new Pair(64, 200_000, 1e6)
  const random = randoms(9)
  for (let i = 0; i < 2500; i++) pair.insert('big', noise(random, 64), Infinity)
  const before = pair.index.count('big')
  expect(before).toBeLessThan(2500)
  for (let i = 0; i < 300; i++) pair.insert(`small ${i}`, noise(random, 64), Infinity)
  pair.check()
  expect(pair.index.partitions).toBe(301)
  expect(before - pair.index.count('big')).toBeLessThan(900)
})

test('what has no room at all is refused, and so are vectors of other dimensions and options out of range', () => {
  const refused = new Pair(2048, 66_000, 10)
  expect(refused.insert('a', noise(randoms(3), 2048), Infinity)).toBe(-1)
  expect(refused.index.size).toBe(0)
  const pair = new Pair(16, 1e6, 10)
  expect(() => pair.index.insert('a', vector(new Int8Array(17)), 1, 0)).toThrow(RangeError)
  expect(() => pair.index.search('a', vector(new Int8Array(15)), 1, 0, pair.hits)).toThrow(RangeError)
  expect(() => new Pair(0, 1e6, 10)).toThrow(RangeError)
  expect(() => new Pair(2049, 1e6, 10)).toThrow(RangeError)
  expect(() => new Pair(16, 0, 10)).toThrow(RangeError)
  expect(() => new Pair(16, 1e6, 0)).toThrow(RangeError)
})

test.each([16, 256, 300, 384])(
  'great partitions: what is found by signs is exact in its cosines, of %i dimensions',
  (size) => {
    const pair = new Pair(size, 1e8, 1e5)
    const random = randoms(size)
    const all: Int8Array[] = []
    for (let i = 0; i < 3000; i++) {
      // Every tenth is near one before it, as questions that mean the same are.
      const near = i % 10 === 9 ? all[i - 5]! : noise(random, size, 100)
      const values = near.map((value) => value + Math.round((random() - 0.5) * 40))
      all.push(values)
      pair.index.insert('a', vector(values), i % 50 === 0 ? 1001 : Infinity, 1000)
    }
    let same = 0
    for (let q = 4; q < 3000; q += 30) {
      const query = all[q]!.map((value) => value + Math.round((random() - 0.5) * 30))
      const found = pair.index.search('a', vector(query), 16, 2000, pair.hits)
      expect(found).toBe(16)
      for (let i = 0; i < found; i++) {
        const known = pair.index.read(pair.hits.entries[i]!)!
        expect(known.expiresAt).toBe(Infinity)
        expect(pair.hits.cosines[i]).toBe(cosine(query, known.values))
        if (i > 0) expect(pair.hits.cosines[i]!).toBeLessThanOrEqual(pair.hits.cosines[i - 1]!)
      }
      const best = Math.max(...all.map((values, i) => (i % 50 === 0 ? -1 : cosine(query, values))))
      if (best === pair.hits.cosines[0]) same++
    }
    expect(same).toBeGreaterThanOrEqual(99)
  },
)

test('the nearest of a great partition is found even when nothing is near', () => {
  const pair = new Pair(128, 1e8, 1e5)
  const random = randoms(77)
  // A few great components and many small ones.
  const skewed = () => noise(random, 128).map((value) => Math.round(value ** 3 / 127 ** 2))
  const all = Array.from({ length: 6000 }, skewed)
  for (const values of all) pair.index.insert('a', vector(values), Infinity, 0)
  let same = 0
  for (let i = 0; i < 100; i++) {
    const query = skewed()
    pair.index.search('a', vector(query), 1, 0, pair.hits)
    if (pair.hits.cosines[0] === Math.max(...all.map((values) => cosine(query, values)))) same++
  }
  // By signs that all weigh the same it would be 63, by two levels 88.
  expect(same).toBeGreaterThan(93)
})

test('extreme components do not overflow', () => {
  const pair = new Pair(2048, 1e7, 10)
  const least = new Int8Array(2048).fill(-128)
  pair.insert('a', least, Infinity)
  pair.insert('a', new Int8Array(2048).fill(127), Infinity)
  pair.search('a', least, 2)
  expect([...pair.hits.cosines.subarray(0, 2)]).toEqual([1, -1])
})

test('memory counted is memory taken, within a tenth', () => {
  const pair = new Pair(384, 1e8, 1e6)
  const random = randoms(5)
  const values = noise(random, 384)
  for (let i = 0; i < 10_000; i++) pair.index.insert('a', vector(values), Infinity, 0)
  expect(pair.index.bytes / 10_000).toBeLessThan(500)
  expect(pair.index.bytes / 10_000).toBeGreaterThan(384 + 48)
})

test('wasm.ts is what assembly/kernels.as compiles to', async () => {
  const build = (await import(new URL('./build.mjs', import.meta.url).href)) as { compile(): Promise<string> }
  expect(await build.compile()).toContain(WASM_BASE64)
}, 60_000)
