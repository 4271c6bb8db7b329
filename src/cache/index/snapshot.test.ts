import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { endRecord, entryRecord, headRecord, partitionRecord } from './snapshot-format.ts'
import { readSnapshot, writeSnapshot, type Loaded } from './snapshot.ts'
import { VectorIndex } from './vector-index.ts'

const root = mkdtempSync(join(tmpdir(), 'heddle-snapshot-'))
afterAll(() => rmSync(root, { recursive: true }))
let path = ''
let folder = ''
let files = 0
beforeEach(() => {
  folder = join(root, `${files++}`)
  mkdirSync(folder)
  path = join(folder, 'index')
})

const DIMENSIONS = 24
const MAX = 1e7
const EMBEDDER = 'table-1/24'
const file = () => ({ path, embedder: EMBEDDER, maxBytes: MAX })
const vector = (values: Int8Array) => ({ values, norm: 1, coverage: 1 })
const made = (seed: number) => Int8Array.from({ length: DIMENSIONS }, (_, i) => ((seed * 31 + i * i * 7) % 255) - 127)

/** An index with what belongs to its entries. */
class Store {
  readonly payloads = new Map<number, string>()
  readonly index: VectorIndex

  constructor(maxBytes = 1e6, dimensions = DIMENSIONS) {
    this.index = new VectorIndex({
      dimensions,
      maxBytes,
      maxEntriesPerPartition: 1000,
      onEvict: (entry) => this.payloads.delete(entry),
    })
  }

  add(partition: string, seed: number, payload: string, expiresAt = Infinity): number {
    const entry = this.index.insert(partition, vector(made(seed)), expiresAt, 0)
    this.payloads.set(entry, payload)
    return entry
  }

  write(now = 0, secret?: Uint8Array) {
    return writeSnapshot(this.index, { ...file(), secret }, now, (entry) => {
      const payload = this.payloads.get(entry)
      return payload === undefined ? null : Buffer.from(payload)
    })
  }

  read(now = 0, more: { secret?: Uint8Array; maxBytes?: number; embedder?: string } = {}): Promise<Loaded> {
    return readSnapshot(this.index, { ...file(), ...more }, now, (entry, partition, payload) => {
      if (payload.toString() === 'refuse') return false
      if (this.index.read(entry)?.partition !== partition) throw new Error('another partition')
      this.payloads.set(entry, payload.toString())
      return true
    })
  }

  /** All it holds, oldest first. */
  get all(): unknown[] {
    return [...this.index.oldestFirst()].map((entry) => {
      const { partition, values, expiresAt } = this.index.read(entry)!
      return [partition, [...values], expiresAt, this.payloads.get(entry)]
    })
  }
}

function sample(entries: number): Store {
  const store = new Store()
  for (let i = 0; i < entries; i++) store.add(`partition ${i % 5}`, i + 1, `answer ${i}`.repeat(i % 40))
  return store
}

test('what was written is read again, in the same order of age', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.string({ unit: 'grapheme', maxLength: 3 }), fc.nat(200), fc.string(), fc.nat(20)), {
        maxLength: 60,
      }),
      async (entries) => {
        const store = new Store()
        for (const [partition, seed, payload, ttl] of entries) store.add(partition, seed, `${payload}.`, ttl + 1)
        const written = await store.write(10)
        expect(written.bytes).toBe(statSync(path).size)
        const again = new Store()
        const loaded = await again.read(10)
        expect(loaded).toEqual({ loaded: written.entries, skipped: 0, refused: null, code: null })
        store.index.sweep(10, 1e6)
        expect(again.all).toEqual(store.all)
      },
    ),
    { numRuns: 60 },
  )
})

test('several chunks, of payloads greater than one, with and without a secret', async () => {
  const store = new Store()
  for (let i = 1; i < 9; i++) store.add('p', i, 'x'.repeat(i * 100_000))
  for (const secret of [undefined, Buffer.from('s'.repeat(32))]) {
    await store.write(0, secret)
    const again = new Store()
    expect((await again.read(0, secret === undefined ? {} : { secret })).loaded).toBe(8)
    expect(again.all).toEqual(store.all)
  }
})

test('any altered, cut or lengthened file is refused and nothing is read', async () => {
  await sample(40).write()
  const good = readFileSync(path)
  const change = fc.oneof(
    fc.tuple(fc.constant('flip'), fc.nat(good.length - 1), fc.nat(7)),
    fc.tuple(fc.constant('cut'), fc.nat(good.length - 1), fc.constant(0)),
    fc.tuple(fc.constant('add'), fc.nat(good.length), fc.integer({ min: 1, max: 300 })),
    fc.tuple(fc.constant('skip'), fc.nat(good.length - 1), fc.integer({ min: 1, max: 300 })),
    fc.tuple(fc.constant('zero'), fc.nat(good.length - 8), fc.constant(8)),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      let bytes: Buffer = Buffer.from(good)
      for (const [what, at, size] of changes) {
        if (what === 'flip' && at < bytes.length) bytes[at]! ^= 1 << size
        if (what === 'cut') bytes = bytes.subarray(0, at)
        if (what === 'add') bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(size, at), bytes.subarray(at)])
        if (what === 'skip') bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)])
        if (what === 'zero') bytes.fill(0, Math.min(at, bytes.length), Math.min(at + size, bytes.length))
      }
      fc.pre(!bytes.equals(good))
      writeFileSync(path, bytes)
      const store = new Store()
      const { refused, loaded } = await store.read()
      expect(['damaged', 'foreign', 'version']).toContain(refused)
      expect(loaded).toBe(0)
      expect(store.index.size).toBe(0)
    }),
    { numRuns: 300 },
  )
})

