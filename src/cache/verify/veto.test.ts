import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { factsOf } from './facts.ts'
import { vetoOf } from './veto.ts'

const veto = (a: string, b: string) => vetoOf(factsOf(a, null), factsOf(b, null))

interface Pair {
  a: string
  b: string
  label: 0 | 1
  kind: string
  lang: string
}

const suite = readFileSync(new URL('../../../test/data/semantic-pairs.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Pair)

/** Kinds that differ by what words mean in general: for the score to tell. */
const bySense = new Set(['ask', 'attribute', 'topic'])

const missed = (pairs: readonly Pair[], wanted: boolean) =>
  pairs
    .filter((pair) => (veto(pair.a, pair.b) !== null) !== wanted)
    .map((pair) => `${pair.kind}: ${pair.a} / ${pair.b}`)

describe('vetoes of the suite', () => {
  it('has what it says: many pairs, both languages, a third of them true', () => {
    expect(suite.length).toBeGreaterThanOrEqual(500)
    expect(suite.filter((pair) => pair.lang === 'zh').length).toBeGreaterThanOrEqual(100)
    expect(suite.filter((pair) => pair.label === 1).length).toBeGreaterThanOrEqual(suite.length / 3)
  })

  it.each(['en', 'zh'])('forbids at least 95 in 100 that differ in one thing only, %s', (lang) => {
    const pairs = suite.filter((pair) => pair.lang === lang && pair.label === 0 && !bySense.has(pair.kind))
    const through = missed(pairs, true)
    expect(through.length).toBeLessThanOrEqual(pairs.length * 0.05)
  })

  it.each(['en', 'zh'])('forbids at most 10 in 100 of those that ask the same, %s', (lang) => {
    const pairs = suite.filter((pair) => pair.lang === lang && pair.label === 1)
    const forbidden = missed(pairs, false)
    expect(forbidden.length).toBeLessThanOrEqual(pairs.length * 0.1)
  })

  it('says the same of both orders', () => {
    for (const pair of suite) expect(veto(pair.a, pair.b)).toBe(veto(pair.b, pair.a))
  })
})

describe('reasons', () => {
  it.each([
    ['How long is 5 km?', 'How long is 6 km?', 'number'],
    ['convert 2 km to miles', 'convert 2 kilometres to miles', null],
    ['how many grams are 1,500 mg', 'how many grams are 1500 mg', null],
    ['wait 90 minutes', 'wait 1.5 hours', null],
    ['what changed in python 3.1', 'what changed in python 3.10', 'number'],
    ['open the door', 'do not open the door', 'negation'],
    ['is it cheap', 'is it expensive', 'antonym'],
    ['is it not cheap', 'is it expensive', null],
    ['is he able to drive', 'is he unable to drive', 'negation'],
    ['is the seat occupied', 'is the seat unoccupied', 'antonym'],
    ['until when is it open', 'til when is it open', null],
    ['what does "yes" mean', 'what does "no" mean', 'quote'],
    ['run `ls -a` please', 'run `ls -l` please', 'code'],
    ['read https://a.example/x now', 'read https://a.example/y now', 'url'],
    ['flights from Rome to Oslo', 'any flights from Oslo to Rome this year', 'order'],
    ['is tea better than coffee', 'is coffee better than tea', 'order'],
    ['tea or coffee', 'coffee or tea', null],
    ['the weather on Monday', 'the weather on Tuesday', 'date'],
    ['in May 2020', 'in June 2020', 'date'],
    ['may I leave', 'can I leave', null],
    ['Is Anna Smith here?', 'Is Peter Jones here?', 'entity'],
    ['who invented the wheel', 'when was the wheel invented', 'question'],
    ['how do I bake bread', 'why do I bake bread', 'question'],
    ['what time does it start', 'when does it start', null],
    ['hello there friend', '你好朋友', 'language'],
    ['能不能退款', '可以退款吗', null],
    ['能退款', '不能退款', 'negation'],
    ['第一章讲什么', '第二章讲什么', 'number'],
    ['一下子就好了', '马上就好了', null],
  ])('%s / %s: %s', (a, b, reason) => {
    expect(veto(a, b)).toBe(reason)
  })

  it('reads only the beginning of a long text, and compares the rest as it is', () => {
    const long = 'word '.repeat(3_000)
    expect(veto(`${long}yes`, `${long}no`)).toBe('length')
    expect(veto(`${long}yes`, `${long}yes`)).toBeNull()
  })
})

describe('properties', () => {
  const words = fc.array(
    fc.constantFrom(
      'what',
      'is',
      'the',
      'price',
      'of',
      'milk',
      'from',
      'to',
      'not',
      'never',
      'US',
      'v',
      '"',
      '`',
      '苹果',
      '不',
    ),
    { maxLength: 12 },
  )

  it('forbids whatever two different numbers stand in one sentence', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1e9, max: 1e9 }),
        fc.integer({ min: -1e9, max: 1e9 }),
        fc.constantFrom('what is x plus 7 apples', 'order x please', '把x加起来'),
        (a, b, sentence) => {
          fc.pre(a !== b)
          expect(veto(sentence.replace('x', String(a)), sentence.replace('x', String(b)))).toBe('number')
        },
      ),
    )
  })

  it('sees a sign behind a character that is written without spaces', () => {
    expect(veto('把-5加起来', '把5加起来')).toBe('number')
    expect(veto('看第3-5页', '看第3-5页')).toBeNull()
  })

  it('forbids nothing between a text and itself, in small or large letters', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          words.map((list) => list.join(' ')),
          fc.string({ unit: 'grapheme' }),
        ),
        (text) => {
          expect(veto(text, text)).toBeNull()
        },
      ),
    )
  })

  it('says the same of both orders of any two texts', () => {
    fc.assert(
      fc.property(words, words, (a, b) => {
        expect(veto(a.join(' '), b.join(' '))).toBe(veto(b.join(' '), a.join(' ')))
      }),
    )
  })
})
