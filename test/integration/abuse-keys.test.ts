// The scanner's table of keys: what an attacker chooses, and what honest data looks like, must both stay cheap.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { JsonScanner, SCAN_ERRORS, SCAN_OK } from '../../src/protocol/json-scan/scanner.ts'

const scanner = new JsonScanner(['model'])
const scan = (text: string): string => SCAN_ERRORS[scanner.scan(Buffer.from(text), true, 64, 100_000)]!
const object = (keys: readonly string[]): string => `{${keys.map((key) => `"${key}":0`).join(',')}}`

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEF'
const spread = (n: number): number => Math.imul(n, 0x9e3779b1) >>> 2

/** Keys with one FNV-1a hash: a chain of blocks, each with two spellings that lead to the same state. */
function collidingKeys(doublings: number): string[] {
  const text = (n: number): string =>
    Array.from({ length: 6 }, (_, i) => LETTERS[(spread(n) >>> (i * 5)) & 31]!).join('')
  const table = new Int32Array(1 << 20)
  const hashes = new Uint32Array(1 << 20)
  let keys = ['']
  let state = 2166136261
  for (let block = 0; block < doublings; block++) {
    table.fill(-1)
    for (let n = 0; n < hashes.length; n++) {
      let h = state
      for (let i = 0; i < 30; i += 5) h = Math.imul(h ^ LETTERS.charCodeAt((spread(n) >>> i) & 31), 16777619) >>> 0
      hashes[n] = h
      const other = table[h >>> 12]!
      if (other >= 0 && hashes[other] === h) {
        keys = keys.flatMap((key) => [key + text(other), key + text(n)])
        state = h
        break
      }
      table[h >>> 12] = n
    }
  }
  return keys
}

test('65,536 keys chosen to collide are refused instead of compared two by two', () => {
  const keys = collidingKeys(16)
  expect(new Set(keys).size).toBe(65_536)
  expect(scan(object(keys))).toBe('keys')
  expect(scan(object(keys.slice(0, 400)))).toBe('ok')
  // Many objects with a few of them each: none may leave the others anything to walk through.
  expect(
    scan(
      `[${Array.from({ length: 2600 }, (_, i) => object([...keys.slice(i * 24, i * 24 + 24), `own${i}`])).join(',')}]`,
    ),
  ).toBe('ok')
})

test('a long list of records with the same 30 fields is scanned in the time of its length', () => {
  // Walking past the fields of earlier records took seconds for each of these rounds.
  const text = `[${Array.from({ length: 3300 }, () => object(Array.from({ length: 30 }, (_, i) => `field_${i}`))).join(',')}]`
  for (let round = 0; round < 30; round++) expect(scan(text)).toBe('ok')
})

test.each([
  ['counted', (i: number) => `k${i}`],
  ['padded hex', (i: number) => i.toString(16).padStart(8, '0')],
  ['every 1024th', (i: number) => `item_${i * 1024}`],
  ['long, different at the front', (i: number) => `${i}${'x'.repeat(60)}`],
  ['uuid-like', (i: number) => `${spread(i).toString(16)}-0000-4000-8000-${i.toString(16).padStart(12, '0')}`],
])('100,000 keys of one object are taken: %s', (_name, key) => {
  expect(scan(object(Array.from({ length: 100_000 }, (_, i) => key(i))))).toBe('ok')
})

interface Tree {
  readonly keys: readonly string[]
  readonly children: readonly Tree[]
}

const name = fc.integer({ min: 0, max: 400 }).map((n) => `n${n}`)
const keys = fc.array(name, { maxLength: 60 })
const tree: (depth?: number) => fc.Arbitrary<Tree> = fc.memo((depth: number) =>
  fc.record({ keys, children: depth <= 1 ? fc.constant([]) : fc.array(tree(depth - 1), { maxLength: 3 }) }),
)

/** Children stand among the keys of their parent, under names of their own. */
function render({ keys, children }: Tree): string {
  const members = keys.map((key) => `"${key}":1`)
  children.forEach((child, i) =>
    members.splice(Math.floor((members.length * (i + 1)) / (children.length + 1)), 0, `"child${i}":${render(child)}`),
  )
  return `{${members.join(',')}}`
}
const twice = ({ keys, children }: Tree): boolean => new Set(keys).size < keys.length || children.some(twice)

test('a key that stands twice is found at every level, and only then', () => {
  fc.assert(
    fc.property(tree(4), fc.boolean(), (drawn, unique) => {
      const distinct = (t: Tree): Tree => ({ keys: [...new Set(t.keys)], children: t.children.map(distinct) })
      const subject = unique ? distinct(drawn) : drawn
      expect(scan(render(subject))).toBe(twice(subject) ? 'duplicate' : SCAN_ERRORS[SCAN_OK])
    }),
    { numRuns: 1000, seed: 7 },
  )
})
