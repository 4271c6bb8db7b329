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

/** A word's stem, by a few endings; made so that forms of a word meet, not to be read. word: lower case. */
export const stemOf = (word: string): string => {
  let stem = spelt.get(word) ?? word
  if (stem.endsWith("'s")) stem = stem.slice(0, -2)
  if (stem.length <= 3) return stem
  if (stem.endsWith('ies') && stem.length > 4) stem = `${stem.slice(0, -3)}y`
  else if (stem.endsWith('sses') || stem.endsWith('xes') || stem.endsWith('shes') || stem.endsWith('ches'))
    stem = stem.slice(0, -2)
  else if (stem.endsWith('s') && !stem.endsWith('ss') && !stem.endsWith('us') && !stem.endsWith('is'))
    stem = stem.slice(0, -1)
  if (stem.length > 5 && stem.endsWith('ing') && vowel(stem.slice(0, -3))) stem = trimmed(stem.slice(0, -3))
  else if (stem.length > 4 && stem.endsWith('ed') && vowel(stem.slice(0, -2))) stem = trimmed(stem.slice(0, -2))
  if (stem.length > 3 && stem.endsWith('e')) stem = stem.slice(0, -1)
  return spelt.get(stem) ?? stem
}

/** FNV-1a, 32 bits: identifies strings where a rare clash does no harm. */
export const hash = (text: string, from = 0, to = text.length): number => {
  let value = 0x811c9dc5
  for (let i = from; i < to; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value | 0
}
