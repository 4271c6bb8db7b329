export const NO_PARTITION = -1
/** The key's string, its place in the map and in the list of keys; V8's sizes, rounded up. */
const BYTES_PER_KEY = 88
const FIELDS = 7
const HEAD = 0
const IN_HEAD = 1
const COUNT = 2
const OLDEST = 3
const YOUNGEST = 4
const BEFORE = 5
const AFTER = 6

/** Partitions by key and by when they were last used. A partition is a number while it has entries. */
export class PartitionTable {
  readonly #byKey = new Map<string, number>()
  readonly #keys: (string | null)[] = []
  readonly #free: number[] = []
  #fields = new Int32Array(0)
  #keyBytes = 0
  #stalest = NO_PARTITION
  #freshest = NO_PARTITION

  get size(): number {
    return this.#byKey.size
  }

  get bytes(): number {
    return this.#fields.byteLength + this.#keyBytes
  }

  /** The greatest that `bytes` would be with one partition more. */
  bytesWith(key: string): number {
    const fields = this.#free.length > 0 ? this.#fields.length : this.#lengthFor(this.#keys.length + 1)
    return fields * 4 + this.#keyBytes + keyBytes(key)
  }

  #lengthFor(partitions: number): number {
    const need = partitions * FIELDS
    if (need <= this.#fields.length) return this.#fields.length
    return (16 + Math.ceil(partitions * 1.125)) * FIELDS
  }

  find(key: string): number {
    return this.#byKey.get(key) ?? NO_PARTITION
  }

  /** An empty one, last used now. */
  add(key: string): number {
    const id = this.#free.pop() ?? this.#keys.length
    this.#byKey.set(key, id)
    this.#keys[id] = key
    this.#keyBytes += keyBytes(key)
    const length = this.#lengthFor(id + 1)
    if (length > this.#fields.length) {
      const grown = new Int32Array(length)
      grown.set(this.#fields)
      this.#fields = grown
    }
    this.#fields.fill(-1, id * FIELDS, id * FIELDS + FIELDS)
    this.#set(id, IN_HEAD, 0)
    this.#set(id, COUNT, 0)
    this.#append(id)
    return id
  }

  remove(id: number): void {
    const key = this.#keys[id]!
    this.#byKey.delete(key)
    this.#keyBytes -= keyBytes(key)
    this.#keys[id] = null
    this.#free.push(id)
    this.#unlink(id)
  }

  /** Makes it the last used. */
  touch(id: number): void {
    if (id === this.#freshest) return
    this.#unlink(id)
    this.#append(id)
  }

  /** Not used for the longest; -1 = there are none. */
  get stalest(): number {
    return this.#stalest
  }

  /** The next that was used, after it; -1 = none. */
  after(id: number): number {
    return this.#get(id, AFTER)
  }

  keyOf(id: number): string {
    return this.#keys[id]!
  }

  head(id: number): number {
    return this.#get(id, HEAD)
  }

  inHead(id: number): number {
    return this.#get(id, IN_HEAD)
  }

  setHead(id: number, row: number, rows: number): void {
    this.#set(id, HEAD, row)
    this.#set(id, IN_HEAD, rows)
  }

  count(id: number): number {
    return this.#get(id, COUNT)
  }

  addCount(id: number, by: 1 | -1): void {
    this.#set(id, COUNT, this.count(id) + by)
  }

  oldest(id: number): number {
    return this.#get(id, OLDEST)
  }

  setOldest(id: number, place: number): void {
    this.#set(id, OLDEST, place)
  }

  youngest(id: number): number {
    return this.#get(id, YOUNGEST)
  }

  setYoungest(id: number, place: number): void {
    this.#set(id, YOUNGEST, place)
  }

  #get(id: number, field: number): number {
    return this.#fields[id * FIELDS + field]!
  }

  #set(id: number, field: number, value: number): void {
    this.#fields[id * FIELDS + field] = value
  }

  #append(id: number): void {
    this.#set(id, BEFORE, this.#freshest)
    this.#set(id, AFTER, NO_PARTITION)
    if (this.#freshest === NO_PARTITION) this.#stalest = id
    else this.#set(this.#freshest, AFTER, id)
    this.#freshest = id
  }

  #unlink(id: number): void {
    const before = this.#get(id, BEFORE)
    const after = this.#get(id, AFTER)
    if (before === NO_PARTITION) this.#stalest = after
    else this.#set(before, AFTER, after)
    if (after === NO_PARTITION) this.#freshest = before
    else this.#set(after, BEFORE, before)
  }
}

function keyBytes(key: string): number {
  return BYTES_PER_KEY + key.length
}
