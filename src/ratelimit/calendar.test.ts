import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Calendar } from './calendar.ts'

const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/Sao_Paulo',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Asia/Kathmandu',
  'Africa/Cairo',
  'America/St_Johns',
  'Antarctica/Troll',
] as const
const UNITS = ['hour', 'day', 'week', 'month', 'quarter', 'year'] as const

const at = (unit: (typeof UNITS)[number], zone: string, time: string): readonly [string, string] => {
  const calendar = new Calendar(unit, zone)
  calendar.at(Date.parse(time))
  return [new Date(calendar.start).toISOString(), new Date(calendar.end).toISOString()]
}

test.each([
  ['hour', 'Asia/Kathmandu', '2026-01-01T00:00:00Z', '2025-12-31T23:15:00.000Z', '2026-01-01T00:15:00.000Z'],
  ['day', 'Europe/Berlin', '2026-03-29T10:00:00Z', '2026-03-28T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
  ['day', 'Europe/Berlin', '2026-10-25T10:00:00Z', '2026-10-24T22:00:00.000Z', '2026-10-25T23:00:00.000Z'],
  ['week', 'UTC', '2026-11-22T23:59:59Z', '2026-11-16T00:00:00.000Z', '2026-11-23T00:00:00.000Z'],
  ['month', 'Europe/Berlin', '2026-02-28T23:30:00Z', '2026-02-28T23:00:00.000Z', '2026-03-31T22:00:00.000Z'],
  ['quarter', 'UTC', '2026-12-31T23:59:59Z', '2026-10-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
  ['year', 'America/New_York', '2028-02-29T12:00:00Z', '2028-01-01T05:00:00.000Z', '2029-01-01T05:00:00.000Z'],
  // Midnight did not exist on this day, and the 30th of December not at all.
  ['day', 'America/Sao_Paulo', '2018-11-04T12:00:00Z', '2018-11-04T03:00:00.000Z', '2018-11-05T02:00:00.000Z'],
  ['day', 'Pacific/Apia', '2011-12-31T00:00:00Z', '2011-12-30T10:00:00.000Z', '2011-12-31T10:00:00.000Z'],
  // Half an hour back: the hour after the change is one of its own.
  ['hour', 'Australia/Lord_Howe', '2026-04-04T15:10:00Z', '2026-04-04T15:00:00.000Z', '2026-04-04T15:30:00.000Z'],
] as const)('%s in %s at %s', (unit, zone, time, start, end) => {
  expect(at(unit, zone, time)).toEqual([start, end])
})

test('periods have no gap and no overlap, in any zone and over every change of clocks', () => {
  const time = fc.integer({ min: Date.parse('2010-01-01T00:00:00Z'), max: Date.parse('2036-01-01T00:00:00Z') })
  fc.assert(
    fc.property(
      time,
      fc.constantFrom(...ZONES),
      fc.constantFrom(...UNITS),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (now, zone, unit, part) => {
        const one = new Calendar(unit, zone)
        one.at(now)
        expect(one.start).toBeLessThanOrEqual(now)
        expect(one.end).toBeGreaterThan(now)
        const fresh = new Calendar(unit, zone)
        for (const inside of [one.start, one.end - 1, Math.floor(one.start + part * (one.end - one.start - 1))]) {
          fresh.end = 0
          fresh.at(inside)
          expect([fresh.start, fresh.end]).toEqual([one.start, one.end])
        }
        fresh.at(one.end)
        expect(fresh.start).toBe(one.end)
      },
    ),
    { numRuns: 1000 },
  )
})

test('near the changes themselves too', () => {
  for (const zone of ZONES) {
    let next = Temporal.Instant.from('2010-01-01T00:00Z').toZonedDateTimeISO(zone).getTimeZoneTransition('next')
    for (let count = 0; next !== null && count < 40; count++) {
      for (const unit of UNITS) {
        for (const shift of [-1, 0, 1, 1_799_999, 3_600_000]) {
          const calendar = new Calendar(unit, zone)
          calendar.at(next.epochMilliseconds + shift)
          const { start, end } = calendar
          const again = new Calendar(unit, zone)
          again.at(end - 1)
          expect([zone, unit, again.start, again.end]).toEqual([zone, unit, start, end])
          again.at(end)
          expect([zone, unit, again.start]).toEqual([zone, unit, end])
        }
      }
      next = next.getTimeZoneTransition('next')
    }
  }
})
