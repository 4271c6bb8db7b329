import type { CalibrationRecord } from './decide/ledger.ts'
import type { News, Scope } from './semantic.ts'
import { isRecord } from './decide/ledger.ts'

/** All that one who counts has counted in one scope, from its beginning. */
export interface Total extends News {
  /** Who counts; has no other meaning. */
  readonly life: string
}

/** Changes of traffic that a scope can see; what says more was not written by us. */
const MAX_EPOCH = 100_000

const sums = (a: readonly number[], b: readonly number[]): number[] => a.map((value, i) => value + (b[i] ?? 0))
const mosts = (a: readonly number[], b: readonly number[]): number[] => a.map((value, i) => Math.max(value, b[i] ?? 0))
const mores = (a: readonly number[], b: readonly number[]): number[] =>
  a.map((value, i) => Math.max(0, value - (b[i] ?? 0)))

type Join = (a: readonly number[], b: readonly number[]) => number[]

function joined(a: CalibrationRecord, b: CalibrationRecord, join: Join): CalibrationRecord {
  const [requests, hits, seenWrong] = join([a.requests, a.hits, a.seenWrong], [b.requests, b.hits, b.seenWrong])
  const labels = join(a.labels, b.labels)
  // Never more wrong ones than there are.
  const wrong = join(a.wrong, b.wrong).map((count, band) => Math.min(count, labels[band]!))
  const served = join(a.served, b.served)
  return { epoch: a.epoch, requests: requests!, hits: hits!, seenWrong: seenWrong!, labels, wrong, served }
}

const isNothing = ({ requests, hits, seenWrong, labels, served }: CalibrationRecord): boolean =>
  requests + hits + seenWrong === 0 && [...labels, ...served].every((count) => count === 0)

/**
 * What everybody has counted, by who has. Only totals are told, and each by one who counts: to be told one twice, late or in
 * any order changes nothing (a grow-only counter: Shapiro et al., A comprehensive study of CRDTs, 2011, 3.1.1).
 */
export class SharedCounts {
  readonly #known = new Map<string, CalibrationRecord>()
  readonly #own = new Map<string, News>()
  readonly #dirty = new Set<string>()
  #life: string

  constructor(life: string) {
    this.#life = life
  }

  get life(): string {
    return this.#life
  }

  /** Nothing is counted under this life. */
  get empty(): boolean {
    return this.#own.size === 0
  }

  get dirty(): boolean {
    return this.#dirty.size > 0
  }

  /** Counts as another from now on; what it had counted is told by `learn`. */
  become(life: string): void {
    this.#life = life
    this.#own.clear()
    this.#dirty.clear()
  }

  /** Has been counted here. */
  count({ scope, record }: News): void {
    const had = this.#own.get(scope.key)?.record
    if (had !== undefined && record.epoch < had.epoch) return
    const total = had === undefined || record.epoch > had.epoch ? record : joined(record, had, sums)
    this.#keep({ scope, record: total })
    this.#dirty.add(scope.key)
  }

  #keep({ scope, record }: News): void {
    this.#own.set(scope.key, { scope, record })
    this.#known.set(nameOf(this.#life, scope), record)
  }

  /** Returns what of it is new; null = nothing. */
  learn({ life, scope, record }: Total): News | null {
    const name = nameOf(life, scope)
    const had = this.#known.get(name)
    if (had !== undefined && record.epoch < had.epoch) return null
    const isFirst = had === undefined || record.epoch > had.epoch
    const more = isFirst ? record : joined(record, had, mores)
    const all = isFirst ? record : joined(record, had, mosts)
    this.#known.set(name, all)
    if (life === this.#life) this.#keep({ scope, record: all })
    return isNothing(more) ? null : { scope, record: more }
  }

  /** Totals that the others have not been told, at most so many. Call `told` when they have been. */
  untold(most: number): readonly Total[] {
    const out: Total[] = []
    for (const key of this.#dirty) {
      if (out.length >= most) break
      out.push({ life: this.#life, ...this.#own.get(key)! })
    }
    return out
  }

  /** What was counted since `untold` is still to be. */
  told(totals: readonly Total[]): void {
    for (const { life, scope, record } of totals)
      if (life === this.#life && this.#own.get(scope.key)?.record === record) this.#dirty.delete(scope.key)
  }

  /** Where they were told they may be lost. */
  tellAgain(): void {
    for (const key of this.#own.keys()) this.#dirty.add(key)
  }
}

const nameOf = (life: string, { key }: Scope): string => `${life} ${key}`

/** null = it is none. Never throws. */
export function totalOf(bytes: Uint8Array): Total | null {
  try {
    const total = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>
    const { life, scope, record } = total
    if (typeof life !== 'string' || !isScope(scope) || !isRecord(record) || !(record.epoch <= MAX_EPOCH)) return null
    return { life, scope, record }
  } catch {
    return null
  }
}

export function isScope(value: unknown): value is Scope {
  if (typeof value !== 'object' || value === null) return false
  const { key, tenant, model, bound } = value as Record<string, unknown>
  if (![key, tenant, model].every((text) => typeof text === 'string')) return false
  if (typeof bound !== 'object' || bound === null) return false
  const { measure, bound: share, confidence } = bound as Record<string, unknown>
  const known = measure === 'wrong_per_request' || measure === 'wrong_per_hit'
  return known && [share, confidence].every((part) => typeof part === 'number' && part > 0 && part < 1)
}
