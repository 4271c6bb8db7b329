import { describe, expect, it } from 'vitest'
import type { ErrorBound } from '../../contracts/semantic.ts'
import { bandOf, BANDS } from './curve.ts'
import { Calibrator, GRACE } from './calibrator.ts'
import { isRecord } from './ledger.ts'
import { runStream, seeded, streamOf, type Decider } from './stream-fixture.ts'

const perRequest: ErrorBound = { measure: 'wrong_per_request', bound: 0.02, confidence: 0.95 }
const perHit: ErrorBound = { measure: 'wrong_per_hit', bound: 0.1, confidence: 0.95 }

const made = (bound: ErrorBound, seed: number) => new Calibrator({ bound, random: seeded(seed) })

const allowed = (bound: ErrorBound) => (requests: number, hits: number) =>
  Math.max(GRACE, bound.bound * (bound.measure === 'wrong_per_request' ? requests : hits))

/** Believes what it saw, as it is: no room for chance. */
class Plain implements Decider {
  readonly #labels = new Float64Array(BANDS)
  readonly #wrong = new Float64Array(BANDS)
  #spent = 0
  #requests = 0

  decide(wrong: number): 'hit' | 'miss' {
    this.#requests++
    const band = bandOf(wrong)
    if (band < 0 || this.#labels[band]! < 3) return 'miss'
    const cost = this.#wrong[band]! / this.#labels[band]!
    if (this.#spent + cost > Math.max(GRACE, perRequest.bound * this.#requests)) return 'miss'
    this.#spent += cost
    return 'hit'
  }

  label(wrong: number, isWrong: boolean): void {
    const band = bandOf(wrong)
    if (band < 0) return
    this.#labels[band]!++
    if (isWrong) this.#wrong[band]!++
  }
}

function brokenShare(streams: number, bound: ErrorBound, make: (seed: number) => Decider) {
  let broken = 0
  let hits = 0
  for (let seed = 0; seed < streams; seed++) {
    const result = runStream(streamOf(seed, 700), seed + 50_000, make(seed), allowed(bound))
    if (result.broken) broken++
    hits += result.hits
  }
  return { share: broken / streams, hits: hits / streams }
}

describe('the promise', () => {
  it.each([perRequest, perHit])('is broken at any time in no more streams than stated: $measure', (bound) => {
    const { share, hits } = brokenShare(160, bound, (seed) => made(bound, seed))
    expect(share).toBeLessThanOrEqual(1 - bound.confidence)
    // A cache that never answers keeps any promise.
    expect(hits).toBeGreaterThan(10)
  })

  it('would be seen to be broken by one who believes what was seen', () => {
    expect(brokenShare(160, perRequest, () => new Plain()).share).toBeGreaterThan(0.05)
  })
})

/** All of one score, `errors` of them wrong, evenly. */
function feed(calibrator: Calibrator, score: number, requests: number, errors: number, seed = 1): number {
  const random = seeded(seed)
  let hits = 0
  for (let i = 0; i < requests; i++) {
    const isWrong = random.next() < errors
    if (calibrator.decide(score) === 'hit') hits++
    else calibrator.label(score, isWrong)
  }
  return hits
}

describe('Calibrator', () => {
  it('starts strict and loosens with evidence', () => {
    const calibrator = made(perRequest, 1)
    expect(feed(calibrator, 0.004, 10, 0)).toBe(0)
    expect(calibrator.estimate().state).toBe('learning')
    const hits = feed(calibrator, 0.004, 1500, 0)
    expect(hits).toBeGreaterThan(500)
    expect(calibrator.estimate()).toMatchObject({ state: 'serving', epoch: 0 })
  })

  it('never serves what the evidence has no trust in, nor where there is no candidate', () => {
    const calibrator = made(perRequest, 1)
    expect(feed(calibrator, 0.9, 800, 0)).toBe(0)
    expect(feed(calibrator, NaN, 800, 0)).toBe(0)
  })

  it('does not serve what errs more than the bound can pay', () => {
    expect(feed(made(perRequest, 1), 0.004, 3000, 0.5) / 3000).toBeLessThan(0.04)
  })

  it('checks some of the hits for ever', () => {
    const calibrator = made(perRequest, 1)
    feed(calibrator, 0.004, 3000, 0)
    let checks = 0
    for (let i = 0; i < 1000; i++) if (calibrator.decide(0.004) === 'check') checks++
    expect(checks).toBeGreaterThan(5)
  })

  it('begins anew when what is served errs more than it did', () => {
    const calibrator = made(perRequest, 1)
    feed(calibrator, 0.004, 1500, 0)
    feed(calibrator, 0.004, 3000, 0.6, 2)
    expect(calibrator.estimate().epoch).toBeGreaterThan(0)
    expect(feed(calibrator, 0.004, 500, 0.6, 3)).toBeLessThan(20)
  })

  it('is told the same by replicas as by itself', () => {
    const [one, two, whole] = [made(perRequest, 1), made(perRequest, 2), made(perRequest, 3)]
    feed(one, 0.004, 60, 0)
    feed(two, 0.004, 60, 0)
    for (const part of [one, two]) whole.absorb(part.take())
    expect(whole.record().requests).toBe(120)
    expect(whole.record().labels[0]).toBe(one.record().labels[0]! + two.record().labels[0]!)
    expect(one.take().requests).toBe(0)
    expect(isRecord(structuredClone(whole.record()))).toBe(true)
  })

  it('goes on from what was kept', () => {
    const before = made(perRequest, 1)
    feed(before, 0.004, 1500, 0)
    const after = made(perRequest, 2)
    after.absorb(before.record())
    expect(feed(after, 0.004, 100, 0)).toBeGreaterThan(50)
  })

  it('stops when users say that hits were wrong, as many as the budget has', () => {
    const calibrator = made(perRequest, 1)
    feed(calibrator, 0.004, 1500, 0)
    for (let i = 0; i < 40; i++) calibrator.report()
    expect(feed(calibrator, 0.004, 50, 0)).toBe(0)
  })

  it('shadow checks cost budget while nobody knows what they gave', () => {
    const calibrator = new Calibrator({ bound: perRequest, random: { next: () => 0 }, checks: 'shadow' })
    let shown = 0
    for (let i = 0; i < 2000; i++)
      if (calibrator.decide(0.004) === 'check') shown++
      else calibrator.label(0.004, false)
    // None was ever told: no more than the budget may be shown.
    expect(shown).toBeGreaterThan(0)
    expect(shown).toBeLessThanOrEqual(perRequest.bound * 2000)
  })

  it('estimates what was served, with room above', () => {
    const calibrator = made(perRequest, 1)
    feed(calibrator, 0.004, 3000, 0.01)
    const { rate, rateAtMost, wrong, wrongAtMost, budget, hits } = calibrator.estimate()
    expect(hits).toBeGreaterThan(0)
    expect(rate).toBeGreaterThan(0)
    expect(rate).toBeLessThan(rateAtMost)
    expect(wrong).toBeLessThan(wrongAtMost)
    expect(wrongAtMost).toBeLessThanOrEqual(budget)
  })

  it('refuses bounds that are none', () => {
    for (const bad of [0, 1, NaN]) expect(() => made({ ...perRequest, bound: bad }, 1)).toThrow(RangeError)
  })
})

describe('isRecord', () => {
  it('takes nothing that could loosen by being damaged', () => {
    const good = made(perRequest, 1).record()
    expect(isRecord(good)).toBe(true)
    const bad = [null, {}, { ...good, labels: [1] }, { ...good, requests: -1 }, { ...good, hits: NaN }]
    for (const record of [...bad, { ...good, wrong: good.wrong.map(() => 1) }]) expect(isRecord(record)).toBe(false)
  })
})
