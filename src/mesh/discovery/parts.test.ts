import { expect, test } from 'vitest'
import { systemClock } from '../../core/clock.ts'
import { Loop } from './parts.ts'

test('what a step asks to be told of its end goes with the step: nothing piles up', async () => {
  const told: number[] = []
  const next: (() => void)[] = []
  let steps = 0
  const later = (task: () => void): (() => void) => {
    next.push(task)
    return () => {}
  }
  const parts = { clock: systemClock, random: { next: () => 0.5 }, version: 'test', later }
  const loop = new Loop(parts, { error: () => {} }, async (signal) => {
    const step = ++steps
    signal.addEventListener('abort', () => void told.push(step), { once: true })
    return 10
  })
  for (let i = 1; i <= 5; i++) {
    await expect.poll(() => next.length).toBe(i)
    if (i < 5) next.at(-1)!()
  }
  loop.close()
  expect(steps).toBe(5)
  expect(told.filter((step) => step < 5)).toEqual([])
})
