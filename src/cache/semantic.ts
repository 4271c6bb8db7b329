import { LRUCache } from 'lru-cache'
import type { Candidate, Embedder, ErrorBound, TextVector, Verifier } from '../contracts/semantic.ts'
import type { Random } from '../core/clock.ts'
import { AnswerGroup } from './answer-group.ts'
import type { AnswerComparison } from './answer-classes.ts'
import type { Entry } from './entry.ts'
import { Calibrator, type Estimate } from './decide/calibrator.ts'
import { worthComparing } from './decide/features.ts'
import { BAND_ENDS } from './decide/curve.ts'
import type { Evidence } from './decide/evidence.ts'
import type { CalibrationRecord } from './decide/ledger.ts'
import { Hits } from './index/hits.ts'
import { InsertQuota } from './insert-quota.ts'
import { VectorIndex } from './index/vector-index.ts'

/** Candidates that are looked at. */
const NEIGHBOURS = 8
/** Below this a candidate says nothing about a question. */
const LEAST_COSINE = 0.3
/** Tenants and models that are counted apart; those not heard of for the longest begin anew. */
const MAX_SCOPES = 10_000

export interface SemanticParts<Facts> {
  readonly embedder: Embedder
  readonly verifier: Verifier<Facts>
  readonly evidence: Evidence
  readonly answers: AnswerComparison<Facts>
  readonly random: Random
  /** Of vectors, bytes. */
  readonly maxBytes: number
  /** Of one partition. */
  readonly maxEntries: number
  readonly maxQuestionBytes: number
  readonly insertsPerMinute: number
  /** That count for the same scopes, this one among them: workers of all processes. */
  readonly replicas: number
}

/** Whose errors are counted together, and for which promise. */
export interface Scope {
  /** All that is below, and what else counts apart. */
  readonly key: string
  readonly tenant: string
  readonly model: string
  readonly bound: ErrorBound
}

/** Who asks what. */
export interface Question {
  readonly text: string
  readonly partition: string
  readonly scope: Scope
  readonly principal: string
  /** Answers of others are believed only when a third one got the same. */
  readonly strangers: boolean
  /** It has waited so long for other replicas already, ms. */
  readonly waitedMs?: number
}

/** Answers that are elsewhere. */
export interface FarAnswers {
  /**
   * Adds those near to the vector, as far as its time allows; null = there is nothing to wait for. local: how many of the
   * partition are here. Never rejects.
   */
  bring(partition: string, vector: TextVector, local: number, waitedMs: number): Promise<void> | null
}

/** What the tier says of a question. */
export interface Look {
  /** Key of the scope. */
  readonly scope: string
  readonly action: 'hit' | 'check' | 'miss'
  /** Who would answer; null = nobody. */
  readonly entry: Entry | null
  readonly cosine: number
  /** 0..1, how likely the entry's answer is wrong; NaN = nobody would answer. */
  readonly wrong: number
  /** Of the question, so that what answers it can be found by it. */
  readonly vector: TextVector | null
}

/** What one has learnt. */
export interface News {
  readonly scope: Scope
  readonly record: CalibrationRecord
}

export interface ScopeEstimate extends Estimate {
  readonly tenant: string
  readonly model: string
  readonly bound: ErrorBound
}

/** What is known of an entry beside it. */
interface Slot {
  readonly entry: Entry
  readonly number: number
  readonly group: AnswerGroup
  right: number
  wrong: number
}

interface Counted {
  readonly scope: Scope
  readonly calibrator: Calibrator
}

const NOBODY = { entry: null, cosine: -1, wrong: NaN } as const

/** Finds answers by what is asked, and learns how often that is right. For one thread. */
export class SemanticTier<Facts = unknown> {
  /** Of all that decides what is like what: in every partition. */
  readonly version: string
  readonly #parts: SemanticParts<Facts>
  readonly #index: VectorIndex
  readonly #hits = new Hits()
  readonly #slots = new Map<number, Slot>()
  readonly #numbers = new Map<string, number>()
  readonly #calibrators: LRUCache<string, Counted>
  readonly #quota: InsertQuota
  #groups = 0
  /** Of other replicas; null = there are none. Set by who opens both. */
  far: FarAnswers | null = null

