import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Entry } from '../entry.ts'
import { ExactStore, bytesOf, type PurgeWish } from './exact.ts'

let ids = 0

const entry = (about: Partial<Entry> = {}): Entry => ({
  id: `id${ids++}`,
  key: 'k',
  partition: 'p',
  scope: '',
  question: 'what is a loom?',
  body: Buffer.alloc(10),
  text: 'a frame',
  usage: null,
  nanoUsd: 0,
  simulated: false,
  target: 'backend',
  model: 'm',
  tenant: 't',
  principal: 'who',
  tags: [],
  createdAt: 0,
  expiresAt: 1000,
  ...about,
})

const holds = (e: Entry, wish: PurgeWish): boolean =>
  [
    wish.id === undefined || wish.id === e.id,
    wish.tenant === undefined || wish.tenant === e.tenant,
    wish.model === undefined || wish.model === e.model,
    wish.tag === undefined || e.tags.some((tag) => tag === wish.tag),
    wish.prefix === undefined || (e.question !== null && e.question.slice(0, wish.prefix.length) === wish.prefix),
  ].every(Boolean)

/** The store beside a list, the one used longest ago first. */
class Pair {
  list: Entry[] = []
  readonly gone: Entry[] = []
  readonly store: ExactStore
  readonly maxBytes: number

  constructor(maxBytes: number, maxEntry: number) {
    this.maxBytes = maxBytes
    this.store = new ExactStore(maxBytes, maxEntry, (e) => this.gone.push(e))
  }

  put(e: Entry, maxEntry: number): void {
    const fits = e.body.length <= maxEntry && bytesOf(e) <= this.maxBytes
    assert.equal(this.store.put(e), fits)
    this.list = this.list.filter(({ key }) => key !== e.key)
    if (!fits) return
    this.list.push(e)
    while (this.list.reduce((sum, one) => sum + bytesOf(one), 0) > this.maxBytes) this.list.shift()
  }

  get(key: string, now: number): void {
    const known = this.list.find((e) => e.key === key)
    const expected = known !== undefined && known.expiresAt > now ? known : null
    assert.equal(this.store.get(key, now), expected)
    this.list = this.list.filter((e) => e !== known)
    if (expected !== null) this.list.push(expected)
  }

  drop(which: (e: Entry) => boolean): number {
    const before = this.list.length
    this.list = this.list.filter((e) => !which(e))
    return before - this.list.length
  }

  check(everPut: number): void {
    assert.deepEqual([...this.store.all()], this.list)
    assert.equal(this.store.size, this.list.length)
    assert.equal(
      this.store.bytes,
      this.list.reduce((sum, e) => sum + bytesOf(e), 0),
    )
    assert.ok(this.store.bytes <= this.maxBytes)
    for (const e of this.list) assert.equal(this.store.find(e.id), e)
    for (const e of this.gone) assert.equal(this.store.find(e.id), null)
    assert.equal(this.gone.length, everPut - this.list.length)
    const names = [new Set(this.list.map((e) => e.tenant)), new Set(this.list.map((e) => e.model))]
    const tags = new Set(this.list.flatMap((e) => e.tags))
    assert.equal(this.store.groups, names[0]!.size + names[1]!.size + tags.size)
  }
}

const few = fc.constantFrom('a', 'b', 'c')
const made = fc.record({
  key: fc.constantFrom('k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7'),
  tenant: few,
  model: few,
  tags: fc.array(few, { maxLength: 3 }),
  question: fc.option(fc.constantFrom('who', 'what', 'what for', 'why'), { nil: null }),
  size: fc.nat(3000),
  expiresAt: fc.nat(50),
})
const wishes = fc.record(
  { tenant: few, model: few, tag: few, prefix: fc.constantFrom('', 'w', 'what', 'where') },
  { requiredKeys: [] },
)
const steps = fc.oneof(
  { weight: 6, arbitrary: fc.record({ what: fc.constant('put' as const), made }) },
  { weight: 4, arbitrary: fc.record({ what: fc.constant('get' as const), key: fc.constantFrom('k1', 'k2', 'k3') }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('delete' as const), key: fc.constantFrom('k1', 'k4') }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('purge' as const), wish: wishes }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('forget' as const), at: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('sweep' as const) }) },
)

