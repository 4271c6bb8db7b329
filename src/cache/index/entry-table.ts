import { growInt32, growUint32, grownLength } from './tables.ts'

export const NONE = -1
/** An entry is its place plus this times the number of entries that had the place before. */
const PLACES = 2 ** 24
const LAST_GENERATION = 2 ** 29 - 1
const BYTES_PER_PLACE = 20

/**
 * Entries by number: where their row is, which partition they are of, who is older and who is younger in it. Numbers are
 * safe integers; a number is never given twice, so that one kept too long finds nothing rather than another's answer.
 */
export class EntryTable {
  #top = 0
  #size = 0
  #free = NONE
  #row = new Uint32Array(0)
  #generation = new Uint32Array(0)
  /** Of a free place: none. */
  #partition = new Int32Array(0)
  /** Of a free place: the next free one. */
  #older = new Int32Array(0)
  #younger = new Int32Array(0)

  get size(): number {
    return this.#size
  }

  /** Places are below this. */
  get top(): number {
    return this.#top
  }

  get bytes(): number {
    return this.#row.length * BYTES_PER_PLACE
  }

  /** What `bytes` would be with one entry more; Infinity = there are no more numbers. */
  get bytesWithOne(): number {
    if (this.#free !== NONE) return this.bytes
    return this.#top === PLACES ? Infinity : grownLength(this.#row.length, this.#top + 1) * BYTES_PER_PLACE
  }

  /** Returns the place. */
  add(row: number, partition: number): number {
    let place = this.#free
    if (place === NONE) {
      place = this.#top++
      this.#row = growUint32(this.#row, this.#top)
      this.#generation = growUint32(this.#generation, this.#top)
      this.#partition = growInt32(this.#partition, this.#top)
      this.#older = growInt32(this.#older, this.#top)
      this.#younger = growInt32(this.#younger, this.#top)
    } else this.#free = this.#older[place]!
    this.#size++
    this.#row[place] = row
    this.#partition[place] = partition
    this.#older[place] = NONE
    this.#younger[place] = NONE
    return place
  }

  remove(place: number): void {
    this.#size--
    this.#partition[place] = NONE
    if (this.#generation[place] === LAST_GENERATION) return
    this.#generation[place]!++
    this.#older[place] = this.#free
    this.#free = place
  }

  numberOf(place: number): number {
    return this.#generation[place]! * PLACES + place
  }

  /** -1 = no entry has this number now. */
  placeOf(entry: number): number {
    const place = entry % PLACES
    if (!(place >= 0 && place < this.#top) || this.#partition[place] === NONE) return NONE
    return this.numberOf(place) === entry ? place : NONE
  }

  rowOf(place: number): number {
    return this.#row[place]!
  }

  moved(place: number, row: number): void {
    this.#row[place] = row
  }

  partitionOf(place: number): number {
    return this.#partition[place]!
  }

  olderThan(place: number): number {
    return this.#older[place]!
  }

  youngerThan(place: number): number {
    return this.#younger[place]!
  }

  /** Makes the two neighbours in age; either may be none. */
  join(older: number, younger: number): void {
    if (older !== NONE) this.#younger[older] = younger
    if (younger !== NONE) this.#older[younger] = older
  }
}
