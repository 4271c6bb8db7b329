import { spellings } from './lexicon-en.ts'

const spelt = new Map(Object.entries(spellings))

const vowel = (word: string): boolean => {
  for (const character of word) if ('aeiouy'.includes(character)) return true
  return false
}

/** Without a doubled last letter or with its mute e gone: `running` and `run`, `baking` and `bake` meet. */
const trimmed = (stem: string): string => {
  const last = stem.at(-1) ?? ''
  if (stem.length > 3 && last === stem.at(-2) && !'lsz'.includes(last)) return stem.slice(0, -1)
  return stem
}

const hissing = ['sses', 'xes', 'shes', 'ches']
const noPlural = ['ss', 'us', 'is']
const endsIn = (word: string, ends: readonly string[]): boolean => ends.some((end) => word.endsWith(end))

const singular = (word: string): string => {
  if (word.endsWith('ies') && word.length > 4) return `${word.slice(0, -3)}y`
  if (endsIn(word, hissing)) return word.slice(0, -2)
  return word.endsWith('s') && !endsIn(word, noPlural) ? word.slice(0, -1) : word
}

const infinitive = (word: string): string => {
  if (word.length > 5 && word.endsWith('ing') && vowel(word.slice(0, -3))) return trimmed(word.slice(0, -3))
  return word.length > 4 && word.endsWith('ed') && vowel(word.slice(0, -2)) ? trimmed(word.slice(0, -2)) : word
}

/** A word's stem, by a few endings; made so that forms of a word meet, not to be read. word: lower case. */
export const stemOf = (word: string): string => {
  const known = spelt.get(word) ?? word
  const owner = known.endsWith("'s") ? known.slice(0, -2) : known
  if (owner.length <= 3) return owner
  const verb = infinitive(singular(owner))
  const stem = verb.length > 3 && verb.endsWith('e') ? verb.slice(0, -1) : verb
  return spelt.get(stem) ?? stem
}

/** FNV-1a, 32 bits: identifies strings where a rare clash does no harm. */
export const hash = (text: string, from = 0, to = text.length): number => {
  let value = 0x811c9dc5
  for (let i = from; i < to; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value | 0
}
