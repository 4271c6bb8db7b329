import type { CalendarUnit } from '../contracts/config-limits.ts'

const HOUR_MS = 3_600_000

const firstDate = (date: Temporal.PlainDate, unit: CalendarUnit): Temporal.PlainDate => {
  switch (unit) {
    case 'week':
      // ISO 8601: weeks begin on Monday, day 1.
      return date.subtract({ days: date.dayOfWeek - 1 })
    case 'month':
      return date.with({ day: 1 })
    case 'quarter':
      return date.with({ day: 1, month: date.month - ((date.month - 1) % 3) })
    case 'year':
      return date.with({ day: 1, month: 1 })
    case 'hour':
    case 'day':
      return date
  }
}

const LENGTH = {
  day: { days: 1 },
  week: { weeks: 1 },
  month: { months: 1 },
  quarter: { months: 3 },
  year: { years: 1 },
} as const

/**
 * The calendar period of one unit and zone that is under way, remembered until it ends. Periods follow each other without
 * gap or overlap, also where clocks are changed: days have 23 or 25 hours then, and a day whose midnight is skipped
 * begins at the first moment it has.
 */
export class Calendar {
  readonly unit: CalendarUnit
  readonly zone: string
  /** Of the period of the last `at`: epoch ms, first moment in it and first moment after it. */
  start = 0
  end = 0

  /** zone: IANA name. Throws RangeError on first use when there is none of the name. */
  constructor(unit: CalendarUnit, zone: string) {
    this.unit = unit
    this.zone = zone
  }

  /** Moves start and end to the period that holds `now`, epoch ms. */
  at(now: number): void {
    if (now < this.end && now >= this.start) return
    const local = Temporal.Instant.fromEpochMilliseconds(Math.floor(now)).toZonedDateTimeISO(this.zone)
    if (this.unit === 'hour') this.#hour(local, now)
    else this.#dates(local.toPlainDate(), LENGTH[this.unit], now)
  }

  #hour(local: Temporal.ZonedDateTime, now: number): void {
    const offsetMs = local.offsetNanoseconds / 1e6
    const start = now - ((((now + offsetMs) % HOUR_MS) + HOUR_MS) % HOUR_MS)
    // Clocks may change by half an hour: such an hour ends, or begins, when they do.
    const changed = local.add({ nanoseconds: 1 }).getTimeZoneTransition('previous')?.epochMilliseconds ?? start
    const changes = local.getTimeZoneTransition('next')?.epochMilliseconds ?? Infinity
    this.start = Math.floor(Math.max(start, changed))
    this.end = Math.ceil(Math.min(start + HOUR_MS, changes))
  }

  #dates(date: Temporal.PlainDate, length: Temporal.DurationLike, now: number): void {
    let next = firstDate(date, this.unit)
    let end = next.toZonedDateTime(this.zone).epochMilliseconds
    // More than one step only where clocks go back over midnight: the day that returns is over all the same.
    do {
      this.start = end
      next = next.add(length)
      end = next.toZonedDateTime(this.zone).epochMilliseconds
    } while (end <= now)
    this.end = end
  }
}
