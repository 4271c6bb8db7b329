import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileGlobs } from './glob.ts'

test.each([
  ['gpt-5', 'gpt-5', true],
  ['gpt-5', 'gpt-5-mini', false],
  ['gpt-*', 'gpt-', true],
  ['*-mini', 'gpt-5-mini', true],
  ['gpt-*-mini', 'gpt-5-mini', true],
  ['gpt-*-mini', 'gpt-mini', false],
  ['a*a', 'a', false],
  ['openai/*', 'openai/gpt-5', true],
  ['*', '', true],
  ['a*b*c', 'aXbYc', true],
  ['a*b*c', 'aXcYb', false],
  ['*ab*ab*', 'abab', true],
  ['*ab*ab', 'ab', false],
  ['GPT', 'gpt', false],
  ['a.c', 'abc', false],
])('%s and %s: %s', (pattern, name, expected) => {
  expect(compileGlobs([pattern])(name)).toBe(expected)
})

test('an empty list fits nothing', () => {
  expect(compileGlobs([])('')).toBe(false)
})

const letters = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '+'), maxLength: 8 })
const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '+', '*'), maxLength: 8 })

const asRegExp = (text: string): RegExp =>
  new RegExp(`^${text.replaceAll(/[.+/]/g, String.raw`\$&`).replaceAll('*', '.*')}$`, 'u')

test('globs mean what the regular expression means', () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 4 }), letters, (patterns, name) => {
      expect(compileGlobs(patterns)(name)).toBe(patterns.some((text) => asRegExp(text).test(name)))
    }),
    { numRuns: 2000 },
  )
})
