// A short, repeatable share of `npm run fuzz`.
import { expect, test } from 'vitest'
import { fuzz, type FuzzKind } from '../fuzz/run.ts'

test.each<[FuzzKind, number]>([
  ['framing', 128],
  ['bodies', 1500],
  ['answers', 1500],
  ['identity', 1500],
])('%s, %i cases', async (kind, count) => {
  const { cases, failures } = await fuzz(kind, 1, (done) => done < count)
  expect(failures).toEqual([])
  expect(cases).toBe(count)
})
