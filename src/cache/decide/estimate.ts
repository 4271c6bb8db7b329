import type { ErrorBound } from '../../contracts/semantic.ts'
import { BANDS, CENTRE } from './curve.ts'
import type { Counts } from './ledger.ts'

/** What the evidence says weighs as much as so many labels of the band itself. */
const TRUST = 15

/** Likely share of errors by band, not falling: for plans and for show, never for the promise. */
export function believedErrors(counts: Counts, out: Float64Array): void {
  let floor = 0
  for (let band = 0; band < BANDS; band++) {
    const own = (counts.wrong[band]! + TRUST * CENTRE[band]!) / (counts.labels[band]! + TRUST)
    floor = Math.max(floor, own)
    out[band] = floor
  }
}

/**
 * The loosest band that the bound can pay for if all of its likes are served from now on; -1 = none. Without it a budget that has
 * grown would go to bad hits, and good ones would wait. rates: by band, of `weight` requests.
 */
export function sustainableBand(
  believed: ArrayLike<number>,
  rates: ArrayLike<number>,
  weight: number,
  { measure, bound }: ErrorBound,
): number {
  let errors = 0
  let hits = 0
  for (let band = 0; band < BANDS; band++) {
    const rate = rates[band]! / weight
    errors += rate * believed[band]!
    hits += rate
    if (errors > bound * (measure === 'wrong_per_request' ? 1 : hits)) return band - 1
  }
  return BANDS - 1
}