test('does what a list of all entries does', () => {
  const maxEntry = 2800
  fc.assert(
    fc.property(fc.constantFrom(900, 3500, 9000), fc.array(steps, { maxLength: 60, size: 'max' }), (maxBytes, all) => {
      const pair = new Pair(maxBytes, maxEntry)
      let put = 0
      for (const [now, step] of all.entries()) {
        if (step.what === 'put') {
          const { size, ...about } = step.made
          const e = entry({ ...about, body: Buffer.alloc(size) })
          if (size <= maxEntry && bytesOf(e) <= maxBytes) put++
          pair.put(e, maxEntry)
        } else if (step.what === 'get') pair.get(step.key, now)
        else if (step.what === 'delete')
          expect(pair.store.delete(step.key)).toBe(pair.drop(({ key }) => key === step.key) === 1)
        else if (step.what === 'purge') expect(pair.store.purge(step.wish)).toBe(pair.drop((e) => holds(e, step.wish)))
        else if (step.what === 'forget') {
          const id = pair.list[step.at]?.id ?? 'none'
          expect(pair.store.purge({ id })).toBe(pair.drop((e) => e.id === id))
        } else if (step.what === 'sweep') {
          // Twice: the first may end where the last one's round does.
          const gone = pair.store.sweep(now) + pair.store.sweep(now)
          expect(gone).toBe(pair.drop((e) => e.expiresAt <= now))
        }
        pair.check(put)
      }
    }),
    { numRuns: 300 },
  )
})

test('a purge looks at none but the smallest group', () => {
  const store = new ExactStore(1e9, 1e6)
  let looked = 0
  for (let i = 0; i < 2000; i++) {
    const e = entry({ key: `k${i}`, tenant: `t${i % 100}`, tags: i % 500 === 0 ? ['rare'] : [] })
    store.put({
      ...e,
      get question() {
        looked++
        return e.question
      },
    })
  }
  looked = 0
  expect(store.purge({ tenant: 't7', prefix: 'what' })).toBe(20)
  expect(store.purge({ tag: 'rare', model: 'm', prefix: 'what' })).toBe(4)
  expect(store.purge({ tenant: 'nobody', prefix: 'what' })).toBe(0)
  // Once to match, and once where its bytes are given back, at the most.
  expect(looked).toBeLessThanOrEqual(48)
  expect(store.purge({})).toBe(1976)
  expect(store.size).toBe(0)
  expect(store.bytes).toBe(0)
  expect(store.groups).toBe(0)
})

test('a sweep goes on where the last one stopped, through what comes and goes meanwhile', () => {
  const store = new ExactStore(1e9, 1e6)
  for (let i = 0; i < 100; i++) store.put(entry({ key: `k${i}`, expiresAt: i % 2 === 0 ? 5 : 50 }))
  let gone = 0
  for (let i = 0; i < 12; i++) {
    gone += store.sweep(10, 10)
    store.delete(`k${i * 2 + 1}`)
    store.put(entry({ key: `new${i}`, expiresAt: 50 }))
  }
  expect(gone).toBe(50)
  expect(store.sweep(50, 1000) + store.sweep(50, 1000)).toBe(50)
  expect(store.sweep(50)).toBe(0)
})

test('a flood of entries of new tenants and tags stays within its bytes and leaves no names behind', () => {
  const store = new ExactStore(200_000, 10_000)
  for (let i = 0; i < 5000; i++) {
    store.put(
      entry({ key: `k${i}`, tenant: `t${i}`, model: `m${i}`, tags: [`x${i}`, `y${i}`], body: Buffer.alloc(i % 900) }),
    )
    expect(store.bytes).toBeLessThanOrEqual(200_000)
    expect(store.groups).toBe(store.size * 4)
  }
  expect(store.size).toBeGreaterThan(50)
  expect(store.get('k4999', 1)).not.toBeNull()
})
