import fc from 'fast-check'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { TextVector } from '../../contracts/semantic.ts'
import { loadTable, TableEmbedder } from './table.ts'
import { readTable, tableOf } from './table-file.ts'

const embedder = loadTable()

function cosine(left: TextVector, right: TextVector): number {
  let sum = 0
  for (let at = 0; at < left.values.length; at += 1) sum += left.values[at]! * right.values[at]!
  return sum / (left.norm * right.norm)
}
const near = (left: string, right: string): number => cosine(embedder.embed(left), embedder.embed(right))

describe('the shipped table', () => {
  test('finds the same question in other words nearer than another question of the same words', () => {
    const triples = [
      ['How do I reset my password?', 'I forgot my password, how can I change it?', 'How do I reset my router?'],
      ['What is the capital of France?', 'Which city is the capital of France?', 'What is the population of France?'],
      ['My card was stolen, what now?', 'Someone stole my credit card', 'My parcel has not arrived, what now?'],
      ['How can I lose weight fast?', 'What is the quickest way to lose weight?', 'How can I learn Spanish fast?'],
      ['how to undo a git commit', 'revert the last commit in git', 'how to clone a git repository'],
      ['Is ibuprofen safe during pregnancy?', 'Can a pregnant woman take ibuprofen?', 'Is sushi safe for dogs?'],
    ] as const
    for (const [question, same, other] of triples) expect(near(question, same)).toBeGreaterThan(near(question, other))
  })

  test('case, accents, spaces and how a text is composed make no difference', () => {
    expect(near('  WHERE is the\tCAFÉ ?', 'where is the cafe\u0301?')).toBeCloseTo(1, 10)
  })

  test('vectors are as the contract says', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 80 }), fc.lorem({ maxCount: 20 })), (text) => {
        const { values, norm, coverage } = embedder.embed(text)
        expect(values).toHaveLength(embedder.dimensions)
        const greatest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
        expect([0, 127]).toContain(greatest)
        expect(norm).toBeCloseTo(Math.hypot(...values), 6)
        expect(coverage).toBeGreaterThanOrEqual(0)
        expect(coverage).toBeLessThanOrEqual(1)
      }),
      { numRuns: 60 },
    )
  })

  test('answers stay as they are when others follow', () => {
    const first = embedder.embed('What is a service mesh?')
    const copy = [...first.values]
    embedder.embed('Something else altogether')
    expect([...first.values]).toEqual(copy)
  })

  test('a text without anything known has no direction', () => {
    for (const text of ['', ' \n\t', '世界', '😀']) expect(embedder.embed(text)).toMatchObject({ norm: 0, coverage: 0 })
  })
})

describe('how pieces are put together', () => {
  const vocabulary = ['a', 'b', 'c']
  const values = Int8Array.of(10, 0, 0, 0, 10, 10, 0, 0, 0, 0, 0, 5)
  const table = {
    ...embedder.table,
    rows: 3,
    dimensions: 4,
    vocabulary,
    values,
    scales: Float32Array.from([1, 0.5, 2]),
    weights: Uint8Array.from([0, 51, 255]),
  }
  const small = new TableEmbedder(table)

  test('each once, less where it says what the others say', () => {
    const rows = [
      [10, 0, 0, 0],
      [5, 5, 0, 0],
      [0, 0, 0, 10],
    ]
    const all = [15, 5, 0, 10]
    const sums = [0, 0, 0, 0]
    for (const row of rows) {
      const along = row.reduce((sum, value, at) => sum + value * (all[at]! - value), 0)
      const weight = Math.exp((-2 * along) / (Math.hypot(...row) * Math.hypot(...all)))
      for (const [at, value] of row.entries()) sums[at]! += value * weight
    }
    const greatest = Math.max(...sums)
    const expected = sums.map((value) => Math.round((value * 127) / greatest))
    expect([...small.embed('a b c').values]).toEqual(expected)
    expect([...small.embed('c b a, b b a').values]).toEqual(expected)
    expect([...small.embed('b').values]).toEqual([127, 127, 0, 0])
  })

  test('what a word tells is in the table', () => {
    expect([small.weight('a'), small.weight('b'), small.weight('c')]).toEqual([0, 0.2, 1])
  })
})

