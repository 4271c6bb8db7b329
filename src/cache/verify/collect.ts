import { askWords, measureWords } from './lexicon-en.ts'
import { askZh, symmetricZh } from './lexicon-zh.ts'
import {
  articleSet,
  CLASS_SPAN,
  isNaming,
  functionsZh,
  negationSet,
  negationsZh,
  plainZh,
  prepositionSet,
  sensesEn,
  sensesZh,
  shortDays,
} from './lexicon.ts'
import { readHan, readMonth, readQuantity, type Quantity } from './quantities.ts'
import { CODE, HAN, LINK, NUMBER, QUOTE, scan, SYMBOL, WORD, type Token } from './scan.ts'
import { segment } from './segment.ts'
import { hash, stemOf } from './stem.ts'

/** Facts while they are gathered. */
export interface Draft {
  readonly words: string[]
  readonly stems: number[]
  readonly functional: number[]
  readonly sequence: number[]
  readonly symmetric: number[]
  readonly named: number[]
  readonly governed: number[]
  readonly quantities: Quantity[]
  readonly marks: number[]
  readonly axes: number[]
  readonly quotes: string[]
  readonly code: string[]
  readonly links: string[]
  readonly operators: string[]
  readonly names: number[]
  negations: number
  ask: number
  /** Characters read. */
  end: number
  /** The preposition in force and how many words ago. */
  governor: number
  since: number
  titled: number
  plainCase: number
  comma: boolean
}

const empty = (): Draft => ({
  words: [],
  stems: [],
  functional: [],
  sequence: [],
  symmetric: [],
  named: [],
  governed: [],
  quantities: [],
  marks: [],
  axes: [],
  quotes: [],
  code: [],
  links: [],
  operators: [],
  names: [],
  negations: 0,
  ask: 0,
  end: 0,
  governor: 0,
  since: 0,
  titled: 0,
  plainCase: 0,
  comma: false,
})

const unknowing = new Set(['know', 'sure', 'understand', 'remember'])

/** As people type them. */
const contractions = new Set(
  'dont doesnt didnt cant wont isnt arent wasnt werent couldnt shouldnt wouldnt havent hasnt hadnt'.split(' '),
)

/** Words kept: quoted ones come on top of the tokens. */
const MAX_WORDS = 256

const symmetricEn = new Set([
  'and',
  'or',
  'nor',
  'vs',
  'versus',
  'v',
  'different',
  'differ',
  'differs',
  'similar',
  'same',
  'equal',
  'compare',
])
const switches = new Set(['turn', 'turned', 'turning', 'switch', 'switched', 'switching'])
const ways = new Set(['go', 'goes', 'going', 'went', 'gone', 'move', 'moved', 'moving', 'scroll', 'climb', 'roll'])
const moves = new Set(['zoom', 'log', 'sign', 'check', 'opt', 'logged', 'signed'])
const signless = new Set([
  '.',
  ',',
  '?',
  '!',
  ';',
  ':',
  '(',
  ')',
  '"',
  "'",
  '-',
  '’',
  '…',
  '。',
  '，',
  '？',
  '！',
  '、',
])
const symbolic = /[=<>+*^|~]/
const dotEnds = new Set([
  'i',
  'my',
  'what',
  'is',
  'please',
  'can',
  'the',
  'how',
  'also',
  'but',
  'and',
  'so',
  'it',
  'if',
  'this',
  'he',
  'she',
  'we',
  'a',
])

const put = (draft: Draft, word: string, stem: number, functional: boolean, name: boolean): void => {
  if (draft.words.length >= MAX_WORDS) return
  draft.words.push(word)
  draft.stems.push(stem)
  draft.functional.push(functional ? 1 : 0)
  if (articleSet.has(word)) return
  draft.sequence.push(stem)
  draft.symmetric.push(symmetricEn.has(word) || symmetricZh.includes(word) ? 1 : draft.comma ? 2 : 0)
  draft.comma = false
  draft.named.push(name ? 1 : 0)
  if (prepositionSet.has(word)) {
    draft.governor = stem
    draft.since = 0
    draft.governed.push(0)
    return
  }
  draft.governed.push(draft.since < 1 ? draft.governor : 0)
  draft.since++
}

const sense = (draft: Draft, word: string): void => {
  const found = sensesEn.get(word)
  if (found === undefined) return
  draft.marks.push(...found.marks)
  draft.axes.push(...found.axes)
}

/** `turn bluetooth off`, `zoom in`: particles that are words of an axis only with their verb. */
const particle = (draft: Draft, word: string): void => {
  if (word !== 'on' && word !== 'up' && word !== 'down' && word !== 'in' && word !== 'out') return
  for (let back = 1; back <= 4; back++) {
    const before = draft.words[draft.words.length - back] ?? ''
    if (
      word === 'on'
        ? switches.has(before)
        : (back === 1 || word === 'up' || word === 'down') &&
          (moves.has(before) || switches.has(before) || (word !== 'in' && word !== 'out' && ways.has(before)))
    ) {
      sense(draft, `${word}-part`)
      return
    }
  }
}

