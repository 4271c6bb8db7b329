import { expect, test } from 'vitest'
import { HeldPool } from './held-pool.ts'

test('one for all who say the same, until the last lets go', () => {
  const disposed: string[] = []
  const pool = new HeldPool<{ name: string }>(({ name }) => disposed.push(name))
  let made = 0
  const take = (key: string) => pool.acquire(key, () => ({ name: `${key}${++made}` }))
  const [a, b, other] = [take('a'), take('a'), take('b')]
  expect([a.value === b.value, other.value.name, made]).toEqual([true, 'b2', 2])
  a.release()
  a.release()
  expect([disposed, pool.values().length]).toEqual([[], 2])
  b.release()
  expect([disposed, take('a').value.name]).toEqual([['a1'], 'a3'])
})