describe('coverage', () => {
  const floor = embedder.coverageFloor

  test.each([
    'How do I instal pyhton on windws 10?',
    'Who is Krishnamurthy Venkataraman and where was he born?',
    'réservation d’hôtel à Montréal for 2 nights, please',
    'How do I fix npm ERR! code ERESOLVE?',
    'kubectl apply -f fails with ECONNREFUSED, why?',
    'What is 12 * 34?',
    'wat is teh best way 2 lern englsh',
    'Explain GDPR, HIPAA and SOC 2 to me',
  ])('English with typos, names and terms: %s', (text) => {
    expect(embedder.embed(text).coverage).toBeGreaterThanOrEqual(floor)
  })

  test.each([
    '你好，请问怎么重置密码？',
    'パスワードを忘れました',
    '비밀번호를 잊어버렸어요',
    'как сбросить пароль',
    'كيف يمكنني إعادة تعيين كلمة المرور',
    'איך לאפס סיסמה',
    'πώς αλλάζω τον κωδικό μου',
    'पासवर्ड कैसे बदलें',
    '😀😃😄🎉',
    'xkqzjv wqpfzt bnmvkl rtyqx',
    'sdkfj sldkfj woeiru sldkfj',
    'aGVsbG8gd29ybGQgdGhpcyBpcyBhIHNlY3JldCBtZXNzYWdl',
    '3f2a9b7c1d4e5f60718293a4b5c6d7e8',
    'ubj qb v erfrg zl cnffjbeq',
  ])('not for this table: %s', (text) => {
    expect(embedder.embed(text).coverage).toBeLessThan(floor)
  })
})

describe('words', () => {
  test('have vectors of unit length, written where they are to be', () => {
    const out = new Float32Array(embedder.dimensions + 2)
    expect(embedder.vector('password', out, 1)).toBe(true)
    expect(Math.hypot(...out)).toBeCloseTo(1, 5)
    expect([out[0], out.at(-1)]).toEqual([0, 0])
  })

  test('near words are nearer', () => {
    const of = (word: string): Float32Array => {
      const out = new Float32Array(embedder.dimensions)
      expect(embedder.vector(word, out, 0)).toBe(true)
      return out
    }
    const dot = (left: string, right: string): number => {
      const [a, b] = [of(left), of(right)]
      return a.reduce((sum, value, at) => sum + value * b[at]!, 0)
    }
    expect(dot('doctor', 'physician')).toBeGreaterThan(dot('doctor', 'banana'))
    expect(dot('buy', 'purchase')).toBeGreaterThan(dot('buy', 'yellow'))
  })

  test('unknown ones are not written, and tell all', () => {
    const out = new Float32Array(embedder.dimensions).fill(7)
    for (const word of ['', 'xkqzjv', '世界', '?!…']) {
      expect(embedder.vector(word, out, 0)).toBe(false)
      expect(embedder.weight(word)).toBe(1)
    }
    expect(out.every((value) => value === 7)).toBe(true)
  })

  test('those of every question tell less than those of one', () => {
    for (const common of ['the', 'is', 'of', 'a']) {
      for (const rare of ['password', 'ibuprofen', 'kubernetes', 'mortgage']) {
        expect(embedder.weight(common)).toBeLessThan(embedder.weight(rare))
      }
    }
    expect(embedder.weight('the')).toBeLessThan(0.35)
  })
})

describe('the file', () => {
  const shared = embedder.table.shared
  const changed = (change: (bytes: Uint8Array) => void): SharedArrayBuffer => {
    const copy = new SharedArrayBuffer(shared.byteLength)
    new Uint8Array(copy).set(new Uint8Array(shared))
    change(new Uint8Array(copy))
    return copy
  }

  test('another thread reads the same memory', () => {
    const other = new TableEmbedder(tableOf(shared))
    expect(other.table.values.buffer).toBe(shared)
    expect(other.version).toBe(embedder.version)
    expect(other.embed('the same text')).toEqual(embedder.embed('the same text'))
  })

  test('what is damaged, cut or of another kind is refused', () => {
    const flip = (at: number) => () => tableOf(changed((bytes) => (bytes[at]! ^= 1)))
    expect(flip(0)).toThrow('not such a file')
    expect(flip(4)).toThrow('another version')
    expect(flip(shared.byteLength - 1)).toThrow('damaged')
    expect(flip(8)).toThrow('cut or too long')
    expect(() => tableOf(new SharedArrayBuffer(10))).toThrow('not such a file')
    const folder = mkdtempSync(join(tmpdir(), 'table-'))
    try {
      const path = join(folder, 'cut.bin')
      writeFileSync(path, new Uint8Array(shared).slice(0, -4))
      expect(() => readTable(path)).toThrow('cut or too long')
      expect(() => readTable(join(folder, 'none'))).toThrow('ENOENT')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
