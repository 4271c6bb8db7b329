import type { Embedder, ErrorBound, Verifier } from '../../src/contracts/semantic.ts'
import type { Random } from '../../src/core/clock.ts'
import { Calibrator, GRACE } from '../../src/cache/decide/calibrator.ts'
import { loadEvidence } from '../../src/cache/decide/evidence.ts'
import { CalibratedPolicy, simulate, type Allowed, type SimulationReport } from '../../src/cache/simulate.ts'
import type { TraceRow } from '../../src/cache/simulate-trace.ts'
import { FixedCosine, PerEntry } from './peers.ts'

export const CONFIDENCE = 0.95
export const ORDERS = ['as is', 'shuffled 1', 'shuffled 2'] as const
export const COSINES = [0.6, 0.8, 0.9, 0.95] as const

/** Mulberry32: the same figures on each machine. */
export function seeded(seed: number): Random {
  let state = seed
  return {
    next: () => {
      state = (state + 0x6d2b79f5) | 0
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
    },
  }
}

/** order: index of ORDERS. */
export function ordered(rows: readonly TraceRow[], order: number): TraceRow[] {
  const out = [...rows]
  if (order === 0) return out
  const random = seeded(order)
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random.next() * (i + 1))
    ;[out[i], out[j]] = [out[j]!, out[i]!]
  }
  return out
}

export interface Engine<Facts> {
  readonly name: string
  readonly embedder: Embedder
  readonly verifier: Verifier<Facts>
}

export interface Result {
  readonly engine: string
  readonly trace: string
  readonly order: number
  readonly policy: string
  /** null = it promises nothing. */
  readonly promise: ErrorBound | null
  readonly report: SimulationReport
}

export const hitShare = ({ report }: Result): number => (report.semanticHits + report.exactHits) / report.requests
export const wrongPerRequest = ({ report }: Result): number => report.wrong / report.requests
export const wrongPerHit = ({ report }: Result): number => report.wrong / Math.max(1, report.semanticHits)

/** What was observed at the end is within the bound; below as many hits as make a rate, within what is allowed from the start. */
export function kept(result: Result): boolean | null {
  if (result.promise === null) return null
  const { measure, bound } = result.promise
  const base = measure === 'wrong_per_request' ? result.report.requests : result.report.semanticHits
  return result.report.wrong <= Math.max(GRACE, bound * base)
}

const PROMISES: readonly (readonly [name: string, promise: ErrorBound])[] = [
  ['Heddle, 1 % of requests', { measure: 'wrong_per_request', bound: 0.01, confidence: CONFIDENCE }],
  ['Heddle, 2 % of requests', { measure: 'wrong_per_request', bound: 0.02, confidence: CONFIDENCE }],
  ['Heddle, 2 % of hits', { measure: 'wrong_per_hit', bound: 0.02, confidence: CONFIDENCE }],
]

const allowedBy =
  ({ measure, bound }: ErrorBound): Allowed =>
  (requests, hits) =>
    Math.max(GRACE, bound * (measure === 'wrong_per_request' ? requests : hits))

/** Heddle with each promise, and the others on the same vectors, in one order of one trace. */
export async function runTrace<Facts>(
  { name, embedder, verifier }: Engine<Facts>,
  trace: string,
  rows: readonly TraceRow[],
  order: number,
): Promise<Result[]> {
  const results: Result[] = []
  const part = ordered(rows, order)
  for (const [policy, promise] of PROMISES) {
    const calibrator = new Calibrator({ bound: promise, random: seeded(order + 100) })
    const own = new CalibratedPolicy(loadEvidence(), calibrator)
    const report = await simulate(part, { embedder, verifier, policy: own }, allowedBy(promise))
    results.push({ engine: name, trace, order, policy, promise, report })
  }
  for (const cosine of COSINES) {
    const report = await simulate(part, { embedder, verifier: null, policy: new FixedCosine(cosine) })
    results.push({ engine: name, trace, order, policy: `cosine ${cosine.toFixed(2)}`, promise: null, report })
  }
  for (const bound of [0.01, 0.02]) {
    const policy = new PerEntry(bound, seeded(order + 200))
    const report = await simulate(part, { embedder, verifier: null, policy })
    results.push({ engine: name, trace, order, policy: `per entry, ${bound * 100} %`, promise: null, report })
  }
  return results
}