const asks = (draft: Draft, word: string): void => {
  if (draft.ask === 5 && draft.words.at(-1) === 'how') {
    draft.ask = measureWords[word] ?? 5
    return
  }
  const kind = askWords[word]
  if (kind === undefined) return
  if (draft.ask === 0 && (kind !== 7 || draft.words.length === 0)) draft.ask = kind
  else if (draft.ask === 7 && kind < 6) draft.ask = kind
}

const titles = new Set(['dr', 'mr', 'mrs', 'ms', 'prof', 'st'])

const isName = (draft: Draft, token: Token, before: Token | undefined): boolean => {
  const previous = draft.words.at(-1) ?? ''
  const first = token.text[0] ?? ''
  if (first === first.toLowerCase()) {
    draft.plainCase++
    return false
  }
  if (
    before === undefined ||
    (before.text === '.' && !titles.has(previous)) ||
    before.text === '?' ||
    before.text === '!' ||
    token.text === 'I'
  )
    return false
  draft.titled++
  return true
}

const identifier = (text: string): boolean => {
  if (text.includes('_')) return true
  if (text.includes('.')) {
    const segments = text.split('.')
    return (
      segments.every((part) => part.length > 1 && part === part.toLowerCase()) && !dotEnds.has(segments.at(-1) ?? '')
    )
  }
  for (let i = 1; i < text.length - 1; i++) {
    const character = text[i] ?? ''
    const before = text[i - 1] ?? ''
    if (character !== character.toLowerCase() && before !== before.toUpperCase()) return true
  }
  return false
}

const joined = (tokens: readonly Token[], at: number): string => {
  const next = tokens[at + 1]
  const word = (tokens[at]?.text ?? '').toLowerCase()
  if (next?.glued === true && word === 'c' && (next.text === '++' || next.text === '#')) return `c${next.text}`
  return ''
}

/** Words of two parts that are one: `new york`, `united states`. */
const compound = (tokens: readonly Token[], at: number): string => {
  const next = tokens[at + 1]
  if (next?.kind !== WORD) return ''
  const word = `${(tokens[at]?.text ?? '').toLowerCase()}-${next.text.toLowerCase()}`
  return sensesEn.has(word) ? word : ''
}

/** Names of one thing have one stem: France and French, USA and United States. */
const stemFor = (word: string): number => {
  for (const mark of sensesEn.get(word)?.marks ?? [])
    if (isNaming(Math.trunc(mark / CLASS_SPAN))) return hash(`mark ${String(mark)}`)
  return hash(stemOf(word))
}

const periods = new Set(['this', 'last', 'next', 'past', 'previous', 'coming', 'current'])
const spans = new Set([
  'week',
  'month',
  'year',
  'weekend',
  'quarter',
  'season',
  'night',
  'summer',
  'winter',
  'spring',
  'autumn',
  'semester',
  'time',
])