  constructor(parts: SemanticParts<Facts>) {
    const { embedder, verifier, evidence, maxBytes, maxEntries } = parts
    this.#parts = parts
    this.version = `${embedder.version} ${verifier.version} ${evidence.version}`
    this.#index = new VectorIndex({
      dimensions: embedder.dimensions,
      maxBytes,
      maxEntriesPerPartition: maxEntries,
      onEvict: (number) => this.#forget(number),
    })
    this.#calibrators = new LRUCache({ max: MAX_SCOPES })
    this.#quota = new InsertQuota(parts.insertsPerMinute)
  }

  /** By what vectors are made. */
  get embedder(): string {
    return this.#parts.embedder.version
  }

  get dimensions(): number {
    return this.#parts.embedder.dimensions
  }

  /** Once for each question that has no exact answer. now: epoch ms. null = it could not be looked at in time. */
  look(question: Question, now: number): Look | Promise<Look> {
    const { embedder } = this.#parts
    const { text } = question
    if (this.#isTooLong(text)) return this.#decide(question, null, now)
    const vector = embedder.embed(text)
    return vector instanceof Promise
      ? vector.then((known) => this.#decide(question, known, now))
      : this.#decide(question, vector, now)
  }

  #isTooLong(text: string): boolean {
    const { maxQuestionBytes } = this.#parts
    // What has more units than that has more bytes, too.
    return text.length > maxQuestionBytes || Buffer.byteLength(text) > maxQuestionBytes
  }

  #decide(question: Question, embedded: TextVector | null, now: number): Look | Promise<Look> {
    const { evidence, embedder } = this.#parts
    const knows = embedded !== null && embedded.norm > 0 && embedded.coverage >= embedder.coverageFloor
    const vector = knows ? embedded : null
    const candidates = vector === null ? [] : this.#candidates(question, vector, now)
    if (vector !== null && this.far !== null) {
      evidence.weigh(candidates)
      // Not where one is found that nothing elsewhere could be better than.
      if (!(evidence.wrong <= BAND_ENDS[0]!)) {
        const { partition, waitedMs = 0 } = question
        const brought = this.far.bring(partition, vector, this.#index.count(partition), waitedMs)
        if (brought !== null)
          return brought.then(() => this.#choose(question, vector, this.#candidates(question, vector, now)))
      }
    }
    return this.#choose(question, vector, candidates)
  }

  #choose({ scope }: Question, vector: TextVector | null, candidates: readonly Candidate[]): Look {
    const { evidence } = this.#parts
    evidence.weigh(candidates)
    const { chosen, wrong } = evidence
    const action = this.#calibrator(scope).decide(wrong)
    const candidate = candidates[chosen]
    if (candidate === undefined) return { scope: scope.key, action: 'miss', ...NOBODY, vector }
    return {
      scope: scope.key,
      action,
      entry: this.#slots.get(candidate.entry)!.entry,
      cosine: candidate.cosine,
      wrong,
      vector,
    }
  }

  #candidates({ text, partition, principal, strangers }: Question, vector: TextVector, now: number): Candidate[] {
    const { verifier } = this.#parts
    const found = this.#index.search(partition, vector, NEIGHBOURS, now, this.#hits)
    const compared = worthComparing(this.#hits.cosines, found)
    const out: Candidate[] = []
    let facts: Facts | null = null
    for (let i = 0; i < compared; i++) {
      const cosine = this.#hits.cosines[i]!
      const slot = this.#slots.get(this.#hits.entries[i]!)
      if (slot === undefined) continue
      facts ??= verifier.facts(text)
      const { entry, group, number, right, wrong } = slot
      const { score, veto } = verifier.compare(facts, verifier.facts(entry.question!), cosine)
      const trusted = !strangers || entry.principal === principal || group.confirmed
      out.push({
        entry: number,
        cosine,
        score,
        veto: veto ?? (trusted ? null : 'unconfirmed'),
        answer: group.id,
        right,
        wrong,
      })
    }
    return out
  }

  #calibrator(scope: Scope): Calibrator {
    const known = this.#calibrators.get(scope.key)
    if (known !== undefined) return known.calibrator
    const { random, replicas } = this.#parts
    const calibrator = new Calibrator({ bound: scope.bound, random, replicas })
    this.#calibrators.set(scope.key, { scope, calibrator })
    return calibrator
  }

  /** The backend has answered: what that says of who would have. text: what the backend says. Returns whether they differ. */
  learn({ scope, entry, wrong }: Look, text: string): boolean | null {
    if (entry === null) return null
    const isWrong = !this.#parts.answers.same(entry.text, text)
    const slot = this.#slots.get(this.#numbers.get(entry.id) ?? -1)
    if (slot !== undefined) {
      if (isWrong) slot.wrong++
      else slot.right++
    }
    this.#calibrators.get(scope)?.calibrator.label(wrong, isWrong)
    return isWrong
  }

  /** Somebody says that a hit was wrong. */
  report(entry: Entry): void {
    this.#calibrators.get(entry.scope)?.calibrator.report()
  }

  /**
   * An answer that may be found by its question from now on. vector: of the question, where it is known already. now: epoch ms.
   * allowed: where it was made it was counted whose it is. False = it will not be found.
   */
  add(entry: Entry, now: number, vector: TextVector | null = null, allowed = false): boolean {
    if (entry.scope === '' || entry.question === null || this.#isTooLong(entry.question)) return false
    if (!this.#quota.take(entry, now) && !allowed) return false
    const known = vector ?? this.#parts.embedder.embed(entry.question)
    if (known instanceof Promise) void known.then((later) => this.#insert(entry, later, now))
    else this.#insert(entry, known, now)
    return true
  }

  /** It is found by what it answers. */
  has({ id }: Entry): boolean {
    return this.#numbers.has(id)
  }

  #insert(entry: Entry, vector: TextVector | null, now: number): void {
    if (vector === null || vector.coverage < this.#parts.embedder.coverageFloor) return
    this.remove(entry)
    const group = this.#groupOf(entry, vector, now)
    const number = this.#index.insert(entry.partition, vector, entry.expiresAt, now)
    if (number < 0) return
    group.add(entry.principal)
    this.#slots.set(number, { entry, number, group, right: 0, wrong: 0 })
    this.#numbers.set(entry.id, number)
  }

  /** Of the neighbours, the group whose answer says the same; else a new one. */
  #groupOf(entry: Entry, vector: TextVector, now: number): AnswerGroup {
    const found = this.#index.search(entry.partition, vector, NEIGHBOURS, now, this.#hits)
    const seen = new Set<AnswerGroup>()
    for (let i = 0; i < found; i++) {
      const slot = this.#slots.get(this.#hits.entries[i]!)
      if (slot === undefined || this.#hits.cosines[i]! < LEAST_COSINE || seen.has(slot.group)) continue
      seen.add(slot.group)
      if (this.#parts.answers.same(slot.entry.text, entry.text)) return slot.group
    }
    return new AnswerGroup(this.#groups++, entry.principal)
  }

  /** It is not kept any more. */
  remove(entry: Entry): void {
    const number = this.#numbers.get(entry.id)
    if (number === undefined) return
    this.#index.remove(number)
    this.#forget(number)
  }

  #forget(number: number): void {
    const slot = this.#slots.get(number)
    if (slot === undefined) return
    this.#slots.delete(number)
    this.#numbers.delete(slot.entry.id)
  }

  /** Drops what has expired, a little at a time. now: epoch ms. */
  sweep(now: number): void {
    this.#index.sweep(now)
  }

  get size(): number {
    return this.#slots.size
  }

  /** Of vectors and their tables. */
  get bytes(): number {
    return this.#index.bytes
  }

  /** How well each scope does. */
  estimates(): readonly ScopeEstimate[] {
    return [...this.#calibrators.values()].map(({ scope: { tenant, model, bound }, calibrator }) => ({
      tenant,
      model,
      bound,
      ...calibrator.estimate(),
    }))
  }

  /** What other workers and replicas have not been told. */
  *news(): Iterable<News> {
    for (const { scope, calibrator } of this.#calibrators.values()) {
      const record = calibrator.take()
      if (record.requests > 0 || record.seenWrong > 0 || record.labels.some((count) => count > 0))
        yield { scope, record }
    }
  }

  /** All that each scope knows, what has not been told among it. */
  *records(): Iterable<News> {
    for (const { scope, calibrator } of this.#calibrators.values()) yield { scope, record: calibrator.record() }
  }

  /** Of an entry's question; null = it is not found by it. */
  vectorOf({ id }: Entry): TextVector | null {
    const found = this.#index.read(this.#numbers.get(id) ?? -1)
    if (found === null) return null
    const values = Int8Array.from(found.values)
    // It would not have been inserted if not enough of it were known.
    return { values, norm: Math.sqrt(values.reduce((sum, value) => sum + value * value, 0)), coverage: 1 }
  }

  /** What another one has learnt. */
  absorb({ scope, record }: News): void {
    this.#calibrator(scope).absorb(record)
  }
}
