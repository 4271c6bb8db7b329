import type { Facts } from './facts.ts'

const wordSet = (words: string): ReadonlySet<string> => new Set(words.split(' '))

/** `un` before these makes another word, no opposite. */
const notUn = wordSet('til less ion it ite ited iting ited iform iverse iversity ique iversal cle der')
/** What becomes its opposite behind in-, im-, il-, ir-: as prefixes they mean too much else. */
const inner = wordSet(
  'correct complete direct edible visible active valid efficient effective secure sane organic dependent formal edible finite capable accurate appropriate ability adequate sufficient significant experienced consistent convenient tolerant possible mature moral mortal patient perfect polite pure mobile probable legal logical literate mutable material legitimate regular relevant responsible rational reversible resistible',
)
const dis = wordSet(
  'like likes liked advantage advantages agree agrees allow appear appears appeared approve approves connect connected connecting continue honest obey prove trust mount respect loyal similar comfort engage credit able ability satisfied obedient',
)
const de = wordSet(
  'activate activated compress serialize allocate compose fragment hydrate classify centralized centralize forestation motivate',
)

/** Beginnings that are each other's opposite before one rest. */
const pairs: readonly (readonly [string, string])[] = [
  ['hyper', 'hypo'],
  ['en', 'de'],
  ['in', 'ex'],
  ['im', 'ex'],
  ['over', 'under'],
  ['up', 'down'],
  ['macro', 'micro'],
  ['pre', 'post'],
  ['a', 'de'],
  ['intro', 'extro'],
  ['inner', 'outer'],
  ['as', 'des'],
]

const negates = (plain: string, longer: string): boolean => {
  if (longer.length <= plain.length) return longer === `${plain.slice(0, -3)}less` && plain.endsWith('ful')
  if (!longer.endsWith(plain))
    return longer.endsWith('less') && plain.endsWith('ful') && longer.slice(0, -4) === plain.slice(0, -3)
  const prefix = longer.slice(0, -plain.length)
  // `unable` is counted as a negation.
  if (prefix === 'un') return plain.length > 2 && plain !== 'able' && !notUn.has(plain)
  if (prefix === 'non') return plain.length > 2
  if (prefix === 'dis') return dis.has(plain)
  if (prefix === 'de') return de.has(plain)
  return (prefix === 'in' || prefix === 'im' || prefix === 'il' || prefix === 'ir') && inner.has(plain)
}

const paired = (one: string, other: string): boolean => {
  for (const [first, second] of pairs) {
    if (one.startsWith(first) && other.startsWith(second)) {
      const rest = one.length - first.length
      if (rest > 2 && other.length - second.length === rest && one.endsWith(other.slice(second.length))) return true
    }
  }
  return false
}

/** Whether the two words are opposites by their first letters: un-, dis-, in-, hyper- and hypo-. Symmetric. */
export const opposites = (one: string, other: string): boolean =>
  negates(one, other) || negates(other, one) || paired(one, other) || paired(other, one)

const lacks = (facts: Facts, stem: number): boolean => {
  for (const found of facts.stems) if (found === stem) return false
  return true
}

/** Whether a word of one that the other lacks is the opposite of one the other way round. */
export const opposed = (a: Facts, b: Facts): boolean => {
  for (const i of a.contentAt) {
    const one = a.words[i] ?? ''
    if (one.length < 3 || !lacks(b, a.stems[i] ?? 0)) continue
    for (const j of b.contentAt) {
      const other = b.words[j] ?? ''
      // Opposites of this kind end alike: most pairs are told apart by one letter.
      if (other.length < 3 || one.charCodeAt(one.length - 1) !== other.charCodeAt(other.length - 1)) continue
      if (lacks(a, b.stems[j] ?? 0) && opposites(one, other)) return true
    }
  }
  return false
}