test('files that are well summed but not well made are refused whole', async () => {
  const head = headRecord(EMBEDDER, DIMENSIONS)
  const entry = entryRecord(0, Infinity, made(1), 3)
  const key = partitionRecord('p')
  const payload = Buffer.from('abc')
  const write = (...parts: Buffer[]) => {
    const bytes = Buffer.concat(parts)
    writeFileSync(path, Buffer.concat([bytes, createHash('sha256').update(bytes).digest()]))
    return new Store().read()
  }
  expect((await write(head, key, entry, payload, endRecord(1, 1))).refused).toBeNull()
  const wrong = [
    [head],
    [head, endRecord(1, 0)],
    [head, key, entry, payload],
    [head, entry, payload, endRecord(0, 1)],
    [head, key, entry, endRecord(1, 1)],
    [head, key, entry, payload, endRecord(1, 2)],
    [head, key, entry, payload, endRecord(1, 1), Buffer.from([0])],
    [head, key, entryRecord(1, 1, made(1), 0), endRecord(1, 1)],
    [head, key, entryRecord(0, NaN, made(1), 0), endRecord(1, 1)],
    [head, key, entryRecord(0, 1, made(1), 0xffffffff), endRecord(1, 1)],
    [head, key.subarray(0, 2)],
    [head, Buffer.from([9]), endRecord(0, 0)],
    [head.subarray(0, 15)],
    [head.subarray(0, 18)],
  ]
  for (const parts of wrong) expect((await write(...parts)).refused).toBe('damaged')
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      expect((await write(head, key, Buffer.from(bytes))).refused).toBe('damaged')
    }),
    { numRuns: 200 },
  )
})

test('says why it reads nothing', async () => {
  const store = new Store()
  expect((await store.read()).refused).toBe('missing')
  await sample(3).write()
  expect((await store.read(0, { maxBytes: 100 })).refused).toBe('too_large')
  expect((await store.read(0, { embedder: 'table-2/24' })).refused).toBe('embedder')
  expect((await new Store(1e6, 25).read()).refused).toBe('embedder')
  expect((await store.read(0, { secret: Buffer.from('s') })).refused).toBe('damaged')
  await sample(3).write(0, Buffer.from('s'))
  expect((await store.read()).refused).toBe('damaged')
  expect((await store.read(0, { secret: Buffer.from('t') })).refused).toBe('damaged')
  writeFileSync(path, '{"not": "a snapshot"}')
  expect((await store.read()).refused).toBe('foreign')
  writeFileSync(path, '')
  expect((await store.read()).refused).toBe('foreign')
  rmSync(path)
  mkdirSync(path)
  expect((await store.read()).refused).toBe('foreign')
  path = join(path, 'x'.repeat(300))
  expect(await store.read()).toEqual({ loaded: 0, skipped: 0, refused: 'unreadable', code: 'ENAMETOOLONG' })
  expect(store.index.size).toBe(0)
})

test('entries that expired or are not accepted are left out; where there is little room the youngest stay', async () => {
  const store = new Store()
  store.add('a', 1, 'short', 50)
  store.add('a', 2, 'long', 500)
  store.add('a', 3, 'refuse')
  await store.write()
  const again = new Store()
  expect(await again.read(100)).toEqual({ loaded: 1, skipped: 2, refused: null, code: null })
  expect([...again.payloads.values()]).toEqual(['long'])
  expect(again.index.size).toBe(1)
  await sample(1000).write()
  const small = new Store(90_000)
  await small.read()
  expect(small.index.size).toBeLessThan(1000)
  expect(small.payloads.size).toBe(small.index.size)
  expect(small.all.at(-1)).toEqual(sample(1000).all.at(-1))
})

test('entries that go while it is written are left out or whole', async () => {
  const store = new Store()
  for (let i = 1; i < 30; i++) store.add('p', i, `${i}`.repeat(40_000))
  const entries = [...store.payloads.keys()]
  const writing = writeSnapshot(store.index, file(), 0, (entry) => {
    store.index.remove(entries.pop()!)
    store.add('q', 7, 'while it is written')
    return Buffer.from(store.payloads.get(entry)!)
  })
  const { entries: written } = await writing
  expect(written).toBeLessThan(29)
  const again = new Store()
  expect((await again.read()).loaded).toBe(written)
  for (const [partition, values, , payload] of again.all as [string, number[], number, string][]) {
    expect(partition).toBe('p')
    const seed = Number(payload.slice(0, payload.length / 40_000))
    expect(values).toEqual([...made(seed)])
  }
})

test('what cannot be written leaves the old file and nothing beside it; only its owner can read it', async () => {
  await sample(5).write()
  const before = readFileSync(path)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const failing = writeSnapshot(sample(3).index, file(), 0, () => {
    throw new Error('no payload')
  })
  await expect(failing).rejects.toThrow('no payload')
  expect(readFileSync(path).equals(before)).toBe(true)
  expect(readdirSync(folder)).toEqual(['index'])
  path = join(folder, 'none', 'index')
  await expect(sample(3).write()).rejects.toThrow('ENOENT')
})

test('several writers at once leave one whole file; what a dead one left goes after an hour', async () => {
  const stale = `${path}.1-abc.tmp`
  const recent = `${path}.2-abc.tmp`
  writeFileSync(stale, '')
  writeFileSync(recent, '')
  const now = statSync(recent).mtimeMs
  utimesSync(stale, new Date(now - 3_700_000), new Date(now - 3_700_000))
  await Promise.all([sample(20).write(now), sample(30).write(now), sample(40).write(now)])
  expect(existsSync(stale)).toBe(false)
  expect(existsSync(recent)).toBe(true)
  expect(readdirSync(folder)).toHaveLength(2)
  const store = new Store()
  expect([20, 30, 40]).toContain((await store.read()).loaded)
})
