import type { Candidate, Embedder, TextVector, Verifier } from '../contracts/semantic.ts'
import { Hits } from './index/hits.ts'
import { VectorIndex } from './index/vector-index.ts'
import type { Calibrator, Estimate } from './decide/calibrator.ts'
import type { Evidence } from './decide/evidence.ts'
import { worthComparing } from './decide/features.ts'
import type { TraceRow } from './simulate-trace.ts'

/** Who is asked for an answer: one of the candidates is served, or called for to learn from, or none. */
export interface Policy {
  /** How many candidates it looks at, 1..16. */
  readonly neighbours: number
  /** Whether a question whose answer was the candidate's is kept as an entry of its own. */
  readonly keepsAgreeing: boolean
  /** Returns the index of who would answer (-1 = nobody), and sets `action`. */
  choose(candidates: readonly Candidate[]): number
  readonly action: 'hit' | 'check' | 'miss'
  /** What a miss or check taught of the candidate that was chosen last. */
  learn(chosen: Candidate, isWrong: boolean): void
}

/** Heddle's own. */
export class CalibratedPolicy implements Policy {
  readonly neighbours = 8
  readonly keepsAgreeing = true
  action: 'hit' | 'check' | 'miss' = 'miss'
  readonly #evidence: Evidence
  readonly #calibrator: Calibrator

  constructor(evidence: Evidence, calibrator: Calibrator) {
    this.#evidence = evidence
    this.#calibrator = calibrator
  }

  choose(candidates: readonly Candidate[]): number {
    this.#evidence.weigh(candidates)
    this.action = this.#calibrator.decide(this.#evidence.wrong)
    return this.#evidence.chosen
  }

  learn(_chosen: Candidate, isWrong: boolean): void {
    this.#calibrator.label(this.#evidence.wrong, isWrong)
  }

  estimate(): Estimate {
    return this.#calibrator.estimate()
  }
}

export interface SimulationParts<Facts> {
  readonly embedder: Embedder
  /** null = candidates' scores are their cosines. */
  readonly verifier: Verifier<Facts> | null
  readonly policy: Policy
}

/** What a trace would have been with the cache. A check is a call of the backend and no hit; the client gets what it brings. */
export interface SimulationReport {
  readonly requests: number
  readonly exactHits: number
  readonly semanticHits: number
  readonly checks: number
  /** Semantic hits whose answer is another one than the backend's. */
  readonly wrong: number
  /** The same of exact hits: the backend does not always say the same. The bound does not count them. */
  readonly exactWrong: number
  readonly backendCalls: number
  /** US dollars, of rows that tell what they cost. */
  readonly savedUsd: number
  /** Greatest excess ever, of wrong answers over what `allowed` said at the time; 0 = the promise held throughout. */
  readonly worstExcess: number
}

/** Wrong answers allowed after so many requests and hits. */
export type Allowed = (requests: number, hits: number) => number

interface Stored<Facts> {
  readonly facts: Facts | null
  readonly answer: number
  right: number
  wrong: number
}

const INDEX_BYTES = 256 << 20

/**
 * Replays a trace through partition, exact tier, semantic tier and decision, from an empty cache. Labels come from misses and
 * checks alone. Throws what the index throws for a bad embedder.
 */
export async function simulate<Facts>(
  rows: readonly TraceRow[],
  parts: SimulationParts<Facts>,
  allowed: Allowed = () => Infinity,
): Promise<SimulationReport> {
  const cache = new SimulatedCache(parts)
  let exactHits = 0
  let exactWrong = 0
  let semanticHits = 0
  let checks = 0
  let wrong = 0
  let savedUsd = 0
  let worstExcess = 0
  for (const [at, row] of rows.entries()) {
    const kept = cache.exact(row)
    if (kept !== undefined && kept !== row.answer) exactWrong++
    const served = kept === undefined ? await cache.semantic(row) : 'exact'
    if (served === 'check') checks++
    if (served === 'exact') exactHits++
    if (served === 'hit' || served === 'wrong') semanticHits++
    if (served === 'exact' || served === 'hit' || served === 'wrong') savedUsd += row.usd
    if (served === 'wrong') {
      wrong++
      worstExcess = Math.max(worstExcess, wrong - allowed(at + 1, semanticHits))
    }
  }
  const backendCalls = rows.length - exactHits - semanticHits
  return {
    requests: rows.length,
    exactHits,
    semanticHits,
    checks,
    wrong,
    exactWrong,
    backendCalls,
    savedUsd,
    worstExcess,
  }
}

