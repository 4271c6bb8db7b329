import { type Draft, put, sense } from './draft.ts'
import { askWords, measureWords } from './lexicon-en.ts'
import { CLASS_SPAN, isNaming, negationSet, sensesEn, shortDays } from './lexicon.ts'
import { readMonth } from './quantities.ts'
import { WORD, type Token } from './scan.ts'
import { hash, stemOf } from './stem.ts'

const switches = new Set(['turn', 'turned', 'turning', 'switch', 'switched', 'switching'])
const ways = new Set(['go', 'goes', 'going', 'went', 'gone', 'move', 'moved', 'moving', 'scroll', 'climb', 'roll'])
const moves = new Set(['zoom', 'log', 'sign', 'check', 'opt', 'logged', 'signed'])
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
const unknowing = new Set(['know', 'sure', 'understand', 'remember'])
/** As people type them. */
const contractions = new Set(
  'dont doesnt didnt cant wont isnt arent wasnt werent couldnt shouldnt wouldnt havent hasnt hadnt'.split(' '),
)

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

/** `isn't`, `cannot`: the verb and a `not` of its own. False = no such word. */
const takeContraction = (draft: Draft, word: string, next: string): boolean => {
  if (!word.endsWith("n't") && !contractions.has(word) && word !== 'cannot') return false
  if (!unknowing.has(next)) draft.negations++
  const verb = verbs.get(word) ?? word.replace(/n'?t$/, '')
  put(draft, verb, hash(verb), true, false)
  if (word !== 'cannot') asks(draft, verb)
  put(draft, 'not', hash('not'), false, false)
  return true
}

const verbs = new Map([
  ["can't", 'can'],
  ['cant', 'can'],
  ['cannot', 'can'],
  ["won't", 'will'],
  ['wont', 'will'],
])

/** `C++` and `new york`: two tokens that are one word. False = they are not. */
const takePair = (draft: Draft, tokens: readonly Token[], at: number): boolean => {
  const language = joined(tokens, at)
  if (language !== '') {
    sense(draft, language)
    put(draft, language, hash(language), false, false)
    return true
  }
  const pair = compound(tokens, at)
  if (pair === '') return false
  sense(draft, pair)
  put(draft, pair, stemFor(pair), false, true)
  draft.names.push(stemFor(pair))
  return true
}

const dayBefore = new Set(['on', 'next', 'last', 'this', 'every', 'until', 'by'])

/** What the words on both sides make of a word: negation, a period, a weekday cut short. The word that it is. */
const inContext = (draft: Draft, word: string, before: string, next: string): string => {
  // "I do not know how to" asks how to.
  const idle = (word === 'not' && (before === 'or' || unknowing.has(next))) || (word === 'no' && next === '.')
  if (negationSet.has(word) && !idle) draft.negations++
  const period = periods.has(word) && spans.has(next) ? sensesEn.get(`${word}-period`) : undefined
  if (period !== undefined) draft.marks.push(...period.marks)
  const day = dayBefore.has(before) ? shortDays.get(word) : undefined
  return day ?? word
}

const withoutMarks = (word: string): string => {
  const letters = word.includes('.') ? word.replaceAll('.', '') : word
  const plain = letters.length < 4 ? letters : word
  const cut = plain.indexOf("'")
  return cut > 0 ? plain.slice(0, cut) : plain
}

/** Takes the word at `at`; how many tokens it was. */
export const takeWord = (draft: Draft, tokens: readonly Token[], at: number): number => {
  const token = tokens[at]
  if (token === undefined) return 1
  if (takePair(draft, tokens, at)) return 2
  if (identifier(token.text)) draft.code.push(token.text)
  const written = token.text.toLowerCase().replaceAll('’', "'")
  const next = tokens[at + 1]?.text.toLowerCase() ?? ''
  if (takeContraction(draft, written, next)) return 1
  const before = tokens[at - 1]
  const said = inContext(draft, written, before?.text.toLowerCase() ?? '', next)
  const month = readMonth(tokens, at)
  if (month >= 0) {
    draft.marks.push(month)
    put(draft, written, hash(`month ${String(month)}`), false, false)
    return 1
  }
  if (token.text === 'US') sense(draft, 'us-country')
  const word = withoutMarks(said)
  const name = isName(draft, token, before)
  asks(draft, word)
  particle(draft, word)
  sense(draft, word)
  const stem = stemFor(word)
  if (name) draft.names.push(stem)
  put(draft, word, stem, false, name)
  return 1
}
