// A short, repeatable share of `npm run fuzz -- translated`; a longer one with HEDDLE_TEST_FULL.
import { expect, test } from 'vitest'
import { capture, fuzzTranslated, playEndless } from '../fuzz/translated.ts'

const CASES = process.env['HEDDLE_TEST_FULL'] === undefined ? 1500 : 60_000

test(`damaged answers of all wires to clients of all dialects, ${CASES} cases`, { timeout: 600_000 }, async () => {
  const { cases, failures, ends } = await fuzzTranslated(1, (done) => done < CASES)
  expect(failures).toEqual([])
  expect(cases).toBe(CASES)
  // It is not all refused at once, nor all taken.
  for (const end of ['done', 'failed', 'broken']) expect(ends.get(end) ?? 0).toBeGreaterThan(CASES / 50)
})

test('what never ends is not kept for ever', async () => {
  const goods = await capture()
  expect(new Set(goods.map(({ wire }) => wire)).size).toBeGreaterThanOrEqual(7)
  for (const good of goods) expect(playEndless(good, 'openai.chat', 3 << 20)).toMatchObject({ end: 'failed' })
})
