import { expect, test } from 'vitest'
import { limitRuleSchema, readLimitRules, toLimitRules } from './limit-rules.ts'
import { formatProblem } from './problem.ts'
import type { Problem } from './problem.ts'
import { SourceMap } from './yaml-source.ts'

const convert = (entries: readonly unknown[]) => {
  const problems: Problem[] = []
  const parsed = entries.map((entry) => limitRuleSchema.parse(entry))
  const rules = toLimitRules(parsed, ['rules'], { map: new SourceMap('h.yaml'), problems })
  return { rules, problems: problems.map(formatProblem) }
}

test('each unit with each kind of period', () => {
  const { rules, problems } = convert([
    { requests: 60, per: '1m' },
    { usd: 0.5, per: 'month', zone: 'europe/berlin' },
    { tokens: 9, per: 'day' },
    { concurrency: 8 },
  ])
  expect(problems).toEqual([])
  expect(rules).toEqual([
    { unit: 'requests', amount: 60, period: { kind: 'sliding', windowMs: 60_000 } },
    { unit: 'usd', amount: 0.5, period: { kind: 'calendar', unit: 'month', zone: 'Europe/Berlin' } },
    { unit: 'tokens', amount: 9, period: { kind: 'calendar', unit: 'day', zone: 'UTC' } },
    { unit: 'concurrency', amount: 8, period: { kind: 'open' } },
  ])
})

test.each([
  [{ requests: 1, tokens: 2, per: '1m' }, /rules\[0\]\.tokens: one entry limits one unit/],
  [{ per: '1m' }, /must limit one of requests/],
  [{ concurrency: 1, per: '1m' }, /rules\[0\]\.per: `concurrency` counts/],
  [{ concurrency: 1, zone: 'UTC' }, /takes no `zone`/],
  [{ requests: 1 }, /`per` is missing/],
  [{ requests: 1, per: '100ms' }, /at least 1s/],
  [{ requests: 1, per: '1m', zone: 'UTC' }, /only calendar periods/],
  [{ requests: 1, per: 'day', zone: 'Mars/Base' }, /not an IANA/],
  [{ requests: 1, per: 'day', zone: '+02:00' }, /not an IANA/],
])('%j is refused at its place', (entry, message) => {
  const { rules, problems } = convert([entry])
  expect(rules).toEqual([])
  expect(problems.join('\n')).toMatch(message)
})

test.each([
  { requests: -1, per: '1m' },
  { requests: 1.5, per: '1m' },
  { usd: 1e8, per: '1m' },
  { requests: 1, per: 'fortnight' },
])('the schema refuses %j', (entry) => expect(limitRuleSchema.safeParse(entry).success).toBe(false))

test('rules of a token: all or none', () => {
  expect(readLimitRules([{ requests: 1, per: '1m' }])).toHaveLength(1)
  for (const bad of [[{ requests: 1, per: '1m' }, { requests: 1 }], 'x', null, [{ requests: 1, per: '1m', more: 1 }]]) {
    expect(readLimitRules(bad)).toBeNull()
  }
})
