import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TextVector } from '../../contracts/semantic.ts'
import { loadTable } from '../embed/table.ts'
import { loadVerifier } from './load.ts'
import { createVerifier, SERVE_FLOOR, type VerifierFile } from './verifier.ts'

const table = loadTable()
const verifier = loadVerifier(table)
const bare = loadVerifier(null)

const file = JSON.parse(
  readFileSync(new URL('../../../config/semantic/verifier.json', import.meta.url), 'utf8'),
) as VerifierFile

const pairs = readFileSync(new URL('../../../test/data/semantic-pairs.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { a: string; b: string; label: number })

const cosine = (a: TextVector, b: TextVector): number => {
  let sum = 0
  for (let i = 0; i < a.values.length; i++) sum += (a.values[i] ?? 0) * (b.values[i] ?? 0)
  return a.norm === 0 || b.norm === 0 ? 0 : sum / (a.norm * b.norm)
}

const verdict = (a: string, b: string) =>
  verifier.compare(verifier.facts(a), verifier.facts(b), cosine(table.embed(a), table.embed(b)))

describe('the verifier that is shipped', () => {
  it('serves at its start at most 1 in 100 of the false pairs of the suite, and some of the true ones', () => {
    const served = pairs.filter((pair) => {
      const { score, veto } = verdict(pair.a, pair.b)
      return veto === null && score >= SERVE_FLOOR
    })
    const wrong = served.filter((pair) => pair.label === 0)
    const all = pairs.filter((pair) => pair.label === 0).length
    expect(wrong.length).toBeLessThanOrEqual(all * 0.01)
    expect(served.length).toBeGreaterThan(20)
  })

  it('puts most true pairs above most false ones that nothing forbids', () => {
    const scores = (label: number) =>
      pairs
        .filter((pair) => pair.label === label)
        .map((pair) => verdict(pair.a, pair.b))
        .filter((one) => one.veto === null)
        .map((one) => one.score)
    const right = scores(1)
    const wrong = scores(0)
    const above = right.reduce((sum, score) => sum + wrong.filter((other) => other < score).length, 0)
    expect(above / (right.length * wrong.length)).toBeGreaterThan(0.75)
  })

  it('is sure of a text and itself, whatever its case and marks', () => {
    expect(verdict('How do I bake bread?', 'how do i bake bread')).toEqual({ score: 1, veto: null })
  })

  it('names its rules, its weights and its words in its version', () => {
    expect(verifier.version).toContain(table.version)
    expect(bare.version).not.toBe(verifier.version)
  })

  it('trusts no Chinese text by characters alone', () => {
    const { score } = verdict('怎么提高英语水平', '如何提高英语水平')
    expect(score).toBeLessThan(SERVE_FLOOR)
  })
})

describe('any two texts', () => {
  const text = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 80 }),
    fc
      .array(
        fc.constantFrom(
          'how',
          'many',
          'km',
          '5',
          '1,000',
          '$',
          'not',
          '“',
          '”',
          '`',
          '价格',
          '三',
          '.',
          'a.b',
          'http://x.example',
        ),
        { maxLength: 30 },
      )
      .map((list) => list.join(' ')),
  )
  const near = fc.oneof(fc.double({ min: -1, max: 1, noNaN: true }), fc.constant(Number.NaN))

  it('are judged the same both ways, by a number from 0 to 1', () => {
    fc.assert(
      fc.property(text, text, near, (a, b, cos) => {
        for (const one of [verifier, bare]) {
          const forth = one.compare(one.facts(a), one.facts(b), cos)
          const back = one.compare(one.facts(b), one.facts(a), cos)
          expect(forth.veto).toBe(back.veto)
          expect(Math.abs(forth.score - back.score)).toBeLessThan(1e-6)
          expect(forth.score).toBeGreaterThanOrEqual(0)
          expect(forth.score).toBeLessThanOrEqual(1)
        }
      }),
    )
  })

  it('cost no more than their beginnings: long ones keep few facts', () => {
    for (const piece of ['word ', '"a" ', 'a-1.b_', '`', '价格', '5 km ', "don't ", '12:30-']) {
      const facts = verifier.facts(piece.repeat(100_000 / piece.length))
      expect(facts.words.length).toBeLessThanOrEqual(256)
      expect(facts.grams.length).toBeLessThanOrEqual(2_048)
      expect(facts.tail).not.toBe(0)
      expect(verifier.compare(facts, facts, 1)).toEqual({ score: 1, veto: null })
    }
  })
})

describe('weights that are damaged', () => {
  it.each([
    ['made for other features', { ...file, features: file.features.slice(1) }],
    ['of lists that differ', { ...file, en: { ...file.en, left: [] } }],
    ['asking for what is not there', { ...file, en: { ...file.en, feature: file.en.feature.map(() => 999) } }],
    ['walking in circles', { ...file, en: { ...file.en, left: file.en.left.map(() => 0) } }],
    ['rooted outside', { ...file, zh: { ...file.zh, roots: [-1] } }],
  ])('are refused: %s', (_, damaged) => {
    expect(() => createVerifier(table, damaged)).toThrow(Error)
  })
})
