import { hash } from 'node:crypto'
import type { LimitConfig, LimitRule, LimitScope, LimitUnit, StoreFailurePolicy } from '../contracts/config-limits.ts'
import type { Amounts, Estimate } from '../contracts/admission.ts'
import { Calendar } from './calendar.ts'

/** Parts of a sliding window. What was counted leaves the window up to one part late, never early. */
export const PARTS = 20
/** Parts that any stretch of one window can touch. */
export const RING = PARTS + 1

/** Part of a limit that one guess may take. */
const GUESSED_PART = 0.25

export const NANO = 1_000_000_000

/** How a counter counts: in a ring of parts, in a period of the calendar, or what is under way. */
export const WINDOW = 1
export const CALENDAR = 2
export const OPEN = 3
type Kind = typeof WINDOW | typeof CALENDAR | typeof OPEN

/** A rule of a limit, compiled. */
export interface Rule {
  readonly limit: string
  readonly unit: LimitUnit
  readonly kind: Kind
  /** WINDOW only, ms. */
  readonly windowMs: number
  /** CALENDAR only; shared by all rules of one unit and zone. */
  readonly calendar: Calendar | null
  /** `sliding:60000`, `month:Europe/Berlin`, `open`: part of what a counter is known by. */
  readonly period: string
  /** In whole units; money in billionths of a dollar. */
  readonly amount: number
  readonly shadow: boolean
  readonly stopStreams: boolean
  readonly onStoreFailure: StoreFailurePolicy
}

export interface ScopePart {
  readonly kind: LimitScope['kind']
  readonly value: string
}

const calendars = new Map<string, Calendar>()

const calendarOf = (rule: LimitRule): Calendar | null => {
  if (rule.period.kind !== 'calendar') return null
  const { unit, zone } = rule.period
  const key = `${unit}:${zone}`
  let calendar = calendars.get(key)
  if (calendar === undefined) calendars.set(key, (calendar = new Calendar(unit, zone)))
  return calendar
}

const KINDS = { sliding: WINDOW, calendar: CALENDAR, open: OPEN } as const

/** A configured amount in the whole units that are counted. */
export const inUnits = (unit: LimitUnit, amount: number): number =>
  unit === 'usd' ? Math.round(amount * NANO) : Math.floor(amount)

type LimitTraits = Pick<LimitConfig, 'name' | 'shadow' | 'stopStreams' | 'onStoreFailure'>

const toRule = (rule: LimitRule, { name, shadow, stopStreams, onStoreFailure }: LimitTraits): Rule => {
  const calendar = calendarOf(rule)
  const windowMs = rule.period.kind === 'sliding' ? rule.period.windowMs : 0
  const period =
    calendar === null ? (windowMs > 0 ? `sliding:${windowMs}` : 'open') : `${calendar.unit}:${calendar.zone}`
  const amount = inUnits(rule.unit, rule.amount)
  const kind = KINDS[rule.period.kind]
  return { limit: name, unit: rule.unit, kind, windowMs, calendar, period, amount, shadow, stopStreams, onStoreFailure }
}

/** Compiles the rules of one limit. Of two with the same unit and period the lower amount holds. */
export const toRules = (rules: readonly LimitRule[], traits: LimitTraits): readonly Rule[] => {
  const found = new Map<string, Rule>()
  for (const rule of rules.map((item) => toRule(item, traits))) {
    const key = `${rule.unit} ${rule.period}`
    const present = found.get(key)
    if (present === undefined || present.amount > rule.amount) found.set(key, rule)
  }
  return [...found.values()]
}

/** What one call costs a counter of the unit. Requests and places under way count 1 each. */
export const costOf = (unit: LimitUnit, amounts: Amounts): number => {
  switch (unit) {
    case 'requests':
    case 'concurrency':
      return 1
    case 'input_tokens':
      return amounts.inputTokens
    case 'output_tokens':
      return amounts.outputTokens
    case 'tokens':
      return amounts.inputTokens + amounts.outputTokens
    case 'usd':
      return amounts.nanoUsd
  }
}

/** Separates the parts of a label: cannot be typed by accident, and is replaced where a value holds it. */
const SEPARATOR = '\u001F'

/** One rule for one combination of scope values. Made once and kept, so that a request builds no strings. */
export class Counter {
  readonly rule: Rule
  readonly scope: readonly ScopePart[]
  /**
   * What it is known by everywhere: 64 bits of SHA-256 over limit, unit, period and scope. Cryptographic because users
   * choose parts of it, and must not be able to choose somebody else's counter.
   */
  readonly hi: number
  readonly lo: number
  /** 16 hex digits of the same. */
  readonly id: string
  /** Names for listings. */
  readonly label: string
  /** Counters with one tag can be counted together on a Redis cluster: those of a tenant, or of one scope of a limit. */
  readonly tag: string
  /** What holds now, in whole units: the rule's amount, or an override. */
  amount: number
  /** Where the table of the process had it last; only a hint. */
  slot = -1