class SimulatedCache<Facts> {
  readonly #parts: SimulationParts<Facts>
  readonly #exact = new Map<string, string>()
  readonly #index: VectorIndex
  readonly #entries = new Map<number, Stored<Facts>>()
  readonly #answers = new Map<string, number>()
  readonly #hits = new Hits()

  constructor(parts: SimulationParts<Facts>) {
    this.#parts = parts
    this.#index = new VectorIndex({
      dimensions: parts.embedder.dimensions,
      maxBytes: INDEX_BYTES,
      maxEntriesPerPartition: 1_000_000,
      onEvict: (entry) => this.#entries.delete(entry),
    })
  }

  exact(row: TraceRow): string | undefined {
    return this.#exact.get(exactKey(row))
  }

  async semantic(row: TraceRow): Promise<'hit' | 'wrong' | 'check' | 'miss'> {
    const { embedder, verifier, policy } = this.#parts
    const vector = await embedder.embed(row.question)
    if (vector === null || vector.norm === 0 || vector.coverage < embedder.coverageFloor) {
      policy.choose([])
      this.#exact.set(exactKey(row), row.answer)
      return 'miss'
    }
    const facts = verifier === null ? null : verifier.facts(row.question)
    const candidates = this.#candidates(row.partition, vector, facts)
    const chosen = candidates[policy.choose(candidates)]
    const answer = this.#answerOf(row.answer)
    const { action } = policy
    if (chosen !== undefined && action === 'hit') return chosen.answer === answer ? 'hit' : 'wrong'
    if (chosen !== undefined) this.#learn(chosen, chosen.answer !== answer)
    this.#exact.set(exactKey(row), row.answer)
    if (policy.keepsAgreeing || chosen?.answer !== answer) this.#store(row.partition, vector, facts, answer)
    return action === 'check' ? 'check' : 'miss'
  }

  #learn(chosen: Candidate, isWrong: boolean): void {
    const stored = this.#entries.get(chosen.entry)
    if (stored !== undefined) {
      if (isWrong) stored.wrong++
      else stored.right++
    }
    this.#parts.policy.learn(chosen, isWrong)
  }

  #candidates(partition: string, vector: TextVector, facts: Facts | null): Candidate[] {
    const { verifier, policy } = this.#parts
    const found = this.#index.search(partition, vector, policy.neighbours, 0, this.#hits)
    const compared = worthComparing(this.#hits.cosines, found)
    const out: Candidate[] = []
    for (let i = 0; i < compared; i++) {
      const entry = this.#hits.entries[i]!
      const cosine = this.#hits.cosines[i]!
      const stored = this.#entries.get(entry)
      if (stored === undefined) continue
      const { answer, right, wrong } = stored
      const verdict =
        verifier === null || facts === null || stored.facts === null
          ? { score: cosine, veto: null }
          : verifier.compare(facts, stored.facts, cosine)
      out.push({ entry, cosine, score: verdict.score, veto: verdict.veto, answer, right, wrong })
    }
    return out
  }

  #store(partition: string, vector: TextVector, facts: Facts | null, answer: number): void {
    const entry = this.#index.insert(partition, vector, Infinity, 0)
    if (entry >= 0) this.#entries.set(entry, { facts, answer, right: 0, wrong: 0 })
  }

  #answerOf(answer: string): number {
    const known = this.#answers.get(answer)
    if (known !== undefined) return known
    this.#answers.set(answer, this.#answers.size)
    return this.#answers.size - 1
  }
}

const exactKey = (row: TraceRow): string => `${row.partition.length}:${row.partition}${row.question}`
