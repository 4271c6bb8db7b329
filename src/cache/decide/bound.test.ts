import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { leastEvidence, mostWrong } from './bound.ts'
import { bandOf, BAND_ENDS, BANDS, CUTS, LOG_CUT, logBets, logGamma, NO_BAND } from './curve.ts'

const tallyOf = (labels: readonly number[], wrong: readonly number[], served: readonly number[]) => ({
  labels,
  wrong,
  served,
  logBets: logBets(labels, wrong, new Float64Array(CUTS.length)),
})

/** As many as there are bands. */
const by = (...first: number[]): number[] => Array.from({ length: BANDS }, (_, i) => first[i] ?? 0)
const zeros = Array.from({ length: BANDS }, () => 0)
const counts = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: BANDS, maxLength: BANDS })
const shares = fc.array(fc.double({ min: 0.001, max: 0.999, noNaN: true }), { minLength: BANDS, maxLength: BANDS })

describe('bands', () => {
  it('are ordered from strict to loose, and what is no probability is in none', () => {
    expect(BAND_ENDS.map(bandOf)).toEqual(BAND_ENDS.map((_, i) => i))
    expect([NaN, 1, Infinity].map(bandOf)).toEqual([NO_BAND, NO_BAND, NO_BAND])
    expect(bandOf(0)).toBe(0)
  })
})

describe('logGamma', () => {
  it('is the logarithm of the factorial', () => {
    let factorial = 1
    for (let n = 1; n < 30; n++) {
      expect(logGamma(n)).toBeCloseTo(Math.log(factorial), 8)
      factorial *= n
    }
    expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.sqrt(Math.PI)), 8)
  })
})

describe('bets', () => {
  it('are a probability: over all outcomes of the labels they sum to one', () => {
    const choose = (n: number, k: number) => Math.exp(logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1))
    let total = 0
    for (let i = 0; i <= 7; i++) {
      for (let j = 0; j <= 9; j++) {
        const [bet] = logBets(by(7, 9), by(i, j), new Float64Array(CUTS.length))
        total += choose(7, i) * choose(9, j) * Math.exp(bet!)
      }
    }
    expect(total).toBeCloseTo(1, 6)
  })
})

describe('leastEvidence', () => {
  it('is what the supermartingale is at least, for whatever curve does not fall', () => {
    fc.assert(
      fc.property(
        counts,
        shares,
        counts,
        shares,
        fc.integer({ min: 1, max: 60 }),
        (labels, parts, served, errors, count) => {
          const wrong = labels.map((n, i) => Math.round(n * parts[i]! ** 3))
          const tally = tallyOf(labels, wrong, served)
          const curve = errors.toSorted((a, b) => a - b)
          // The mixture over cuts is the supermartingale; one of its parts is enough to bound it from below.
          let expected = 0
          for (let b = 0; b < BANDS; b++) expected += served[b]! * curve[b]!
          const theta = [1.6, 1.1, 0.8, 0.55, 0.38, 0.25, 0.16, 0.09]
          const weight = [0.1, 0.14, 0.18, 0.2, 0.16, 0.11, 0.07, 0.04]
          const hits = theta.reduce((sum, t, j) => sum + weight[j]! * Math.exp(t * count - Math.expm1(t) * expected), 0)
          let bets = 0
          CUTS.forEach((cut, c) => {
            let log = tally.logBets[c]! + LOG_CUT[c]!
            for (let b = 0; b < cut; b++) {
              log -= wrong[b]! * Math.log(curve[b]!) + (labels[b]! - wrong[b]!) * Math.log1p(-curve[b]!)
            }
            bets += Math.exp(log)
          })
          expect(leastEvidence(tally, count)).toBeLessThanOrEqual(Math.log(bets) + Math.log(hits) + 1e-2)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('knows nothing without labels: any hit may be wrong', () => {
    const served = [...zeros]
    served[0] = 8
    expect(mostWrong(tallyOf(zeros, zeros, served), 8, 3)).toBe(8)
  })

  it('allows less with each label that is right, and more with each that is wrong', () => {
    const served = by(50)
    const most = (n: number, k: number) => mostWrong(tallyOf(by(n), by(k), served), 50, 3)
    expect(most(200, 0)).toBeLessThan(most(30, 0))
    expect(most(200, 20)).toBeGreaterThan(most(200, 0))
    expect(most(200, 0)).toBeGreaterThan(0)
  })

  it('holds strict bands to be no worse than loose ones', () => {
    const served = by(50)
    const loose = tallyOf(by(0, 0, 200), zeros, served)
    const strict = tallyOf(by(200), zeros, by(0, 0, 50))
    expect(mostWrong(loose, 50, 3)).toBeLessThan(20)
    expect(mostWrong(strict, 50, 3)).toBe(50)
  })
})
