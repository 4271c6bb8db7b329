import { describe, expect, it } from 'vitest'
import type { Candidate, Embedder } from '../contracts/semantic.ts'
import { Calibrator } from './decide/calibrator.ts'
import { Evidence } from './decide/evidence.ts'
import { FEATURES, readEvidence } from './decide/features.ts'
import { seeded } from './decide/stream-fixture.ts'
import { CalibratedPolicy, simulate, type Policy } from './simulate.ts'
import { rowOf, type TraceRow } from './simulate-trace.ts'

const DIMENSIONS = 64

/** Letters in threes, hashed: near for texts that share most of their letters. */
const letters: Embedder = {
  version: 'letters',
  dimensions: DIMENSIONS,
  coverageFloor: 0.5,
  embed: (text) => {
    const sums = new Float64Array(DIMENSIONS)
    for (let i = 0; i + 3 <= text.length; i++) {
      const [a, b, c] = [text.charCodeAt(i), text.charCodeAt(i + 1), text.charCodeAt(i + 2)]
      const hash = Math.imul(Math.imul(Math.imul(7, 31) + a, 31) + b, 31) + c
      sums[(hash >>> 0) % DIMENSIONS]! += 1
    }
    const most = Math.max(...sums)
    const values = Int8Array.from(sums, (sum) => (most === 0 ? 0 : Math.round((sum / most) * 127)))
    return { values, norm: Math.hypot(...values), coverage: most === 0 ? 0 : 1 }
  },
}

const always = (least: number): Policy => {
  const policy = {
    neighbours: 8,
    keepsAgreeing: true,
    action: 'miss' as 'hit' | 'check' | 'miss',
    choose: (candidates: readonly Candidate[]) => {
      policy.action = (candidates[0]?.cosine ?? 0) >= least ? 'hit' : 'miss'
      return candidates.length === 0 ? -1 : 0
    },
    learn: () => undefined,
  }
  return policy
}

const row = (question: string, answer: string, partition = ''): TraceRow => ({
  partition,
  question,
  answer,
  usd: 0.01,
  trace: '',
})

describe('simulate', () => {
  it('counts exact and semantic hits, wrong ones, calls and money', async () => {
    const rows = [
      row('how do I reset my password', 'reset'),
      row('how do I reset my password', 'reset'),
      row('how do I reset my passwords', 'reset'),
      row('how do I reset my passwort', 'other'),
      row('what is the weather on mars', 'weather'),
    ]
    const report = await simulate(rows, { embedder: letters, verifier: null, policy: always(0.8) })
    expect(report).toMatchObject({ requests: 5, exactHits: 1, semanticHits: 2, wrong: 1, backendCalls: 2, checks: 0 })
    expect(report.savedUsd).toBeCloseTo(0.03)
  })

  it('never answers from another partition', async () => {
    const rows = [row('and the second one?', 'a', 'about cats'), row('and the second one?', 'b', 'about dogs')]
    const report = await simulate(rows, { embedder: letters, verifier: null, policy: always(0) })
    expect(report).toMatchObject({ exactHits: 0, semanticHits: 0, backendCalls: 2 })
  })

  it('does not look up what the embedder knows nothing of', async () => {
    const rows = [row('a', 'x'), row('b', 'x')]
    const report = await simulate(rows, { embedder: letters, verifier: null, policy: always(0) })
    expect(report.semanticHits).toBe(0)
  })

  it('tells when the promise was broken on the way', async () => {
    const rows = [row('reset my password', 'a'), row('reset my passwords', 'b'), row('reset my passwort', 'b')]
    const parts = { embedder: letters, verifier: null, policy: always(0.5) }
    expect((await simulate(rows, parts, () => 0)).worstExcess).toBe(2)
    expect((await simulate(rows, parts, () => 2)).worstExcess).toBe(0)
  })

  it('learns from misses until the calibrated policy serves', async () => {
    const weights = FEATURES.map((name) => (name === 'cosine' ? -30 : 0))
    const evidence = new Evidence({ version: 't', features: FEATURES, bias: 18, weights })
    const calibrator = new Calibrator({
      bound: { measure: 'wrong_per_request', bound: 0.02, confidence: 0.95 },
      random: seeded(1),
    })
    const kinds = ['reset my password', 'close my account', 'order a new card', 'change the address']
    const random = seeded(2)
    const rows = Array.from({ length: 1200 }, (_, i) => {
      const kind = Math.floor(random.next() * kinds.length)
      return row(`${kinds[kind]!} ${(i * 7919).toString(36)}`, String(kind))
    })
    const policy = new CalibratedPolicy(evidence, calibrator)
    const report = await simulate(rows, { embedder: letters, verifier: null, policy })
    expect(report.semanticHits).toBeGreaterThan(200)
    expect(report.wrong).toBeLessThan(24)
    expect(policy.estimate().state).toBe('serving')
  })
})

