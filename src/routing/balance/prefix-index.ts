/**
 * Which blocks of prompts an endpoint is taken to have in its cache: a table of its own for each slot, written by all
 * threads without locks. A lost race, like a collision, costs one affinity and nothing else.
 */

/** Blocks that the table of one slot holds. */
export const INDEX_ENTRIES = 32_768
/** Entries that one hash may stand in. Their tags and ages fill a cache line. */
const WAYS = 8
const SETS = INDEX_ENTRIES / WAYS
const SET_WORDS = WAYS * 2
/** The first word of a slot counts what was put in; then the sets. */
const HEAD = 16
export const INDEX_WORDS = HEAD + SETS * SET_WORDS

/**
 * Hashes come as pairs, one pair a block, each made from all blocks before it as well: who has the i-th has those before.
 * An entry's age is the number of blocks that were put in before it was last used: one that is older than the endpoint's
 * cache is large has been evicted there too.
 */
export class PrefixIndex {
  readonly #words: Int32Array

  constructor(words: Int32Array) {
    this.#words = words
  }

  /** Leading blocks of the prompt that the endpoint has. capacity: blocks that it remembers, at most INDEX_ENTRIES. */
  match(slot: number, hashes: Int32Array, capacity: number): number {
    let low = 0
    let high = hashes.length >> 1
    if (high === 0 || !this.#has(slot, hashes, 0, capacity)) return 0
    // Most conversations are known whole or up to their last turn.
    while (low + 1 < high) {
      const middle = (low + high) >> 1
      if (this.#has(slot, hashes, middle, capacity)) low = middle
      else high = middle
    }
    return low + 1
  }

  #has(slot: number, hashes: Int32Array, block: number, capacity: number): boolean {
    const words = this.#words
    const first = slot * INDEX_WORDS
    const set = first + HEAD + (hashes[block * 2]! & (SETS - 1)) * SET_WORDS
    const tag = hashes[block * 2 + 1]!
    for (let way = set; way < set + WAYS; way++)
      if (words[way] === tag) return ((words[first]! - words[way + WAYS]!) | 0) <= capacity
    return false
  }

  /** The endpoint gets the prompt, and has all of its blocks from now on. */
  add(slot: number, hashes: Int32Array): void {
    const words = this.#words
    const first = slot * INDEX_WORDS
    // From the last to the first: caches let go of ends before beginnings, as nothing is left of an end without its beginning.
    for (let i = hashes.length - 2; i >= 0; i -= 2) {
      const set = first + HEAD + (hashes[i]! & (SETS - 1)) * SET_WORDS
      const tag = hashes[i + 1]!
      const now = words[first]!
      let place = -1
      let oldest = set
      let age = -1
      for (let way = set; way < set + WAYS && place < 0; way++) {
        const passed = words[way] === 0 ? Infinity : (now - words[way + WAYS]!) | 0
        if (words[way] === tag) place = way
        else if (passed > age) {
          age = passed
          oldest = way
        }
      }
      if (place < 0) {
        place = oldest
        words[place] = tag
        Atomics.add(words, first, 1)
      }
      words[place + WAYS] = words[first]!
    }
  }

  /** Its cache is empty. Ages all entries beyond any capacity instead of clearing them. */
  forget(slot: number): void {
    Atomics.add(this.#words, slot * INDEX_WORDS, INDEX_ENTRIES + 1)
  }
}