const takeWord = (draft: Draft, tokens: readonly Token[], at: number): number => {
  const token = tokens[at]
  if (token === undefined) return 1
  let word = token.text.toLowerCase().replaceAll('’', "'")
  const cpp = joined(tokens, at)
  if (cpp !== '') {
    sense(draft, cpp)
    put(draft, cpp, hash(cpp), false, false)
    return 2
  }
  const pair = compound(tokens, at)
  if (pair !== '') {
    sense(draft, pair)
    put(draft, pair, stemFor(pair), false, true)
    draft.names.push(stemFor(pair))
    return 2
  }
  if (identifier(token.text)) draft.code.push(token.text)
  if (word.endsWith("n't") || contractions.has(word)) {
    if (!unknowing.has(tokens[at + 1]?.text.toLowerCase() ?? '')) draft.negations++
    word =
      word === "can't" || word === 'cant'
        ? 'can'
        : word === "won't" || word === 'wont'
          ? 'will'
          : word.replace(/n'?t$/, '')
    put(draft, word, hash(word), true, false)
    asks(draft, word)
    put(draft, 'not', hash('not'), false, false)
    return 1
  }
  if (word === 'cannot') {
    draft.negations++
    put(draft, 'can', hash('can'), true, false)
    put(draft, 'not', hash('not'), false, false)
    return 1
  }
  const before = tokens[at - 1]
  const next = tokens[at + 1]?.text.toLowerCase() ?? ''
  // "I do not know how to" asks how to.
  const orNot = word === 'not' && (before?.text.toLowerCase() === 'or' || unknowing.has(next))
  if (negationSet.has(word) && !orNot && !(word === 'no' && tokens[at + 1]?.text === '.')) draft.negations++
  const month = readMonth(tokens, at)
  if (month >= 0) {
    draft.marks.push(month)
    put(draft, word, hash(`month ${String(month)}`), false, false)
    return 1
  }
  const day = shortDays.get(word)
  const period =
    periods.has(word) && spans.has(tokens[at + 1]?.text.toLowerCase() ?? '')
      ? sensesEn.get(`${word}-period`)
      : undefined
  if (period !== undefined) draft.marks.push(...period.marks)
  if (
    day !== undefined &&
    ['on', 'next', 'last', 'this', 'every', 'until', 'by'].includes(before?.text.toLowerCase() ?? '')
  )
    word = day
  if (word === 'us' && token.text === 'US') sense(draft, 'us-country')
  if (token.text.includes('.') && word.replaceAll('.', '').length < 4) word = word.replaceAll('.', '')
  const cut = word.indexOf("'")
  if (cut > 0) word = word.slice(0, cut)
  const name = isName(draft, token, before)
  asks(draft, word)
  particle(draft, word)
  sense(draft, word)
  const stem = stemFor(word)
  if (name) draft.names.push(stem)
  put(draft, word, stem, false, name)
  return 1
}

const takeHan = (draft: Draft, run: string): void => {
  const read = readHan(run)
  draft.quantities.push(...read.quantities)
  draft.marks.push(...read.marks)
  for (const word of segment(run)) {
    const kind = askZh[word]
    if (kind !== undefined && (draft.ask === 0 || draft.ask === 7 || (draft.ask >= 5 && kind < 5))) draft.ask = kind
    if (negationsZh.has(word)) draft.negations++
    if (!plainZh.has(word)) {
      const found = sensesZh.get(word)
      if (found !== undefined) {
        draft.marks.push(...found.marks)
        draft.axes.push(...found.axes)
      }
    }
    put(draft, word, hash(word), functionsZh.has(word), false)
  }
}

const takeSymbol = (draft: Draft, token: Token): void => {
  if (signless.has(token.text)) {
    if (token.text === '、' || token.text === ',' || token.text === '，') draft.comma = true
    else draft.governor = 0
    return
  }
  if (symbolic.test(token.text)) draft.operators.push(token.text)
  if (token.text === '&' || token.text === '/') {
    draft.sequence.push(hash('and'))
    draft.symmetric.push(1)
    draft.named.push(0)
    draft.governed.push(0)
  }
}

const takeNumber = (draft: Draft, tokens: readonly Token[], at: number): number => {
  const read = readQuantity(tokens, at)
  if (read === null) return 0
  draft.quantities.push(...read.quantities)
  draft.marks.push(...read.marks)
  const key = read.quantities.map((quantity) => quantity.key).join(' ')
  const value = read.quantities.map((quantity) => String(quantity.raw)).join(' ')
  const token = tokens[at]
  if (token?.kind === WORD) sense(draft, token.text.toLowerCase())
  put(draft, value, hash(`#${key}`), false, false)
  return read.size
}

/** Gathers what the words, signs and numbers of a text say. */
export const collect = (text: string, limit: number): Draft => {
  const tokens = scan(text, limit)
  const draft = empty()
  for (let at = 0; at < tokens.length;) {
    const token = tokens[at]
    if (token === undefined) break
    let size = token.kind === NUMBER || token.kind === WORD ? takeNumber(draft, tokens, at) : 0
    if (size === 0) {
      size = 1
      if (token.kind === WORD) size = takeWord(draft, tokens, at)
      else if (token.kind === HAN) takeHan(draft, token.text)
      else if (token.kind === SYMBOL) takeSymbol(draft, token)
      else takeSpan(draft, token)
    }
    at += size
  }
  const last = tokens.at(-1)
  draft.end = tokens.length < limit || last === undefined ? text.length : last.at + last.text.length
  // A text in Capitals Throughout names nothing by them.
  if (draft.titled > 2 && draft.titled > draft.plainCase * 2) {
    draft.names.length = 0
    draft.named.fill(0)
  }
  return draft
}

const takeSpan = (draft: Draft, token: Token): void => {
  const text = token.text.toLowerCase()
  if (token.kind === LINK) {
    draft.links.push(text.replace(/[?!.,;:]+$/, ''))
    put(draft, text, hash(text), false, false)
    return
  }
  if (token.kind === QUOTE) draft.quotes.push(token.text)
  else if (token.kind === CODE) draft.code.push(token.text.replace(/\s+/g, ' ').trim())
  // The words count as words too: the other text may say them without the marks.
  for (const word of text.split(/[^\p{L}\p{N}]+/u, 40))
    if (word !== '') put(draft, word, hash(stemOf(word)), false, false)
}
