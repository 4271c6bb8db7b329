import { wordsZh } from './lexicon.ts'

const longest = 6

/**
 * Words of a run of Chinese characters: the longest known word at each place, else one character. A-not-A questions (能不能,
 * 会不会) come out as their verb: they ask, they negate nothing.
 */
export const segment = (run: string): readonly string[] => {
  const words: string[] = []
  for (let at = 0; at < run.length;) {
    const middle = run[at + 1]
    if ((middle === '不' || middle === '没') && run[at] === run[at + 2]) {
      // 能不能 is one word, 可不可以 is 可以.
      const long = run.slice(at + 2, at + 4)
      const word = wordsZh.has(long) ? long : (run[at] ?? '')
      words.push(word)
      at += 2 + word.length
      continue
    }
    if (run.startsWith('有没有', at)) {
      words.push('有')
      at += 3
      continue
    }
    let size = Math.min(longest, run.length - at)
    while (size > 1 && !wordsZh.has(run.slice(at, at + size))) size--
    words.push(run.slice(at, at + size))
    at += size
  }
  return words
}
