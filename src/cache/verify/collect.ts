import { type Draft, empty, put, sense } from './draft.ts'
import { askZh } from './lexicon-zh.ts'
import { functionsZh, negationsZh, plainZh, sensesZh } from './lexicon.ts'
import { readHan } from './han-numbers.ts'
import { readQuantity } from './quantities.ts'
import { CODE, HAN, LINK, NUMBER, QUOTE, scan, SYMBOL, WORD, type Token } from './scan.ts'
import { segment } from './segment.ts'
import { hash, stemOf } from './stem.ts'
import { takeWord } from './words.ts'

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
