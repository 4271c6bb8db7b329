/** What the semantic tier does to one question among 10,000, in this process: time, what of it goes where, and bytes. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { AnswerComparison } from '../src/cache/answer-classes.ts'
import { loadEvidence } from '../src/cache/decide/evidence.ts'
import { loadTable } from '../src/cache/embed/table.ts'
import type { Entry } from '../src/cache/entry.ts'
import { Hits } from '../src/cache/index/hits.ts'
import { VectorIndex } from '../src/cache/index/vector-index.ts'
import { keyOf } from '../src/cache/key.ts'
import { SemanticTier, type Question } from '../src/cache/semantic.ts'
import { ExactStore } from '../src/cache/store/exact.ts'
import { loadVerifier } from '../src/cache/verify/load.ts'
import type { JsonObject } from '../src/contracts/canonical.ts'
import { seeded } from './cache/run.ts'

const SLICES = 12
const LOOKS = 400
const LOADS = 20_000
const NEIGHBOURS = 8

const OPENINGS = [
  'How do I',
  'How can I',
  'What is the best way to',
  'Where do I',
  'Please tell me how to',
  'Is it possible to',
  'When should I',
  'What happens if I',
  'Can you explain how to',
  'I want to',
]
const VERBS =
  'apply for,cancel,renew,replace,report,return,order,pay for,check,change,compare,install,repair,share,sell,translate,measure,register,extend,print'.split(
    ',',
  )
const KINDS =
  'new,old,lost,broken,second,personal,shared,monthly,annual,digital,paper,local,foreign,temporary,free,family,student,business,night,summer'.split(
    ',',
  )
const NOUNS =
  'passport,library card,parking permit,savings account,train ticket,invoice,bicycle,garden fence,kitchen scale,water meter,mobile phone,tax return,contract,insurance policy,mortgage,recipe,piano,camera,tent,garage door,washing machine,savings plan,dog licence,visa,curtain,chess clock,loom,violin,telescope,greenhouse,boat,lawn mower,printer,keyboard,roof tile,boiler,sewing machine,password,voucher,subscription'.split(
    ',',
  )
const ENDINGS = [
  '?',
  ' in the city?',
  ' without a receipt?',
  ' for my mother?',
  ' by post?',
  ' on a Sunday?',
  ' abroad?',
  ' at home?',
]

/** Different texts of the kind that people ask; the same ones each time. */
export function questions(count: number, seed: number): readonly string[] {
  const random = seeded(seed)
  const of = (list: readonly string[]): string => list[Math.floor(random.next() * list.length)]!
  const out = new Set<string>()
  while (out.size < count) out.add(`${of(OPENINGS)} ${of(VERBS)} a ${of(KINDS)} ${of(NOUNS)}${of(ENDINGS)}`)
  return [...out]
}

export interface VerdictFigures {
  readonly entries: number
  /** Microseconds of a look: medians of the slices. */
  readonly p50: number
  readonly p99: number
  /** Of the quietest slice. */
  readonly bestP50: number
  readonly bestP99: number
  /** Microseconds of its parts, each by itself. */
  readonly parts: Readonly<Record<string, number>>
  /** Beside the texts, bytes an entry: of vectors and their tables, and all that the process holds for it. */
  readonly vectorBytes: number
  readonly heapBytes: number
}

const at = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
const median = (list: readonly number[]): number =>
  at(
    list.toSorted((a, b) => a - b),
    0.5,
  )

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
function held(): number {
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const entryOf = (question: string, i: number, scope: string): Entry => ({
  id: `id${String(i).padStart(10, '0')}`,
  key: `${i}`.padStart(43, 'k'),
  partition: 'p'.repeat(43),
  question,
  scope,
  body: Buffer.allocUnsafeSlow(400),
  text: `Answer ${i}.`,
  usage: null,
  nanoUsd: 0,
  simulated: false,
  target: 'mock/m',
  model: 'm',
  tenant: 't',
  principal: `p${i % 20}`,
  tags: [],
  createdAt: 0,
  expiresAt: 1e15,
})

const nanosOf = (count: number, what: (i: number) => void): number => {
  const times: number[] = []
  for (let slice = 0; slice < 7; slice++) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < count; i++) what(i)
    times.push(Number(process.hrtime.bigint() - start) / count)
  }
  return median(times) / 1000
}

