import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import type { Target } from '../contracts/routing.ts'
import type { Attempt } from './attempt.ts'
import { MetricRegistry } from '../telemetry/metrics.ts'
import { RequestTelemetry } from './telemetry.ts'

const make = () => {
  const registry = new MetricRegistry()
  return { registry, telemetry: new RequestTelemetry(registry, null, () => 0) }
}
const targetOf = (name: string): Target => ({ name, provider: { name: 'p' } }) as unknown as Target
const attemptOf = (target: Target, result = 'ok'): Attempt =>
  ({ target, record: { result, origin: '', nanoUsd: 5, unpriced: true } }) as unknown as Attempt

test('targets of configurations that are replaced can be forgotten', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const { telemetry } = make()
  const refs = Array.from({ length: 20 }, () => {
    const target = targetOf('p/m')
    telemetry.attempt(attemptOf(target))
    return new WeakRef(target)
  })
  // References that were looked at live to the end of the turn.
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  expect(refs.filter((ref) => ref.deref() !== undefined).length).toBeLessThan(5)
})

test('results that a backend makes up are counted together beyond a bound', () => {
  const { registry, telemetry } = make()
  const target = targetOf('p/m')
  for (let i = 0; i < 1000; i++) telemetry.attempt(attemptOf(target, `error_in_200_${i}`))
  const family = registry.snapshot().find(({ name }) => name === 'heddle_attempts_total')!
  expect(family.samples.length).toBeLessThan(120)
  expect(family.samples.reduce((sum, { value }) => sum + value, 0)).toBe(1000)
  expect(family.samples.some(({ labels }) => labels['result'] === 'other')).toBe(true)
})
