import type { CalendarUnit, LimitRule, LimitUnit } from '../contracts/config-limits.ts'
import { formatDuration, parseDuration } from '../config/units.ts'

const UNITS: readonly LimitUnit[] = ['requests', 'input_tokens', 'output_tokens', 'tokens', 'usd', 'concurrency']
const CALENDAR: readonly CalendarUnit[] = ['hour', 'day', 'week', 'month', 'quarter', 'year']

/** As the configuration bounds them. */
const MAX_COUNT = 1_000_000_000_000
const MAX_USD = 9_000_000
const MIN_WINDOW_MS = 1000

const FORM = /^([a-z_]{1,20})=(\d{1,13}(?:\.\d{1,9})?)(?:\/([a-z0-9.]{1,16})(?:@([A-Za-z0-9_+/-]{1,64}))?)?$/

const isUnit = (text: string): text is LimitUnit => (UNITS as readonly string[]).includes(text)
const isCalendar = (text: string): text is CalendarUnit => (CALENDAR as readonly string[]).includes(text)

const zoneOf = (name: string): string | null => {
  try {
    return /^[+-]/.test(name) ? null : new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone
  } catch {
    return null
  }
}

/**
 * One limit in the short form of tokens and of the command line: `requests=60/1m` (in any stretch of a minute),
 * `usd=50/month@Europe/Berlin` (calendar, with a time zone; default UTC), `concurrency=8`. null = it is none.
 */
export const parseLimit = (text: string): LimitRule | null => {
  const [, unit = '', number = '', per, zone] = FORM.exec(text) ?? []
  if (!isUnit(unit)) return null
  const amount = Number(number)
  if (unit === 'usd' ? amount > MAX_USD : amount > MAX_COUNT || !Number.isInteger(amount)) return null
  if (unit === 'concurrency') return per === undefined ? { unit, amount, period: { kind: 'open' } } : null
  if (per === undefined) return null
  if (isCalendar(per)) {
    const known = zoneOf(zone ?? 'UTC')
    return known === null ? null : { unit, amount, period: { kind: 'calendar', unit: per, zone: known } }
  }
  const windowMs = parseDuration(per)
  if (windowMs === undefined || windowMs < MIN_WINDOW_MS || zone !== undefined) return null
  return { unit, amount, period: { kind: 'sliding', windowMs } }
}

/** The inverse of `parseLimit`. */
export const formatLimit = ({ unit, amount, period }: LimitRule): string => {
  if (period.kind === 'open') return `${unit}=${amount}`
  if (period.kind === 'sliding') return `${unit}=${amount}/${formatDuration(period.windowMs)}`
  return `${unit}=${amount}/${period.unit}${period.zone === 'UTC' ? '' : `@${period.zone}`}`
}

/** A list of such texts, at most 50. null = not such a list, or one of them is none. */
export const parseLimits = (value: unknown): readonly LimitRule[] | null => {
  if (!Array.isArray(value) || value.length > 50) return null
  const rules = (value as readonly unknown[]).map((item) => (typeof item === 'string' ? parseLimit(item) : null))
  return rules.includes(null) ? null : rules.filter((rule) => rule !== null)
}