export function verdictFigures(entries: number): VerdictFigures {
  const table = loadTable()
  const verifier = loadVerifier(table)
  const evidence = loadEvidence()
  const tier = new SemanticTier({
    embedder: table,
    verifier,
    evidence,
    answers: new AnswerComparison(table, verifier),
    random: seeded(3),
    maxBytes: 64 << 20,
    maxEntries: 50_000,
    maxQuestionBytes: 2048,
    insertsPerMinute: Infinity,
    replicas: 1,
  })
  const bound = { measure: 'wrong_per_request', bound: 0.01, confidence: 0.95 } as const
  const scope = { key: 's', tenant: 't', model: 'm', bound }
  const asked = (text: string): Question => ({
    text,
    partition: 'p'.repeat(43),
    scope,
    principal: 'p1',
    strangers: false,
  })
  const all = questions(entries + SLICES * LOOKS, 5)
  const kept = all.slice(0, entries)
  // What is loaded lazily is no entry's.
  void tier.look(asked('warm'), 0)
  const store = new ExactStore(1 << 30, 1 << 20, () => {})
  const before = held()
  let texts = 0
  for (const [i, question] of kept.entries()) {
    const entry = entryOf(question, i, scope.key)
    texts += entry.body.length + question.length + entry.text.length
    store.put(entry)
    tier.add(entry, 0)
  }
  const heapBytes = (held() - before - texts) / entries
  const p50s: number[] = []
  const p99s: number[] = []
  for (let slice = -2; slice < SLICES; slice++) {
    const times: number[] = []
    for (let i = 0; i < LOOKS; i++) {
      const question = asked(all[entries + Math.max(0, slice) * LOOKS + i]!)
      const start = process.hrtime.bigint()
      void tier.look(question, 0)
      times.push(Number(process.hrtime.bigint() - start) / 1000)
    }
    if (slice < 0) continue
    times.sort((a, b) => a - b)
    p50s.push(at(times, 0.5))
    p99s.push(at(times, 0.99))
  }
  const parts = partsOf(kept, all.slice(entries))
  if (store.size !== entries) throw new Error('entries were lost')
  return {
    entries,
    p50: median(p50s),
    p99: median(p99s),
    bestP50: Math.min(...p50s),
    bestP99: Math.min(...p99s),
    parts,
    vectorBytes: tier.bytes / entries,
    heapBytes,
  }
}

/** Each step of a look by itself: what dominates. */
function partsOf(kept: readonly string[], fresh: readonly string[]): Readonly<Record<string, number>> {
  const table = loadTable()
  const verifier = loadVerifier(table)
  const index = new VectorIndex({
    dimensions: table.dimensions,
    maxBytes: 64 << 20,
    maxEntriesPerPartition: 50_000,
    onEvict: () => {},
  })
  for (const text of kept) index.insert('p', table.embed(text), Infinity, 0)
  const hits = new Hits()
  const vectors = fresh.slice(0, LOOKS).map((text) => table.embed(text))
  const facts = kept.slice(0, LOOKS).map((text) => verifier.facts(text))
  const own = fresh.slice(0, LOOKS).map((text) => verifier.facts(text))
  return {
    embed: nanosOf(LOOKS, (i) => void table.embed(fresh[i]!)),
    search: nanosOf(LOOKS, (i) => void index.search('p', vectors[i]!, NEIGHBOURS, 0, hits)),
    'facts of the question and 8 candidates': 9 * nanosOf(LOOKS, (i) => void verifier.facts(kept[i]!)),
    'comparison with 8': 8 * nanosOf(LOOKS, (i) => void verifier.compare(own[i]!, facts[(i * 7) % LOOKS]!, 0.8)),
  }
}

/** Microseconds that a hit takes for its key and its entry. */
export function keyMicros(body: JsonObject): number {
  const store = new ExactStore(1 << 24, 1 << 20, () => {})
  const where = ['["tenant","","t"]', 'm', '', '', 'm', 'mock/m m http://127.0.0.1/v1', '', '', '', '', '']
  store.put({ ...entryOf('q', 0, ''), key: keyOf(where, 'chat', body).exact })
  return nanosOf(LOADS, () => {
    if (store.get(keyOf(where, 'chat', body).exact, 1) === null) throw new Error('not found')
  })
}
