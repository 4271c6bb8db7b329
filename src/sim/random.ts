/** Seeded numbers and ids: the same input gives the same output on every machine and in every run. */

/** 32-bit FNV-1a over UTF-16 units with a final mix, so that near-equal texts land far apart. */
export const hash32 = (text: string, seed = 0): number => {
  let hash = (0x811c9dc5 ^ seed) | 0
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** A generator of numbers in [0, 1); its whole state is one 32-bit integer. */
export const seededRandom = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 4294967296
  }
}

/** `length` lower-case hex digits that depend on nothing but `text`. */
export const hexId = (text: string, length: number): string => {
  let out = ''
  for (let round = 0; out.length < length; round++)
    out += hash32(text, round + 1)
      .toString(16)
      .padStart(8, '0')
  return out.slice(0, length)
}

export const pickFrom = <T>(items: readonly [T, ...T[]], random: () => number): T =>
  items[Math.floor(random() * items.length)] ?? items[0]
