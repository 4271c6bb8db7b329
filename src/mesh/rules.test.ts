import { expect, test } from 'vitest'
import type { HeddleConfig } from '../contracts/config.ts'
import { keepAliveOf } from './rules.ts'

const keepAlive = (kind: HeddleConfig['mesh']['kind'], keepAliveMs: number | 'auto'): number =>
  keepAliveOf({ mesh: { kind }, server: { keepAliveMs } } as HeddleConfig)

test('in a mesh idle connections stay, elsewhere for 75 s; what is configured holds', () => {
  for (const kind of ['istio', 'istio-ambient', 'linkerd'] as const) expect(keepAlive(kind, 'auto')).toBe(0)
  expect(keepAlive('none', 'auto')).toBe(75_000)
  // What nobody has looked for is not there.
  expect(keepAlive('auto', 'auto')).toBe(75_000)
  expect(keepAlive('istio', 5000)).toBe(5000)
  expect(keepAlive('none', 0)).toBe(0)
})
