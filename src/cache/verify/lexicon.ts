import { moreAxesEn, moreAxesZh } from './axes-more.ts'
import * as en from './lexicon-en.ts'
import * as zh from './lexicon-zh.ts'

/** Members of a class are numbered classIndex * 1024 + line: same number = same thing, same class only = others. */
export const CLASS_SPAN = 1_024

/** What is known of a word; marks: of classes; axes: signed, 1-based. */
export interface Sense {
  readonly marks: readonly number[]
  readonly axes: readonly number[]
}

const addTo = (senses: Map<string, { marks: number[]; axes: number[] }>, word: string) => {
  const found = senses.get(word)
  if (found !== undefined) return found
  const made = { marks: [], axes: [] }
  senses.set(word, made)
  return made
}

const compile = (
  classes: Readonly<Record<string, string>>,
  axes: readonly string[],
  base: number,
): ReadonlyMap<string, Sense> => {
  const senses = new Map<string, { marks: number[]; axes: number[] }>()
  Object.values(classes).forEach((lines, index) => {
    lines.split('|').forEach((line, member) => {
      for (const word of line.split(' ')) addTo(senses, word).marks.push((base + index) * CLASS_SPAN + member)
    })
  })
  axes.forEach((axis, index) => {
    axis.split('/').forEach((side, which) => {
      for (const word of side.split(' ')) addTo(senses, word).axes.push((base + index + 1) * (which === 0 ? 1 : -1))
    })
  })
  return senses
}

/** Classes whose words say when. */
const timeClasses = new Set([
  'weekday',
  'month',
  'season',
  'day',
  'daypart',
  'year',
  'monthOf',
  'weekOf',
  'zone',
  'period',
  'rhythm',
])

/** Chinese classes are numbered from here on, so that the two lists never touch. */
const ZH = 512

export const sensesEn = compile(en.classesEn, [...en.axesEn, ...moreAxesEn], 0)
export const sensesZh = compile(zh.classesZh, [...zh.axesZh, ...moreAxesZh], ZH)

/** Classes whose lines are names of one thing, not only things of one kind. */
const namingClasses = new Set(['weekday', 'country', 'city', 'currency', 'language', 'database', 'social', 'format'])

export const isNaming = (classIndex: number): boolean => namingClasses.has(Object.keys(en.classesEn)[classIndex] ?? '')

export const isTimeClass = (classIndex: number): boolean =>
  timeClasses.has(
    (classIndex < ZH ? Object.keys(en.classesEn)[classIndex] : Object.keys(zh.classesZh)[classIndex - ZH]) ?? '',
  )

/** Marks of the twelve months: numbers of them, `03`, get the same ones. */
export const monthMarks: readonly number[] = Array.from(
  { length: 12 },
  (_, index) => Object.keys(en.classesEn).indexOf('month') * CLASS_SPAN + 500 + index,
)

/** Months by name, `march` and `may` left out: they are verbs too and need a number or a preposition beside them. */
export const months: ReadonlyMap<string, number> = new Map(
  'january jan february feb april apr june jun july jul august aug september sept sep october oct november nov december dec'
    .split(' ')
    .map((word) => [
      word,
      ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'].indexOf(word.slice(0, 3)),
    ]),
)

/** Weekdays in short, which are other words too: only after on, next, last, this, every, until. */
export const shortDays: ReadonlyMap<string, string> = new Map([
  ['mon', 'monday'],
  ['tue', 'tuesday'],
  ['wed', 'wednesday'],
  ['thu', 'thursday'],
  ['fri', 'friday'],
  ['sat', 'saturday'],
  ['sun', 'sunday'],
])

export const wordSet = (words: string): ReadonlySet<string> => new Set(words.split(' ').filter((word) => word !== ''))
export const functions = wordSet(en.functionWords)
export const articleSet = wordSet(en.articles)
export const prepositionSet = wordSet(en.prepositions)
export const negationSet = wordSet(en.negationsEn)

/** Every Chinese word that is known, for the segmenter: what each is, is asked elsewhere. */
export const wordsZh: ReadonlySet<string> = new Set([
  ...sensesZh.keys(),
  ...wordSet(zh.plainZh),
  ...wordSet(zh.negationsZh),
  ...Object.keys(zh.askZh),
  ...wordSet(zh.functionZh),
])
export const plainZh = wordSet(zh.plainZh)
export const negationsZh = wordSet(zh.negationsZh)
export const functionsZh = wordSet(zh.functionZh)
