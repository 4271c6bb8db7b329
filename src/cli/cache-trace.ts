import { AnswerComparison } from '../cache/answer-classes.ts'
import { Hits } from '../cache/index/hits.ts'
import { VectorIndex } from '../cache/index/vector-index.ts'
import { rowOf, type TraceRow } from '../cache/simulate-trace.ts'
import type { Embedder, Verifier } from '../contracts/semantic.ts'

const NEIGHBOURS = 8
const INDEX_BYTES = 256 << 20
/** What is compared of a long answer, characters; as the gateway does. */
const COMPARED = 2000

export interface ReadTrace {
  readonly rows: readonly TraceRow[]
  /** Some row says what its call costs. */
  readonly isPriced: boolean
}

/**
 * Answers in words: two that say the same in other words are one, as the gateway's own comparison finds. Without it each
 * would be an answer of its own, and no question would ever have the answer of another.
 */
class AnswerNames<Facts> {
  readonly #embedder: Embedder
  readonly #comparison: AnswerComparison<Facts>
  readonly #index: VectorIndex
  readonly #hits = new Hits()
  readonly #texts: string[] = []
  readonly #known = new Map<string, string>()

  /** embedder: synchronous. */
  constructor(embedder: Embedder, verifier: Verifier<Facts>) {
    this.#embedder = embedder
    this.#comparison = new AnswerComparison(embedder, verifier)
    this.#index = new VectorIndex({
      dimensions: embedder.dimensions,
      maxBytes: INDEX_BYTES,
      maxEntriesPerPartition: 1_000_000,
      onEvict: () => {},
    })
  }

  /** The first text that said the same. */
  of(partition: string, text: string): string {
    const key = `${partition.length}:${partition}${text}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const name = this.#like(partition, text)
    this.#known.set(key, name)
    return name
  }

  #like(partition: string, text: string): string {
    const vector = this.#embedder.embed(text.slice(0, COMPARED))
    if (vector === null || vector instanceof Promise || vector.norm === 0) return text
    const found = this.#index.search(partition, vector, NEIGHBOURS, 0, this.#hits)
    for (let i = 0; i < found; i++) {
      const other = this.#texts[this.#hits.entries[i]!]!
      if (this.#comparison.same(other, text)) return other
    }
    const entry = this.#index.insert(partition, vector, Infinity, 0)
    if (entry >= 0) this.#texts[entry] = text
    return text
  }
}

/** Lines of JSON; empty ones are skipped. Throws Error that names the line where it is something else. */
export function readTraceText<Facts>(text: string, embedder: Embedder, verifier: Verifier<Facts>): ReadTrace {
  const names = new AnswerNames(embedder, verifier)
  const rows: TraceRow[] = []
  let isPriced = false
  for (const [at, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const row = rowOf(line, at + 1)
    const { cls, usd } = JSON.parse(line) as { readonly cls?: unknown; readonly usd?: unknown }
    isPriced ||= usd !== undefined
    rows.push(cls === undefined ? { ...row, answer: names.of(row.partition, row.answer) } : row)
  }
  return { rows, isPriced }
}
