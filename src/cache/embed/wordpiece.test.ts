import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { MOST_PIECES, WordPiece } from './wordpiece.ts'

interface Fixture {
  vocabulary: string[]
  unknown: number
  texts: [string, number[]][]
}
/** Made by scripts/cache-model/table_fixture.py with the tokenizer that the teacher comes with. */
const fixture = JSON.parse(readFileSync(new URL('./wordpiece.fixture.json', import.meta.url), 'utf8')) as Fixture

function rowsOf(splitter: WordPiece, text: string): number[] {
  splitter.tokenize(text)
  return [...splitter.pieces.subarray(0, splitter.count)]
}

describe('against the reference tokenizer', () => {
  const splitter = new WordPiece(fixture.vocabulary, fixture.unknown)
  test.each(fixture.texts.map(([text, rows], at) => [at, text, rows] as const))('text %i', (_, text, rows) => {
    const name = (row: number): string => fixture.vocabulary[row] ?? '[UNK]'
    expect([text, ...rowsOf(splitter, text).map(name)]).toEqual([text, ...rows.map(name)])
  })

  test('without a row for the unknown, unknown words are left out', () => {
    const bare = new WordPiece(fixture.vocabulary)
    for (const [text, rows] of fixture.texts) {
      expect(rowsOf(bare, text)).toEqual(rows.filter((row) => row !== fixture.unknown))
    }
  })
})

describe('greedy and longest first', () => {
  /** The same by string comparison, word for word. */
  function plainly(vocabulary: readonly string[], word: string): string[] {
    const found: string[] = []
    for (let from = 0; from < word.length;) {
      let end = word.length
      while (end > from && !vocabulary.includes((from > 0 ? '##' : '') + word.slice(from, end))) end -= 1
      if (end === from) return ['[UNK]']
      found.push((from > 0 ? '##' : '') + word.slice(from, end))
      from = end
    }
    return found
  }

  test('for any vocabulary and word', () => {
    const part = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 })
    const piece = fc.tuple(part, fc.boolean()).map(([text, continued]) => (continued ? `##${text}` : text))
    const words = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(fc.uniqueArray(piece, { minLength: 1, maxLength: 25 }), words, (vocabulary, word) => {
        const splitter = new WordPiece(vocabulary, vocabulary.length)
        const names = rowsOf(splitter, word).map((row) => vocabulary[row] ?? '[UNK]')
        expect(names).toEqual(plainly(vocabulary, word))
      }),
    )
  })
})

describe('coverage', () => {
  const splitter = new WordPiece(fixture.vocabulary)
  const counted = (text: string): [number, number] => {
    splitter.tokenize(text)
    return [splitter.known, splitter.characters]
  }

  test('space and punctuation do not count, nor do accents and control characters', () => {
    expect(counted(' the, the! ')).toEqual([6, 6])
    expect(counted('cafe\u0301 \u0000the')).toEqual([7, 7])
    expect(counted('?! ...')).toEqual([0, 0])
  })

  test('letters that a word falls into tell nothing', () => {
    expect(counted('the bdcfegh')).toEqual([3, 10])
  })

  test('numbers are known, other scripts are not, whatever the vocabulary has of them', () => {
    expect(counted('2026')).toEqual([4, 4])
    expect(counted('the 世界')).toEqual([3, 5])
    const wide = new WordPiece(['世', '界', 'д', '##а'])
    wide.tokenize('世界 да')
    expect([wide.count, wide.known, wide.characters]).toEqual([4, 0, 4])
  })
})

describe('bounds', () => {
  test('512 pieces are taken of any text, and 4096 units are read', () => {
    const splitter = new WordPiece(['a', '##a', 'b'])
    splitter.tokenize('a '.repeat(100_000))
    expect(splitter.count).toBe(MOST_PIECES)
    splitter.tokenize(`${'z'.repeat(4096)} b`)
    expect(splitter.count).toBe(0)
    // a word that the end cuts through keeps its first pieces
    splitter.tokenize(`${'b '.repeat(510)}${'a'.repeat(50)}`)
    expect(splitter.count).toBe(MOST_PIECES)
  })

  test('any text is taken, the same each time', () => {
    const splitter = new WordPiece(fixture.vocabulary)
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        const first = rowsOf(splitter, text)
        expect(splitter.known).toBeLessThanOrEqual(splitter.characters)
        expect(rowsOf(splitter, text)).toEqual(first)
      }),
    )
  })
})
