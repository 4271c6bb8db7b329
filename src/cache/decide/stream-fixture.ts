import type { Random } from '../../core/clock.ts'
import { BAND_ENDS, BANDS, CENTRE } from './curve.ts'

/** Mulberry32. */
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

/** Who decides, in a test: valid or not. */
export interface Decider {
  decide(wrong: number): 'hit' | 'check' | 'miss'
  label(wrong: number, isWrong: boolean): void
}

/** Errors by band, not falling, and how scores come. */
export interface Stream {
  readonly curve: readonly number[]
  readonly order: 'mixed' | 'strict first' | 'loose first' | 'waves'
  readonly requests: number
}

const ORDERS = ['mixed', 'strict first', 'loose first', 'waves'] as const

/** Curves from better than the evidence says to far worse, flat ones among them. */
export function streamOf(seed: number, requests: number): Stream {
  const random = seeded(seed)
  const times = Math.exp(random.next() * 5 - 1.5)
  const floor = random.next() < 0.5 ? 0 : random.next() * 0.25
  const curve = CENTRE.map((p) => Math.min(0.95, floor + p * times))
  return { curve, order: ORDERS[seed % ORDERS.length]!, requests }
}

function bandAt({ order, requests }: Stream, at: number, random: Random): number {
  if (random.next() < 0.25) return -1
  if (order === 'mixed') return Math.floor(random.next() * BANDS)
  if (order === 'strict first') return Math.min(BANDS - 1, Math.floor((at / requests) * BANDS))
  if (order === 'loose first') return BANDS - 1 - Math.min(BANDS - 1, Math.floor((at / requests) * BANDS))
  return Math.floor(at / 60) % 2 === 0 ? Math.floor(random.next() * 2) : 2 + Math.floor(random.next() * (BANDS - 2))
}

/** Whether at any time more hits were wrong than were allowed; and how many hits there were. */
export function runStream(
  stream: Stream,
  seed: number,
  decider: Decider,
  allowed: (requests: number, hits: number) => number,
): { readonly broken: boolean; readonly hits: number; readonly wrong: number } {
  const random = seeded(seed)
  let hits = 0
  let wrong = 0
  let broken = false
  for (let at = 0; at < stream.requests; at++) {
    const band = bandAt(stream, at, random)
    const isWrong = random.next() < (stream.curve[band] ?? 1)
    const score = band < 0 ? NaN : BAND_ENDS[band]!
    if (decider.decide(score) !== 'hit') {
      if (band >= 0) decider.label(score, isWrong)
      continue
    }
    hits++
    if (isWrong) wrong++
    if (wrong > allowed(at + 1, hits)) broken = true
  }
  return { broken, hits, wrong }
}
