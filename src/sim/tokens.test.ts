import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countTokens, createPrefixCache, tokenize } from './tokens.ts'

describe('tokenizer', () => {
  it('loses nothing and agrees with the counter', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(0xffff), { maxLength: 60 }), (codes) => {
        const text = String.fromCharCode(...codes)
        const tokens = tokenize(text)
        expect(tokens.join('')).toBe(text)
        expect(tokens.every((token) => token.length > 0)).toBe(true)
        expect(countTokens(text)).toBe(tokens.length)
      }),
    )
  })

  it('never cuts a surrogate pair', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) => {
        for (const token of tokenize(text)) expect(token.isWellFormed()).toBe(true)
      }),
    )
  })

  it('counts as its documentation says', () => {
    expect(tokenize('The capital, 12345 tokens')).toEqual(['The', ' capital', ',', ' 123', '45', ' tokens'])
    expect(tokenize('a  b')).toEqual(['a', '  ', 'b'])
    expect(tokenize('internationalization')).toEqual(['internat', 'ionaliza', 'tion'])
    expect(tokenize('日本')).toEqual(['日', '本'])
    expect(countTokens('')).toBe(0)
  })
})

describe('prefix cache', () => {
  const words = (n: number, word = 'thread'): string => Array.from({ length: n }, () => word).join(' ')

  it('reports whole blocks of a prefix that came before', () => {
    const cache = createPrefixCache(64)
    const shared = words(200)
    expect(cache.cachedTokens(`${shared} one`)).toBe(0)
    expect(cache.cachedTokens(`${shared} two`)).toBe(192)
    expect(cache.cachedTokens(`new start ${shared}`)).toBe(0)
    cache.clear()
    expect(cache.cachedTokens(`${shared} one`)).toBe(0)
  })

  it('does not report less than a block', () => {
    const cache = createPrefixCache(64)
    cache.cachedTokens(words(63))
    expect(cache.cachedTokens(words(63))).toBe(0)
  })
})
