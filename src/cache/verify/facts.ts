import type { WordVectors } from '../../contracts/semantic.ts'
import { collect } from './collect.ts'
import type { Draft } from './draft.ts'
import { functions } from './lexicon.ts'
import type { Quantity } from './quantity.ts'
import { hash } from './stem.ts'
import { tasksIn } from './tasks.ts'

/** Characters read of a text; of the rest only whether it is the same. */
export const MAX_CHARACTERS = 4_096
/** Tokens read. */
export const MAX_TOKENS = 256
const MAX_GRAMS = 1_024

/** What is compared of a text. Everything that compare needs is worked out here, once. */
export interface Facts {
  /** Lower case, punctuation and spaces as one space each: equal = the same question. */
  readonly plain: string
  /** Hash of the part that is not read; 0 = all is read. */
  readonly tail: number
  /** Hashes of stems in order, numbers included. */
  readonly stems: Int32Array
  /** The words themselves, lower case. */
  readonly words: readonly string[]
  /** How much each tells, 0..1. */
  readonly weights: Float32Array
  /** 1 = a content word. */
  readonly content: Uint8Array
  /** One unit vector a word, all 0 = unknown. */
  readonly vectors: Float32Array
  readonly known: Uint8Array
  /** Places of content words. */
  readonly contentAt: Int32Array
  /** Stems without articles, for the order. */
  readonly sequence: Int32Array
  /** Per element of `sequence`: 1 = may stand between two that change places, 2 = stands behind a comma. */
  readonly symmetric: Uint8Array
  /** Per element: 1 = a name. */
  readonly named: Uint8Array
  /** Per element: the preposition's hash that governs it; 0 = none. */
  readonly governed: Int32Array
  /** Hashes of trigrams of characters (Chinese: bigrams and single ones), sorted. */
  readonly grams: Int32Array
  readonly quantities: readonly Quantity[]
  /** Marks of exclusive classes, sorted. */
  readonly marks: Int32Array
  /** Signed axes, sorted. */
  readonly axes: Int32Array
  /** 0 = nothing is negated, else 1 for an odd number of negations, 2 for an even one. */
  readonly negated: number
  /** Lower case, one space between words. */
  readonly quotes: readonly string[]
  readonly code: readonly string[]
  readonly links: readonly string[]
  /** Operators in order, joined. */
  readonly operators: string
  /** Hashes of the stems of names. */
  readonly names: Int32Array
  /** Kind of question, 0 = none. */
  readonly ask: number
  /** Kinds of tasks, as bits. */
  readonly tasks: number
  /** Share of letters that are Han, 0..1, and of letters that are neither Latin nor Han. */
  readonly han: number
  readonly other: number
}

const plainOf = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim()

const gramsOf = (plain: string): Int32Array => {
  const grams: number[] = []
  const text = ` ${plain} `
  for (let i = 0; i + 1 < text.length && grams.length < MAX_GRAMS; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x3400 && code < 0xa000) {
      grams.push(hash(text, i, i + 1), hash(text, i, i + 2))
    } else if (i + 2 < text.length) grams.push(hash(text, i, i + 3))
  }
  return Int32Array.from(grams).toSorted()
}

const scripts = (text: string): readonly [number, number] => {
  let han = 0
  let other = 0
  let all = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x3400 && code < 0xa000) {
      han++
      all++
    } else if (
      code >= 0x370 &&
      !(code >= 0x2000 && code < 0x2c00) &&
      !(code >= 0x1e00 && code < 0x1f00) &&
      !(code >= 0x3000 && code < 0x3040) &&
      !(code >= 0xfe00)
    ) {
      other++
      all++
    } else if ((code | 32) >= 97 && (code | 32) <= 122) all++
  }
  return all === 0 ? [0, 0] : [han / all, other / all]
}

const places = (flags: Uint8Array): Int32Array => {
  const found: number[] = []
  for (let i = 0; i < flags.length; i++) if (flags[i] === 1) found.push(i)
  return Int32Array.from(found)
}

const unique = (values: readonly number[]): Int32Array => Int32Array.from(new Set(values)).toSorted()

/** vectors: null = words are compared by their letters alone. */
export const factsOf = (text: string, vectors: WordVectors | null): Facts => {
  const cut = text.length > MAX_CHARACTERS
  const read = (cut ? text.slice(0, MAX_CHARACTERS) : text).normalize('NFKC')
  const draft: Draft = collect(read, MAX_TOKENS)
  const restAt = draft.end
  const tail = cut || restAt < read.length ? hash(text.slice(Math.min(restAt, text.length))) | 1 : 0
  const plain = plainOf(read)
  const count = draft.words.length
  const dimensions = vectors?.dimensions ?? 0
  const weights = new Float32Array(count)
  const content = new Uint8Array(count)
  const known = new Uint8Array(count)
  const points = new Float32Array(count * dimensions)
  for (let i = 0; i < count; i++) {
    const word = draft.words[i] ?? ''
    const grammar = draft.functional[i] === 1 || functions.has(word)
    content[i] = grammar ? 0 : 1
    const weight = vectors === null ? 1 : vectors.weight(word)
    weights[i] = grammar ? Math.min(weight, 0.25) : Math.max(weight, 0.1)
    if (vectors !== null && vectors.vector(word, points, i * dimensions)) known[i] = 1
  }
  const [han, other] = scripts(read)
  return {
    plain,
    tail,
    stems: Int32Array.from(draft.stems),
    words: draft.words,
    weights,
    content,
    vectors: points,
    known,
    contentAt: places(content),
    sequence: Int32Array.from(draft.sequence),
    symmetric: Uint8Array.from(draft.symmetric),
    named: Uint8Array.from(draft.named),
    governed: Int32Array.from(draft.governed),
    grams: gramsOf(plain),
    quantities: draft.quantities,
    marks: unique(draft.marks),
    axes: unique(draft.axes),
    negated: draft.negations === 0 ? 0 : 2 - (draft.negations % 2),
    quotes: draft.quotes.map(plainOf),
    code: draft.code,
    links: draft.links,
    operators: draft.operators.join(' '),
    names: unique(draft.names),
    ask: draft.ask,
    tasks: tasksIn(draft.words),
    han,
    other,
  }
}
