import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatDuration, formatSize, MAX_DURATION_MS, parseDuration, parsePercent, parseSize } from './units.ts'

test.each([
  ['0s', 0],
  ['500ms', 500],
  ['1.5s', 1500],
  ['30s', 30_000],
  ['10m', 600_000],
  ['1h', 3_600_000],
  ['30d', MAX_DURATION_MS],
  ['31d', undefined],
  ['5', undefined],
  ['5 s', undefined],
  ['-5s', undefined],
  ['1m30s', undefined],
  ['5S', undefined],
  ['', undefined],
  ['99999999999s', undefined],
])('duration %s', (text, expected) => {
  expect(parseDuration(text)).toBe(expected)
})

test.each([
  ['64KiB', 65_536],
  ['1MB', 1_000_000],
  ['1.5MiB', 1_572_864],
  ['10B', 10],
  ['1024GiB', 1024 ** 4],
  ['1025GiB', undefined],
  ['10', undefined],
  ['1kb', undefined],
  ['1 MB', undefined],
])('size %s', (text, expected) => {
  expect(parseSize(text)).toBe(expected)
})

test.each([
  ['20%', 0.2],
  ['0%', 0],
  ['100%', 1],
  ['0.5%', 0.005],
  ['101%', undefined],
  ['-1%', undefined],
  ['20', undefined],
])('percent %s', (text, expected) => {
  expect(parsePercent(text)).toBe(expected)
})

test('formatting is the inverse of parsing', () => {
  fc.assert(fc.property(fc.nat(MAX_DURATION_MS), (ms) => parseDuration(formatDuration(ms)) === ms))
  fc.assert(fc.property(fc.nat(999_999_999), (bytes) => parseSize(formatSize(bytes)) === bytes))
})