  constructor(rule: Rule, scope: readonly ScopePart[], tenant: string) {
    this.rule = rule
    this.scope = scope
    this.amount = rule.amount
    // Keys, users and teams belong to their tenant: names that two tenants both use are two counters.
    const owner = scope.some((part) => isOwned(part.kind)) ? tenant : ''
    const values = scope.map(({ kind, value }) => [kind, value])
    const digest = hash('sha256', JSON.stringify([rule.limit, rule.unit, rule.period, owner, values]), 'buffer')
    // Zero twice means an empty slot. In the digest itself: the id is told from either, and must be the same.
    digest[4] = digest[4]! | 1
    this.hi = digest.readInt32LE(0)
    this.lo = digest.readInt32LE(4)
    this.id = digest.toString('hex', 0, 8)
    const together = owner === '' ? JSON.stringify([rule.limit, values]) : owner
    this.tag = `${owner === '' ? 'l' : 't'}-${hash('sha256', together, 'hex').slice(0, 16)}`
    this.label = [rule.limit, rule.unit, rule.period, this.tag, ...values.flat()]
      .map((part) => part.replaceAll(SEPARATOR, ' '))
      .join(SEPARATOR)
  }

  /** `limit acme (tenant=x) tokens sliding:60000`: for the log. */
  toString(): string {
    return describe(this.rule, this.scope)
  }
}

const isOwned = (kind: ScopePart['kind']): boolean =>
  kind === 'key' || kind === 'user' || kind === 'team' || kind === 'tenant'

const describe = (rule: Rule, scope: readonly ScopePart[]): string =>
  `limit ${rule.limit}${scope.map(({ kind, value }) => ` ${kind}=${value}`).join('')} ${rule.unit} per ${rule.period}`

export interface LabelParts {
  readonly limit: string
  readonly unit: LimitUnit
  readonly period: string
  /** Of Counter.tag. */
  readonly tag: string
  readonly scope: readonly ScopePart[]
}

/** The inverse of Counter.label; a label that was cut lacks the end of its last value. */
export const readLabel = (label: string): LabelParts => {
  const [limit = '', unit = '', period = '', tag = '', ...rest] = label.split(SEPARATOR)
  const scope: ScopePart[] = []
  for (let i = 0; i + 1 < rest.length; i += 2) scope.push({ kind: rest[i] as ScopePart['kind'], value: rest[i + 1]! })
  return { limit, unit: unit as LimitUnit, period, tag, scope }
}

/** The counters of one request, those of one limit beside each other. Built once for a principal and model. */
export class CounterSet {
  readonly counters: readonly Counter[]
  readonly windows: boolean
  readonly calendars: boolean
  readonly shadows: boolean
  readonly stopStreams: boolean
  /** Places of the counters whose room is told in `x-ratelimit-*` headers. */
  readonly requests: readonly number[]
  readonly tokens: readonly number[]
  /** The most that a guess may take: so that a wrong one leaves room for others. Infinity = nothing counts it. */
  readonly #mostOutput: number
  readonly #mostTokens: number
  readonly #mostNanoUsd: number

  constructor(counters: readonly Counter[]) {
    this.counters = counters
    this.windows = counters.some(({ rule }) => rule.kind === WINDOW)
    this.calendars = counters.some(({ rule }) => rule.kind === CALENDAR)
    this.shadows = counters.some(({ rule }) => rule.shadow)
    this.stopStreams = counters.some(({ rule }) => rule.stopStreams)
    const places = (fits: (unit: LimitUnit) => boolean): readonly number[] =>
      counters.flatMap(({ rule }, i) => (!rule.shadow && fits(rule.unit) ? [i] : []))
    this.requests = places((unit) => unit === 'requests')
    this.tokens = places((unit) => unit.endsWith('tokens'))
    const most = (unit: LimitUnit): number => {
      const amounts = counters.flatMap(({ rule, amount }) => (rule.unit === unit && !rule.shadow ? [amount] : []))
      return Math.ceil(Math.min(Infinity, ...amounts) * GUESSED_PART)
    }
    this.#mostOutput = most('output_tokens')
    this.#mostTokens = most('tokens')
    this.#mostNanoUsd = most('usd')
  }

  /** What is to be taken for a call: of what is only guessed no more than a part of the smallest limit. */
  toTake(estimate: Estimate): Amounts {
    if (estimate.guessed !== true) return estimate
    const { inputTokens, outputTokens, nanoUsd } = estimate
    const most = Math.min(this.#mostOutput, this.#mostTokens)
    if (outputTokens <= most && nanoUsd <= this.#mostNanoUsd) return estimate
    return {
      inputTokens,
      outputTokens: Math.min(outputTokens, most),
      nanoUsd: Math.min(nanoUsd, this.#mostNanoUsd),
    }
  }
}
