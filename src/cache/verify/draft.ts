import { symmetricZh } from './lexicon-zh.ts'
import { articleSet, prepositionSet, sensesEn } from './lexicon.ts'
import type { Quantity } from './quantity.ts'

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

export const empty = (): Draft => ({
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

export const put = (draft: Draft, word: string, stem: number, functional: boolean, name: boolean): void => {
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

export const sense = (draft: Draft, word: string): void => {
  const found = sensesEn.get(word)
  if (found === undefined) return
  draft.marks.push(...found.marks)
  draft.axes.push(...found.axes)
}
