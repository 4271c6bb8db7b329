import { DIRECT, FLOOR, HEDDLE, TARGETS } from './targets.ts'

/** Milliseconds of counted time for each kind of test, and how much of everything. */
export interface Profile {
  readonly rounds: number
  /** Warm-up goes on until CPU per request settles, at least this long and at most eight times. */
  readonly warm: number
  readonly window: number
  /** A window is cut into this many parts, and the targets take turns: the machine's speed changes within seconds. */
  readonly slices: number
  readonly holdStreams: readonly number[]
  readonly startups: number
  /** A backend stream that is open this long after its client left is an orphan. */
  readonly orphanMs: number
  readonly targets: readonly string[]
}

const everyone = TARGETS.map((target) => target.name)

export const PROFILES: Readonly<Record<string, Profile>> = {
  smoke: {
    rounds: 1,
    warm: 500,
    window: 600,
    slices: 1,
    holdStreams: [50],
    startups: 1,
    orphanMs: 5000,
    targets: [DIRECT, FLOOR, HEDDLE],
  },
  quick: {
    rounds: 3,
    warm: 2000,
    window: 2400,
    slices: 4,
    holdStreams: [1000],
    startups: 1,
    orphanMs: 1000,
    targets: everyone,
  },
  full: {
    rounds: 5,
    warm: 4000,
    window: 5000,
    slices: 5,
    holdStreams: [1000, 5000],
    startups: 3,
    orphanMs: 1000,
    targets: everyone,
  },
}
