// AC-ID-3: the grammar of x-forwarded-client-cert, by elements whose parts are known and by a second reader.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lastElement } from '../../src/mesh/identity/xfcc.ts'
import type { XfccElement } from '../../src/mesh/identity/xfcc.ts'

interface Pair {
  readonly key: string
  readonly value: string
  readonly quoted: boolean
}

const write = ({ key, value, quoted }: Pair): string =>
  quoted ? `${key}="${value.replaceAll(/["\\]/g, (c) => `\\${c}`)}"` : `${key}=${value}`

/** Any upper and lower case of it. */
const anyCase = (word: string): fc.Arbitrary<string> =>
  fc
    .array(fc.boolean(), { minLength: word.length, maxLength: word.length })
    .map((upper) => [...word].map((c, i) => (upper[i] === true ? c.toUpperCase() : c.toLowerCase())).join(''))

const key = fc
  .constantFrom('By', 'Hash', 'Cert', 'Chain', 'Subject', 'URI', 'DNS', 'NewOne')
  .chain((word) => anyCase(word))
/** What separates, quotes and escapes is more frequent than by chance. */
const hostile = fc
  .array(
    fc.oneof(fc.constantFrom('"', '\\', ',', ';', '=', ' ', 'URI=', 'By=', '",', ';URI='), fc.string({ maxLength: 4 })),
  )
  .map((parts) => parts.join('').replaceAll('\n', ' '))
const pem = fc.nat(3).map((n) => `-----BEGIN%20CERTIFICATE-----%0A${'MIIB%2Bq%3D'.repeat(n * 60)}%0A-----END`)
/** No quotes, so nothing that a quote would be needed for, and no blanks at the ends. */
const bare = fc.oneof(
  fc.constantFrom('', 'spiffe://td/ns/a/sa/b', 'a.example', '0123abcdef', 'a=b', 'a b', 'a\\'),
  fc.string({ maxLength: 12 }).map((text) => text.replaceAll(/[",;\n]/g, '_').trim()),
)
const pair: fc.Arbitrary<Pair> = fc.oneof(
  fc.record({ key, value: fc.oneof(hostile, pem, fc.constant('')), quoted: fc.constant(true) }),
  fc.record({ key, value: bare, quoted: fc.constant(false) }),
)
const element = fc.array(pair, { minLength: 1, maxLength: 8 })

const blanks = fc.constantFrom('', ' ', '\t', '  ')

const answer = (pairs: readonly Pair[]): XfccElement => {
  const valuesOf = (wanted: string): string[] =>
    pairs.filter((p) => p.key.toLowerCase() === wanted).map(({ value }) => value)
  return { by: valuesOf('by'), uri: valuesOf('uri'), dns: valuesOf('dns') }
}

describe('AC-ID-3', () => {
  test('elements are read as they were written, whatever stands in their values', () => {
    fc.assert(
      fc.property(fc.array(element, { minLength: 1, maxLength: 4 }), blanks, (elements, blank) => {
        const text = elements.map((pairs) => pairs.map(write).join(';')).join(`,${blank}`)
        expect(lastElement(text)).toEqual(answer(elements.at(-1)!))
      }),
      { numRuns: 500 },
    )
  })

  test('lines of the header are one list', () => {
    fc.assert(
      fc.property(element, element, (first, second) => {
        const lines = [first, second].map((pairs) => pairs.map(write).join(';'))
        expect(lastElement(lines.join('\n'))).toEqual(answer(second))
      }),
    )
  })

  test('what a caller puts in front never changes what the proxy’s own element says: it is read, or nothing is', () => {
    const own = [
      { key: 'By', value: 'spiffe://td/ns/llm/sa/heddle', quoted: false },
      { key: 'Hash', value: 'ab01', quoted: false },
      { key: 'Subject', value: 'CN=chat,O="a", b\\', quoted: true },
      { key: 'URI', value: 'spiffe://td/ns/a/sa/chat', quoted: false },
    ]
    const appended = own.map(write).join(';')
    let read = 0
    fc.assert(
      fc.property(
        fc.oneof(
          hostile,
          element.map((pairs) => pairs.map(write).join(';')),
        ),
        (forged) => {
          const found = lastElement(`${forged},${appended}`)
          if (found === null) return
          read++
          expect(found).toEqual(answer(own))
        },
      ),
      { numRuns: 2000 },
    )
    expect(read).toBeGreaterThan(100)
  })

  test('a second reader, written otherwise, says the same of any text', () => {
    const piece = fc.constantFrom(
      'URI',
      'By',
      'hash',
      '=',
      '"',
      '\\',
      ',',
      ';',
      ' ',
      'x',
      '""',
      '\\"',
      'spiffe://a',
      '\n',
    )
    let read = 0
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 24 }), (pieces) => {
        const text = pieces.join('')
        const found = lastElement(text)
        expect(found).toEqual(secondReader(text))
        if (found !== null) read++
      }),
      { numRuns: 20_000 },
    )
    expect(read).toBeGreaterThan(20)
  })

  test('20 kB of certificate, and lists that are too long', () => {
    const cert = `Cert="${'A'.repeat(20_000)}";Chain="${'%2B'.repeat(7000)}"`
    expect(lastElement(`URI=spiffe://root;${cert},By=me;${cert};Subject="";URI=spiffe://chat`)).toEqual({
      by: ['me'],
      uri: ['spiffe://chat'],
      dns: [],
    })
    expect(lastElement(`Cert="${'A'.repeat(200_000)}";URI=spiffe://chat`)).toBeNull()
  })

  test('time grows with the length, not with its square', () => {
    // Read in the worst order for a scan that begins anew: ends in a second or so even then only when linear.
    for (const text of [
      '"\\'.repeat(60_000),
      `URI="${'\\"'.repeat(60_000)}`,
      'a=,'.repeat(40_000),
      'a=b;'.repeat(30_000),
    ])
      expect(lastElement(text)).toBeNull()
  })
})

