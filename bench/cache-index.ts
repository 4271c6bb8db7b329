/**
 * What the vector index of the semantic cache costs and how often it finds the nearest: `node bench/cache-index.ts
 * [--data DIR] [--json FILE]`, about a minute. Times of one search on one thread, bytes of an entry by the index's own sums
 * and by what the process grew, share of the nearest that are found. Vectors are weighted sums of word vectors, of made-up
 * sentences with a skewed vocabulary or, with --data, of the prompts in DIR/traces.jsonl and pairs.jsonl.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { loadTable } from '../src/cache/embed/table.ts'
import { Hits } from '../src/cache/index/hits.ts'
import { VectorIndex } from '../src/cache/index/vector-index.ts'

export interface IndexRow {
  readonly dimensions: number
  readonly entries: number
  readonly partitions: number
  readonly p50Micros: number
  readonly p99Micros: number
  readonly insertMicros: number
  /** Share of searches whose best is as near as the nearest of all. */
  readonly recall: number
  readonly bytesPerEntry: number
  /** Growth of the process; includes what V8 has not given back. */
  readonly rssPerEntry: number
}

const SEARCHES = 1000
const WARM_UP = 300
/** Comparisons with all, by plain loops, which the time of the bench goes into. */
const RECALL_COMPARISONS = 3e6
const VOCABULARY = 8000
const TOPICS = 60

function randoms(seed: number): () => number {
  let x = seed
  return () => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) / 2 ** 32
  }
}

const gauss = (random: () => number): number => random() + random() + random() + random() - 2

interface Embeds {
  readonly dimensions: number
  embed(sentence: readonly string[]): Int8Array
}

function shipped(): Embeds {
  const table = loadTable()
  return { dimensions: table.dimensions, embed: (sentence) => table.embed(sentence.join(' ')).values.slice() }
}

/** Word vectors: each word leans to one of some topics, as those of real tables do. */
class Words implements Embeds {
  readonly dimensions: number
  readonly #random = randoms(20260101)
  readonly #topics: Float32Array[]
  readonly #vectors = new Map<string, Float32Array>()
  readonly #counts = new Map<string, number>()
  #seen = 1

  /** sentences: by which it knows rare words, that weigh more. */
  constructor(dimensions: number, sentences: readonly string[][]) {
    this.dimensions = dimensions
    this.#topics = Array.from({ length: TOPICS }, () => this.#direction())
    for (const word of sentences.flat()) {
      this.#counts.set(word, (this.#counts.get(word) ?? 0) + 1)
      this.#seen++
    }
  }

  #direction(): Float32Array {
    return Float32Array.from({ length: this.dimensions }, () => gauss(this.#random))
  }

  #vector(word: string): Float32Array {
    let vector = this.#vectors.get(word)
    if (vector === undefined) {
      const topic = this.#topics[Math.floor(this.#random() * TOPICS)]!
      vector = this.#direction().map((value, i) => value + topic[i]! * 0.7)
      this.#vectors.set(word, vector)
    }
    return vector
  }

