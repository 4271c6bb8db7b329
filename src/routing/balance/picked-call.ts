import type { Member, PickedCall, PickHints } from '../../contracts/cluster.ts'
import type { ClusterMemory } from './cluster-memory.ts'
import { parseOrca, signalsOf } from './orca.ts'

/** What a pick remembers for begin(). */
export interface PickMemo {
  /** Of the prompt's blocks; empty = not looked at. */
  readonly hashes: Int32Array
  readonly hints: PickHints
}

/** Prompt tokens that take an engine about as long as everything else before the first token. */
const BASE_TOKENS = 512

/** A call of a member, counted from its making to end(). */
export class CountedCall implements PickedCall {
  readonly #memory: ClusterMemory
  readonly #slot: number
  readonly #generation: number
  readonly #tokens: number
  readonly #startedAt: number
  readonly #orca: boolean
  #begun = false
  #over = false

  /** tokens: of its prompt that no cache is taken to have. orca: load reports in the answer are read. */
  constructor(memory: ClusterMemory, { slot }: Member, tokens: number, now: number, orca: boolean) {
    this.#memory = memory
    this.#slot = slot
    this.#generation = memory.generation(slot)
    this.#tokens = Math.round(tokens)
    this.#startedAt = now
    this.#orca = orca
    memory.probe(slot, now)
    memory.begin(slot, this.#tokens)
  }

  /** The slot still is that member's. */
  get #valid(): boolean {
    return this.#memory.generation(this.#slot) === this.#generation
  }

  answered(headers: Readonly<Record<string, string | string[] | undefined>>, now: number): void {
    if (!this.#orca || !this.#valid) return
    const report = parseOrca(headers)
    if (report !== null) this.#memory.signals(this.#slot, signalsOf(report), now)
  }

  began(now: number): void {
    if (this.#begun || this.#over || !this.#valid) return
    this.#begun = true
    // If it was the one that tries a member after its rest: it answers, and another may follow before a long stream ends.
    this.#memory.neutral(this.#slot)
    const units = 1 + this.#tokens / BASE_TOKENS
    this.#memory.observe(this.#slot, (now - this.#startedAt) / units, now)
  }

  end(outcome: 'ok' | 'failed' | 'unreachable' | 'neutral', now: number): void {
    if (this.#over) return
    this.#over = true
    if (!this.#valid) return
    this.#memory.end(this.#slot, this.#tokens)
    if (outcome === 'ok') this.#memory.ok(this.#slot)
    else if (outcome === 'neutral') this.#memory.neutral(this.#slot)
    else this.#memory.failed(this.#slot, outcome === 'unreachable', now)
  }
}
