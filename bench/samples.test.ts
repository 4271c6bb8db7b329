import { expect, test } from 'vitest'
import { closingLine, judge, wasBusy } from './report.ts'
import { Samples } from './samples.ts'
import { DIRECT, FLOOR, HEDDLE } from './targets.ts'

const twoRounds = (metric: string, heddle: readonly number[], floor: readonly number[]): Samples => {
  const samples = new Samples()
  heddle.forEach((value, round) => samples.add(HEDDLE, metric, round, value))
  floor.forEach((value, round) => samples.add(FLOOR, metric, round, value))
  return samples
}

test('a ratio compares what was measured in the same round', () => {
  // The machine was half as fast in the second round: medians over all rounds would say 1.0.
  const samples = twoRounds('cpu.chat', [120, 240, 120], [100, 200, 100])
  expect(samples.ratio(HEDDLE, FLOOR, 'cpu.chat')).toBeCloseTo(1.2)
  expect(samples.difference(HEDDLE, FLOOR, 'cpu.chat')).toBe(20)
})

test('a round without a partner counts for nothing', () => {
  const samples = twoRounds('cpu.chat', [120, 500], [100])
  expect(samples.ratio(HEDDLE, FLOOR, 'cpu.chat')).toBeCloseTo(1.2)
  expect(new Samples().ratio(HEDDLE, FLOOR, 'cpu.chat')).toBeNull()
})

const verdictOf = (samples: Samples, name: string): boolean | null | undefined =>
  judge(samples, [1000]).find((bar) => bar.name.startsWith(name))?.met

test('a bar is met up to its limit, not met above it, and neither when it was not measured', () => {
  expect(verdictOf(twoRounds('cpu.chat', [130], [100]), 'small JSON')).toBe(true)
  expect(verdictOf(twoRounds('cpu.chat', [131], [100]), 'small JSON')).toBe(false)
  expect(verdictOf(new Samples(), 'small JSON')).toBeNull()
  expect(verdictOf(twoRounds('stream.1000', [25.1], [40]), 'idle stream')).toBe(false)
})

test('the tail bar compares what each adds to the backend alone', () => {
  const samples = twoRounds('half.p99', [3100], [2000])
  samples.add(DIRECT, 'half.p99', 0, 1000)
  expect(verdictOf(samples, 'added p99')).toBe(false)
  samples.add(HEDDLE, 'half.p99', 0, 3000)
  expect(verdictOf(samples, 'added p99')).toBe(true)
})

test('the closing line names what is not met and what was not measured', () => {
  const samples = twoRounds('cpu.chat', [140], [100])
  const line = closingLine(samples, judge(samples, [1000]))
  expect(line).toContain('140.0 µs CPU a request (1.40x floor)')
  expect(line).toContain('0 of 10 bars met, not met: small JSON, CPU a request, 9 not measured')
  expect(line).not.toContain('\n')
})

test('a floor that did not get its core gives the run away as disturbed', () => {
  expect(wasBusy(twoRounds('cores', [], [0.97, 0.95, 0.4]))).toBe(false)
  expect(wasBusy(twoRounds('cores', [], [0.6, 0.95, 0.4]))).toBe(true)
})
