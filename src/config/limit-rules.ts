import { z } from 'zod'
import type { CalendarUnit, LimitPeriod, LimitRule, LimitUnit } from '../contracts/config-limits.ts'
import { duration, optional } from './fields.ts'
import type { Build } from './build.ts'
import type { Path } from './problem.ts'

const UNITS = ['requests', 'input_tokens', 'output_tokens', 'tokens', 'usd', 'concurrency'] as const
const CALENDAR = ['hour', 'day', 'week', 'month', 'quarter', 'year'] as const satisfies readonly CalendarUnit[]

/** Money is counted in billionths of a dollar, and doubles are exact up to 9e15 of them. */
const MAX_USD = 9_000_000
/** Sums over scopes stay exact. */
const MAX_COUNT = 1_000_000_000_000
/** A window has 20 parts, and parts below 50 ms would be finer than the clocks that count them. */
export const MIN_WINDOW_MS = 1000

const PER_HELP = 'must be a duration such as `1m` or `24h`, or one of hour, day, week, month, quarter, year'
const RANGE = `must be from 0 to ${MAX_COUNT}`

const count = (description: string) =>
  optional(z.number().int().min(0, { error: RANGE }).max(MAX_COUNT, { error: RANGE }), description)

/** One limit: how much of one unit, and per what. What the schema cannot say, `toLimitRules` checks. */
export const limitRuleSchema = z
  .strictObject({
    requests: count('Requests.'),
    input_tokens: count('Tokens of prompts.'),
    output_tokens: count('Tokens of answers.'),
    tokens: count('Tokens of prompts and answers together.'),
    usd: optional(
      z
        .number()
        .min(0, { error: `must be from 0 to ${MAX_USD}` })
        .max(MAX_USD, { error: `must be from 0 to ${MAX_USD}` }),
      'Money, US dollars.',
    ),
    concurrency: count('Requests under way at a time; takes no `per`.'),
    per: optional(
      z.union([z.enum(CALENDAR), duration], { error: PER_HELP }),
      'A duration such as `1m`: at most the amount in any stretch of that length. Or a calendar period (`hour`, `day`, `week` from Monday, `month`, `quarter`, `year`): at most the amount from its beginning to its end.',
    ),
    zone: optional(
      z.string().max(64, { error: 'longer than 64 characters' }),
      'IANA time zone in which calendar periods begin, such as `Europe/Berlin`; UTC when left out.',
    ),
  })
  .meta({ id: 'LimitRule', title: 'limit rule' })

export type ParsedLimitRule = z.output<typeof limitRuleSchema>

type Report = (field: string | null, message: string) => void

/** Canonical spelling of an IANA zone; undefined when there is none of the name. */
const zoneOf = (name: string): string | undefined => {
  try {
    // Offsets such as `+02:00` are accepted by Intl and are no zones: their summer time never comes.
    if (/^[+-]/.test(name)) return undefined
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone
  } catch {
    return undefined
  }
}

const isCalendar = (per: string | number): per is CalendarUnit =>
  (CALENDAR as readonly (string | number)[]).includes(per)

const periodOf = (rule: ParsedLimitRule, unit: LimitUnit, report: Report): LimitPeriod | undefined => {
  const { per, zone } = rule
  if (unit === 'concurrency') {
    if (per !== undefined) report('per', '`concurrency` counts what is under way and takes no `per`')
    if (zone !== undefined) report('zone', '`concurrency` takes no `zone`')
    return per === undefined && zone === undefined ? { kind: 'open' } : undefined
  }
  if (per === undefined) {
    report(null, `\`per\` is missing: \`${unit}: ..., per: 1m\` or \`per: month\``)
    return undefined
  }
  if (!isCalendar(per)) {
    if (zone !== undefined) report('zone', 'only calendar periods have a zone: a sliding window is the same everywhere')
    if (per < MIN_WINDOW_MS) report('per', 'must be at least 1s')
    return zone === undefined && per >= MIN_WINDOW_MS ? { kind: 'sliding', windowMs: per } : undefined
  }
  const known = zoneOf(zone ?? 'UTC')
  if (known === undefined) report('zone', 'is not an IANA time zone such as `Europe/Berlin`')
  return known === undefined ? undefined : { kind: 'calendar', unit: per, zone: known }
}

const toRule = (rule: ParsedLimitRule, report: Report): LimitRule | undefined => {
  const given = UNITS.filter((name) => rule[name] !== undefined)
  const [unit, second] = given
  if (unit === undefined) {
    report(null, `must limit one of ${UNITS.join(', ')}`)
    return undefined
  }
  if (second !== undefined) {
    report(second, `one entry limits one unit, and this one has \`${unit}\` already: write two entries`)
    return undefined
  }
  const period = periodOf(rule, unit, report)
  return period === undefined ? undefined : { unit, amount: rule[unit] ?? 0, period }
}

/** Rules of one list of the configuration; faults are reported at their place and the faulty rule is left out. */
export const toLimitRules = (
  parsed: readonly ParsedLimitRule[],
  path: Path,
  { map, problems }: Pick<Build, 'map' | 'problems'>,
): readonly LimitRule[] =>
  parsed.flatMap((rule, index) => {
    const report: Report = (field, message) => {
      const at = field === null ? [...path, index] : [...path, index, field]
      problems.push(map.problem(at, message, field === null ? 'value' : 'key'))
    }
    return toRule(rule, report) ?? []
  })

const listSchema = z.array(limitRuleSchema).max(50)

/** Rules that a token carries, in the form of the configuration. null = not such a list, or one of them is faulty. */
export const readLimitRules = (value: unknown): readonly LimitRule[] | null => {
  const parsed = listSchema.safeParse(value)
  if (!parsed.success) return null
  const rules = parsed.data.flatMap((rule) => toRule(rule, () => undefined) ?? [])
  return rules.length === parsed.data.length ? rules : null
}