  embed(sentence: readonly string[]): Int8Array {
    const sum = new Float32Array(this.dimensions)
    for (const word of sentence) {
      const weight = 1 / (1 + (3000 * (this.#counts.get(word) ?? 0)) / this.#seen)
      const vector = this.#vector(word)
      for (let i = 0; i < sum.length; i++) sum[i]! += vector[i]! * weight
    }
    let greatest = 1e-9
    for (const value of sum) greatest = Math.max(greatest, Math.abs(value))
    return Int8Array.from(sum, (value) => Math.round((value * 127) / greatest))
  }
}

function madeUp(count: number, random: () => number): string[][] {
  // Zipf: word r as often as 1/r.
  const word = (): string => `w${Math.floor(VOCABULARY ** random())}`
  return Array.from({ length: count }, () => Array.from({ length: 4 + Math.floor(random() * 14) }, word))
}

function fromFolder(folder: string): string[][] {
  const prompts = new Set<string>()
  for (const name of ['traces.jsonl', 'pairs.jsonl']) {
    for (const line of readFileSync(join(folder, name), 'utf8').split('\n')) {
      if (line === '') continue
      const row = JSON.parse(line) as { prompt?: string; text_a?: string; text_b?: string }
      for (const text of [row.prompt, row.text_a, row.text_b]) if (text !== undefined) prompts.add(text)
    }
  }
  return [...prompts].map((text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ['none'])
}

/** The same with words left out, put in and changed. */
function otherwise(sentence: readonly string[], vocabulary: readonly string[], random: () => number): string[] {
  const said = sentence.filter(() => random() > 0.15)
  const changes = 1 + Math.floor(random() * 2)
  for (let i = 0; i < changes; i++)
    said[Math.floor(random() * (said.length + 1))] = vocabulary[Math.floor(random() * vocabulary.length)]!
  return said
}

const as = (values: Int8Array) => ({ values, norm: 1, coverage: 1 })

function nearest(all: readonly Int8Array[], squares: Float64Array, query: Int8Array): number {
  let best = -1
  let square = 0
  for (const value of query) square += value * value
  for (const [i, values] of all.entries()) {
    let dot = 0
    for (let j = 0; j < query.length; j++) dot += values[j]! * query[j]!
    best = Math.max(best, dot / Math.sqrt(square * squares[i]!))
  }
  return best
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

function measure(words: Embeds, sentences: readonly string[][], partitions: number): IndexRow {
  const random = randoms(7)
  const { dimensions } = words
  const vocabulary = sentences.flat()
  const all = sentences.map((sentence) => words.embed(sentence))
  const queries = Array.from({ length: SEARCHES }, () =>
    words.embed(otherwise(sentences[Math.floor(random() * sentences.length)]!, vocabulary, random)),
  )
  const index = new VectorIndex({ dimensions, maxBytes: 2 ** 31, maxEntriesPerPartition: 1e6, onEvict: () => {} })
  const key = (i: number): string => `${i % partitions}`.padStart(32, '0')
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  const began = performance.now()
  for (const [i, values] of all.entries()) index.insert(key(i), as(values), Infinity, 0)
  const insertMicros = ((performance.now() - began) * 1000) / all.length
  globalThis.gc?.()
  const rss = process.memoryUsage.rss() - before
  const hits = new Hits()
  const search = (i: number): number => index.search(key(0), as(queries[i % SEARCHES]!), 8, 0, hits)
  for (let i = 0; i < WARM_UP; i++) search(i)
  const times = Array.from({ length: SEARCHES }, (_, i) => {
    const start = performance.now()
    search(i)
    return (performance.now() - start) * 1000
  }).sort((a, b) => a - b)
  const inFirst = all.filter((_, i) => i % partitions === 0)
  const squares = Float64Array.from(inFirst, (values) => values.reduce((sum, value) => sum + value * value, 0))
  const looks = Math.min(SEARCHES, Math.ceil(RECALL_COMPARISONS / inFirst.length))
  let same = 0
  for (let i = 0; i < looks; i++) {
    search(i)
    if (hits.cosines[0]! >= nearest(inFirst, squares, queries[i]!)) same++
  }
  return {
    dimensions,
    entries: all.length,
    partitions,
    p50Micros: quantile(times, 0.5),
    p99Micros: quantile(times, 0.99),
    insertMicros,
    recall: same / looks,
    bytesPerEntry: index.bytes / index.size,
    rssPerEntry: rss / index.size,
  }
}

/** data: a folder with traces.jsonl and pairs.jsonl; left out, sentences are made up. say: a line for each row. */
export function benchIndex(data: string | undefined, say: (line: string) => void): IndexRow[] {
  const rows: IndexRow[] = []
  say('dimensions  entries partitions   p50 us   p99 us insert us recall@1  bytes/entry  rss/entry')
  const sentences = data === undefined ? madeUp(50_000, randoms(11)) : fromFolder(data)
  const embedders: Embeds[] = data === undefined ? [256, 384].map((size) => new Words(size, sentences)) : [shipped()]
  for (const words of embedders) {
    const shapes = [
      [1000, 1],
      [10_000, 1],
      [50_000, 1],
      [10_000, 10_000],
    ] as const
    for (const [entries, partitions] of shapes) {
      const row = measure(words, sentences.slice(0, entries), partitions)
      rows.push(row)
      say(
        `${row.dimensions}`.padStart(10) +
          `${row.entries}`.padStart(9) +
          `${row.partitions}`.padStart(11) +
          row.p50Micros.toFixed(1).padStart(9) +
          row.p99Micros.toFixed(1).padStart(9) +
          row.insertMicros.toFixed(2).padStart(10) +
          row.recall.toFixed(4).padStart(9) +
          row.bytesPerEntry.toFixed(0).padStart(13) +
          row.rssPerEntry.toFixed(0).padStart(11),
      )
    }
  }
  return rows
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { data: { type: 'string' }, json: { type: 'string' } } })
  const rows = benchIndex(values.data, (line) => process.stdout.write(`${line}\n`))
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(rows, null, 2))
  const worst = rows.filter((row) => row.entries === 10_000 && row.partitions === 1)
  const slowest = Math.max(...worst.map((row) => row.p50Micros))
  const recall = Math.min(...worst.map((row) => row.recall))
  const bytes = Math.max(...worst.map((row) => row.bytesPerEntry))
  process.stdout.write(
    `at 10,000 entries: p50 ${slowest.toFixed(0)} us (bar 150), recall@1 ${recall.toFixed(4)} (bar 0.99), ` +
      `${bytes.toFixed(0)} bytes an entry (bar 500): ${slowest <= 150 && recall >= 0.99 && bytes <= 500 ? 'held' : 'MISSED'}\n`,
  )
}
