import { BANDS } from './curve.ts'

/**
 * What a scope (tenant and model) knows, as plain numbers: it may be kept, sent, and added to another of the same epoch. Arrays by
 * band, strictest first.
 */
export interface CalibrationRecord {
  /** Evidence of one epoch says nothing in another: traffic had changed. */
  readonly epoch: number
  /** That the exact tier had no answer to. */
  readonly requests: number
  /** Answered from the cache, also those that were checked behind the client's back. */
  readonly hits: number
  /** Hits that were seen to be wrong. */
  readonly seenWrong: number
  readonly labels: readonly number[]
  readonly wrong: readonly number[]
  /** Hits that nobody checked. */
  readonly served: readonly number[]
}

/** The same, to count in. */
export class Counts {
  requests = 0
  hits = 0
  seenWrong = 0
  readonly labels = new Float64Array(BANDS)
  readonly wrong = new Float64Array(BANDS)
  readonly served = new Float64Array(BANDS)

  add(other: Omit<CalibrationRecord, 'epoch' | 'labels' | 'wrong' | 'served'> & Arrays): void {
    this.requests += other.requests
    this.hits += other.hits
    this.seenWrong += other.seenWrong
    for (let band = 0; band < BANDS; band++) {
      this.labels[band]! += other.labels[band] ?? 0
      this.wrong[band]! += other.wrong[band] ?? 0
      this.served[band]! += other.served[band] ?? 0
    }
  }

  clear(): void {
    this.requests = this.hits = this.seenWrong = 0
    this.labels.fill(0)
    this.wrong.fill(0)
    this.served.fill(0)
  }

  record(epoch: number): CalibrationRecord {
    const { requests, hits, seenWrong } = this
    return {
      epoch,
      requests,
      hits,
      seenWrong,
      labels: [...this.labels],
      wrong: [...this.wrong],
      served: [...this.served],
    }
  }
}

interface Arrays {
  readonly labels: ArrayLike<number>
  readonly wrong: ArrayLike<number>
  readonly served: ArrayLike<number>
}

const isCount = (value: unknown): boolean => typeof value === 'number' && value >= 0 && Number.isFinite(value)

/** Whether what a store or a replica gave is a record: one that is not must not loosen anything. */
export function isRecord(value: unknown): value is CalibrationRecord {
  if (typeof value !== 'object' || value === null) return false
  const record = value as Record<string, unknown>
  const bands = ['labels', 'wrong', 'served'].map((name) => record[name])
  if (!bands.every((list) => Array.isArray(list) && list.length === BANDS && list.every(isCount))) return false
  const [labels, wrong] = bands as [number[], number[]]
  if (wrong.some((count, band) => count > labels[band]!)) return false
  return ['epoch', 'requests', 'hits', 'seenWrong'].every((name) => isCount(record[name]))
}