/** Character by character, one state a character: null as soon as something does not fit. */
function secondReader(text: string): XfccElement | null {
  let all: XfccElement | null = null
  for (const line of text.split('\n')) {
    all = oneLine([...line])
    if (all === null) return null
  }
  return all
}

type State = 'key' | 'begin' | 'bare' | 'quoted' | 'escaped' | 'after'

interface Reader {
  name: string
  value: string
  pairs: { readonly name: string; readonly value: string }[]
}

const isEnd = (c: string): boolean => c === ',' || c === ';' || c === 'END'

const endPair = (r: Reader, c: string, value: string): State => {
  r.pairs.push({ name: r.name.trim().toLowerCase(), value })
  if (c === ',') r.pairs = []
  r.name = r.value = ''
  return 'key'
}

/** The next state; null = it does not fit. */
const STEPS: Readonly<Record<State, (c: string, r: Reader) => State | null>> = {
  key: (c, r) => {
    if (c === '=') return /^[ \t]*[a-z][a-z0-9_-]{0,63}$/i.test(r.name) ? 'begin' : null
    r.name += c
    return isEnd(c) ? null : 'key'
  },
  begin: (c, r) => (c === '"' ? 'quoted' : STEPS.bare(c, r)),
  bare: (c, r) => {
    if (isEnd(c)) return endPair(r, c, r.value.trimEnd())
    r.value += c
    return c === '"' ? null : 'bare'
  },
  quoted: (c, r) => {
    if (c === '\\' || c === '"') return c === '"' ? 'after' : 'escaped'
    r.value += c
    return c === 'END' ? null : 'quoted'
  },
  escaped: (c, r) => {
    r.value += c
    return c === 'END' ? null : 'quoted'
  },
  after: (c, r) => {
    if (isEnd(c)) return endPair(r, c, r.value)
    return c === ' ' || c === '\t' ? 'after' : null
  },
}

function oneLine(chars: readonly string[]): XfccElement | null {
  const reader: Reader = { name: '', value: '', pairs: [] }
  let state: State | null = 'key'
  for (const c of [...chars, 'END']) {
    state = STEPS[state](c, reader)
    if (state === null) return null
  }
  const valuesOf = (wanted: string): string[] => reader.pairs.filter((p) => p.name === wanted).map((p) => p.value)
  return { by: valuesOf('by'), uri: valuesOf('uri'), dns: valuesOf('dns') }
}