describe('evidence', () => {
  const candidate = (answer: number, cosine: number, more: Partial<Candidate> = {}): Candidate => ({
    entry: answer * 100 + cosine,
    answer,
    cosine,
    score: cosine,
    veto: null,
    right: 0,
    wrong: 0,
    ...more,
  })
  const values = new Float64Array(FEATURES.length)
  const named = (name: (typeof FEATURES)[number]): number => values[FEATURES.indexOf(name)]!

  it('lets neighbours that agree win over one that is a little nearer', () => {
    const candidates = [candidate(1, 0.8), candidate(2, 0.79), candidate(2, 0.78), candidate(2, 0.78)]
    expect(readEvidence(candidates, values)).toBe(1)
    expect(named('agreeing')).toBeGreaterThan(0)
    expect(named('cosine_margin')).toBeCloseTo(0.79 - 0.8)
  })

  it('elects nobody whom a veto forbids', () => {
    expect(readEvidence([candidate(1, 0.9, { veto: 'number' }), candidate(2, 0.5)], values)).toBe(1)
    expect(readEvidence([candidate(1, 0.9, { veto: 'number' })], values)).toBe(-1)
    expect(readEvidence([], values)).toBe(-1)
  })

  it('elects nobody who is unlikely by itself, however many agree', () => {
    const crowd = Array.from({ length: 8 }, () => candidate(1, 0.9, { score: 0.49 }))
    expect(readEvidence(crowd, values)).toBe(-1)
    expect(readEvidence([...crowd.slice(1), candidate(1, 0.6)], values)).toBe(7)
  })

  it('tells what was seen of those who agree', () => {
    readEvidence([candidate(1, 0.9, { right: 3, wrong: 1 })], values)
    expect(named('right')).toBeCloseTo(Math.log(4))
    expect(named('wrong')).toBeCloseTo(Math.log(2))
  })

  it('refuses weights that were made for something else', () => {
    expect(() => new Evidence({ version: 't', features: ['x'], bias: 0, weights: [0] })).toThrow('other features')
    const weights = FEATURES.map(() => NaN)
    expect(() => new Evidence({ version: 't', features: FEATURES, bias: 0, weights })).toThrow('missing')
  })
})

describe('rowOf', () => {
  it('reads prompts and conversations', () => {
    expect(rowOf('{"prompt":"q","cls":"a"}', 1)).toMatchObject({ partition: '', question: 'q', answer: 'a' })
    const messages = [
      { role: 'system', content: 's' },
      { role: 'user', content: 'q' },
    ]
    const read = rowOf(JSON.stringify({ messages, answer: ' Some  Answer', usd: 0.5 }), 1)
    expect(read).toMatchObject({ question: 'q', answer: 'some answer', usd: 0.5 })
    expect(read.partition).toContain('"s"')
  })

  it('names the line that it cannot read', () => {
    expect(() => rowOf('{', 3)).toThrow('line 3: not JSON')
    expect(() => rowOf('{"prompt":"q"}', 4)).toThrow('line 4')
    expect(() => rowOf('{"messages":[],"cls":"a"}', 5)).toThrow('line 5')
  })
})
