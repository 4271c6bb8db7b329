/**
 * Sums of usage records, as `heddle usage` prints them. Exact: money is added in billionths of a dollar. Bounded: lines
 * are read one by one, and groups beyond the limit are added up in one of their own.
 */

/** More are one group, `(others)`. */
const MAX_GROUPS = 100_000
export const OTHERS = '(others)'

/** Field of a record by the name of a dimension. */
const FIELDS: Readonly<Record<string, string>> = {
  tenant: 'tenant',
  team: 'team',
  user: 'user',
  key: 'key_id',
  peer: 'peer',
  namespace: 'namespace',
  service_account: 'service_account',
  model: 'model',
  route: 'route',
  provider: 'provider',
  target: 'target',
  answered: 'model_answered',
  operation: 'operation',
  outcome: 'outcome',
  status: 'status',
  tier: 'tier',
}
/** How much of `2026-11-22T13:45:01.000Z` a period is. */
const PERIODS: Readonly<Record<string, number>> = { month: 7, day: 10, hour: 13 }

export const DIMENSIONS: readonly string[] = [...Object.keys(FIELDS), ...Object.keys(PERIODS), 'label:NAME']

export const isDimension = (name: string): boolean =>
  Object.hasOwn(FIELDS, name) || Object.hasOwn(PERIODS, name) || /^label:./.test(name)

export interface ReportOptions {
  readonly by: readonly string[]
  /** Epoch ms: from, and up to but without. */
  readonly since: number
  readonly until: number
  readonly where: readonly (readonly [dimension: string, value: string])[]
}

export interface Group {
  readonly key: readonly string[]
  requests: number
  errors: number
  inputTokens: number
  outputTokens: number
  cachedTokens: number
  nanoUsd: bigint
  /** Records whose cost is an estimate, or whose price is not known. */
  estimated: number
  unpriced: number
}

type Fields = Readonly<Record<string, unknown>>

const newGroup = (key: readonly string[]): Group => ({
  key,
  requests: 0,
  errors: 0,
  inputTokens: 0,
  outputTokens: 0,
  cachedTokens: 0,
  nanoUsd: 0n,
  estimated: 0,
  unpriced: 0,
})

/** Billionths of a dollar out of `0.000001234`; null = no amount of money. */
export function parseUsd(text: unknown): bigint | null {
  if (typeof text !== 'string') return null
  const match = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text)
  return match === null ? null : BigInt(match[1]!) * 1_000_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'))
}

/** Billionths of a dollar as a decimal text with all nine digits. */
export function printUsd(nano: bigint): string {
  return `${nano / 1_000_000_000n}.${String(nano % 1_000_000_000n).padStart(9, '0')}`
}

const number = (value: unknown): number => (typeof value === 'number' && value > 0 ? value : 0)
const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}

function valueOf(record: Fields, dimension: string): string {
  if (dimension.startsWith('label:')) return show(fieldsOf(record['labels'])[dimension.slice(6)])
  const period = PERIODS[dimension]
  if (period !== undefined) return show(record['time']).slice(0, period)
  return show(record[FIELDS[dimension] ?? dimension])
}

const show = (value: unknown): string =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''

/** Splits a record by attempts: where the money of the losing ones went is another target than the answer's. */
function partsOf(record: Fields): readonly Fields[] {
  const attempts = record['attempts']
  if (!Array.isArray(attempts) || attempts.length === 0) return [record]
  const answered = attempts.findIndex((attempt) => fieldsOf(attempt)['result'] === 'ok')
  return attempts.map((attempt: unknown, i) => {
    const { target, cost_usd, estimated, priced, input_tokens, output_tokens, cached_input_tokens } = fieldsOf(attempt)
    const name = show(target)
    const provider = name.slice(0, Math.max(0, name.indexOf('/')))
    const own = { target, provider, cost_usd, estimated, priced, input_tokens, output_tokens, cached_input_tokens }
    return { ...record, ...own, counts: i === (answered < 0 ? attempts.length - 1 : answered) }
  })
}

export class Report {
  readonly #options: ReportOptions
  readonly #byAttempt: boolean
  readonly #groups = new Map<string, Group>()
  readonly total = newGroup(['total'])
  /** Lines that are no record. */
  skipped = 0

  constructor(options: ReportOptions) {
    this.#options = options
    const splitting = (dimension: string): boolean => dimension === 'provider' || dimension === 'target'
    this.#byAttempt = options.by.some(splitting) || options.where.some(([dimension]) => splitting(dimension))
  }

  addLine(line: string): void {
    if (line === '' || line === '\r') return
    let record: Fields
    try {
      record = fieldsOf(JSON.parse(line))
    } catch {
      this.skipped++
      return
    }
    const time = Date.parse(show(record['time']))
    if (Number.isNaN(time) || parseUsd(record['cost_usd']) === null) {
      this.skipped++
      return
    }
    const { since, until } = this.#options
    if (time < since || time >= until) return
    for (const part of this.#byAttempt ? partsOf(record) : [record]) this.#add(part)
  }

  #add(part: Fields): void {
    const { by, where } = this.#options
    if (!where.every(([dimension, value]) => valueOf(part, dimension) === value)) return
    const key = by.map((dimension) => valueOf(part, dimension))
    add(this.#group(key), part)
    add(this.total, part)
  }

  #group(key: readonly string[]): Group {
    const name = JSON.stringify(key)
    const known = this.#groups.get(name)
    if (known !== undefined) return known
    if (this.#groups.size >= MAX_GROUPS && key[0] !== OTHERS) return this.#group(key.map(() => OTHERS))
    const group = newGroup(key)
    this.#groups.set(name, group)
    return group
  }

  /** The dearest first, then by requests and name. */
  groups(): readonly Group[] {
    return [...this.#groups.values()].sort((a, b) => {
      if (a.nanoUsd !== b.nanoUsd) return a.nanoUsd < b.nanoUsd ? 1 : -1
      return b.requests - a.requests || (a.key.join('\n') < b.key.join('\n') ? -1 : 1)
    })
  }
}

function add(group: Group, part: Fields): void {
  if (part['counts'] !== false) {
    group.requests++
    if (part['outcome'] !== 'ok') group.errors++
  }
  group.inputTokens += number(part['input_tokens'])
  group.outputTokens += number(part['output_tokens'])
  group.cachedTokens += number(part['cached_input_tokens'])
  group.nanoUsd += parseUsd(part['cost_usd']) ?? 0n
  if (part['estimated'] === true) group.estimated++
  if (part['priced'] === false) group.unpriced++
}
