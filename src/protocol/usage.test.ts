import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Usage } from '../contracts/usage.ts'
import { addUsages, NO_USAGE, readAnswer, readUsage, StreamUsage, usageHints } from './usage.ts'

/** Every name that some backend uses, so that random objects look like usage. */
const NAMES = [
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  'input_tokens',
  'output_tokens',
  'prompt_tokens_details',
  'output_tokens_details',
  'cached_tokens',
  'reasoning_tokens',
  'audio_tokens',
  'cache_read_input_tokens',
  'cache_creation_input_tokens',
  'cache_creation',
  'ephemeral_1h_input_tokens',
  'iterations',
  'promptTokenCount',
  'candidatesTokenCount',
  'promptTokensDetails',
  'inputTokens',
  'cacheWriteInputTokens',
  'cacheDetails',
  'billed_units',
  'tokens',
  'search_units',
  'cost',
  'cost_in_usd_ticks',
  'seconds',
  'service_tier',
  'prompt_eval_count',
  'predicted_n',
  'generated_tokens',
  'usage',
  'message',
  'delta',
  'response',
  'data',
  'type',
]
const leaf = fc.oneof(
  fc.integer({ min: -5, max: 5000 }),
  fc.double(),
  fc.constantFrom<unknown>(null, true, '12', '-3', 'NaN', '', 'compaction', 'message_delta', 1e300, -0, '9'.repeat(40)),
)
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('list'), tie('map')),
  list: fc.array(tie('tree'), { maxLength: 3 }),
  map: fc.dictionary(fc.constantFrom(...NAMES), tie('tree'), { maxKeys: 6 }),
}))
const map = fc.dictionary(fc.constantFrom(...NAMES), tree, { maxKeys: 8 })
const hints = fc.constantFrom('openai', 'xai', 'perplexity').map(usageHints)

const sound = (usage: Usage | null): void => {
  if (usage === null) return
  for (const [name, value] of Object.entries(usage)) {
    if (name === 'tier' || name === 'reportedUsd' || name === 'audioSeconds') continue
    expect([name, value, Number.isSafeInteger(value) && (value as number) >= 0]).toEqual([name, value, true])
  }
  expect(Number.isFinite(usage.reportedUsd) && Number.isFinite(usage.audioSeconds)).toBe(true)
  const { inputTokens, cachedInputTokens, cacheWrite5mTokens, cacheWrite1hTokens } = usage
  expect(cachedInputTokens + cacheWrite5mTokens + cacheWrite1hTokens).toBeLessThanOrEqual(inputTokens)
  expect(usage.audioInputTokens).toBeLessThanOrEqual(inputTokens)
  expect(usage.reasoningTokens).toBeLessThanOrEqual(usage.outputTokens)
}

describe('whatever a backend sends', () => {
  test('nothing throws, counts are counts, and parts fit into their whole', () => {
    fc.assert(
      fc.property(map, hints, (value, how) => {
        sound(readUsage(value, how))
        sound(readAnswer(value, how))
        sound(readAnswer({ usage: value }, how))
      }),
      { numRuns: 3000 },
    )
  })

  test('streams neither', () => {
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 5 }), hints, (events, how) => {
        const stream = new StreamUsage(how)
        for (const event of events) stream.feed(event)
        sound(stream.usage)
      }),
    )
  })

  test.each([[null], [undefined], [[]], [{}], ['usage'], [7], [{ prompt_tokens: 0, completion_tokens: 0 }]])(
    '%j says nothing',
    (value) => expect(readUsage(value)).toBeNull(),
  )
})

describe('repairs', () => {
  const counts = (value: unknown) => {
    const usage = readUsage(value)
    return [usage?.inputTokens, usage?.outputTokens]
  }

  test('the total says what is missing, and never takes anything away', () => {
    expect(counts({ prompt_tokens: 10, total_tokens: 30, completion_tokens: null })).toEqual([10, 20])
    expect(counts({ completion_tokens: 10, total_tokens: 30 })).toEqual([20, 10])
    expect(counts({ prompt_tokens: 10, completion_tokens: 5, total_tokens: 3 })).toEqual([10, 5])
    expect(counts({ input_tokens: 10, output_tokens: 5, total_tokens: 40 })).toEqual([10, 30])
    // An embedding has no answer that anything could be missing of.
    expect(counts({ input_tokens: 10, total_tokens: 12 })).toEqual([10, 0])
  })

  test('a number beyond any context is no count', () => {
    expect(counts({ prompt_tokens: 1e15, completion_tokens: 5 })).toEqual([0, 5])
  })
})

test('sums: every field, an unknown cost adds nothing, two tiers are none', () => {
  const one = Object.fromEntries(
    Object.keys(NO_USAGE).map((name, i) => [name, name === 'tier' ? 'flex' : i + 1]),
  ) as unknown as Usage
  const two = addUsages(one, one)!
  const doubled = Object.entries(one).map(([name, value]) => [name, name === 'tier' ? 'flex' : 2 * Number(value)])
  expect(two).toEqual(Object.fromEntries(doubled))
  expect(addUsages(one, { ...one, tier: '', reportedUsd: -1 })).toMatchObject({
    tier: '',
    reportedUsd: one.reportedUsd,
  })
  expect(addUsages(null, one)).toBe(one)
  expect(addUsages(one, null)).toBe(one)
  expect(addUsages(null, null)).toBeNull()
})
