/**
 * The simulator's tokenizer. It is not any vendor's: it is deterministic, loses nothing and is cheap.
 * A token is one of, each with at most one space before it: up to 8 ASCII letters; up to 3 digits; up to 2 other ASCII
 * characters; 1 character outside ASCII. A longer run of white space is one token of its own.
 * English text comes to about five characters a token: a little fewer tokens than byte-pair encodings give.
 */

const SPACE = 0
const LETTER = 1
const DIGIT = 2
const OTHER = 3
const LONGEST = [0, 8, 3, 2] as const

const CLASS = Uint8Array.from({ length: 128 }, (_, code) => {
  const char = String.fromCharCode(code)
  if (/\s/.test(char)) return SPACE
  if (/[A-Za-z]/.test(char)) return LETTER
  return /\d/.test(char) ? DIGIT : OTHER
})

const classOf = (code: number): number => (code < 128 ? (CLASS[code] ?? OTHER) : -1)

const wideEnd = (text: string, at: number): number => {
  const code = text.charCodeAt(at)
  const paired = code >= 0xd800 && code < 0xdc00 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00
  return at + (paired ? 2 : 1)
}

/** Where the token that starts at `from` ends. `from` must be inside the text. */
export const tokenEnd = (text: string, from: number): number => {
  let at = from
  if (classOf(text.charCodeAt(at)) === SPACE) {
    at++
    if (at === text.length) return at
    if (classOf(text.charCodeAt(at)) === SPACE) {
      while (at < text.length && classOf(text.charCodeAt(at)) === SPACE) at++
      return at
    }
  }
  const kind = classOf(text.charCodeAt(at))
  if (kind < 0) return wideEnd(text, at)
  const limit = Math.min(text.length, at + (LONGEST[kind] ?? 1))
  at++
  while (at < limit && classOf(text.charCodeAt(at)) === kind) at++
  return at
}

/** The tokens of `text`; joined they are the text again. */
export const tokenize = (text: string): string[] => {
  const tokens: string[] = []
  for (let at = 0; at < text.length;) {
    const end = tokenEnd(text, at)
    tokens.push(text.slice(at, end))
    at = end
  }
  return tokens
}

export const countTokens = (text: string): number => {
  let count = 0
  for (let at = 0; at < text.length; count++) at = tokenEnd(text, at)
  return count
}

/** Remembers prompts by their prefixes, as a provider's prompt cache does. */
export interface PrefixCache {
  /** Tokens. */
  readonly block: number
  /** How many leading tokens of `text` an earlier prompt shared: a multiple of the block size. Then remembers `text`. */
  cachedTokens(text: string): number
  clear(): void
}

const MAX_PREFIXES = 65_536

/** @param block tokens; a prefix counts as seen only in whole blocks, so this is also the smallest hit. */
export const createPrefixCache = (block: number): PrefixCache => {
  const seen = new Set<number>()
  const remember = (key: number): void => {
    if (seen.has(key)) return
    if (seen.size >= MAX_PREFIXES) {
      for (const oldest of seen) {
        seen.delete(oldest)
        break
      }
    }
    seen.add(key)
  }
  return {
    block,
    cachedTokens: (text) => {
      let low = 0x811c9dc5 | 0
      let high = 0x1b873593 | 0
      let tokens = 0
      let cached = 0
      let matching = true
      for (let at = 0; at < text.length;) {
        const end = tokenEnd(text, at)
        for (; at < end; at++) {
          const code = text.charCodeAt(at)
          low = Math.imul(low ^ code, 0x01000193)
          high = Math.imul(high ^ code, 0x5bd1e995)
        }
        tokens++
        if (tokens % block !== 0) continue
        // 53 bits: the largest key a number holds exactly.
        const key = (high >>> 11) * 4294967296 + (low >>> 0)
        matching &&= seen.has(key)
        if (matching) cached = tokens
        else remember(key)
      }
      return cached
    },
    clear: () => seen.clear(),
  }
}
