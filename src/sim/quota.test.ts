import { describe, expect, it } from 'vitest'
import { ApiError } from './errors.ts'
import { createQuota, goDuration, rateLimitHeaders } from './quota.ts'

const refusal = (run: () => void): ApiError | undefined => {
  try {
    run()
    return undefined
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
}

describe('quota', () => {
  it('admits a minute’s worth, then refuses with the time to wait, then refills', () => {
    const quota = createQuota({ requestsPerMinute: 2 })
    quota.take('a', 0, 0)
    quota.take('a', 0, 0)
    const refused = refusal(() => quota.take('a', 0, 0))
    expect(refused).toMatchObject({
      status: 429,
      type: 'requests',
      code: 'rate_limit_exceeded',
      headers: { 'retry-after': '30', 'retry-after-ms': '30000' },
    })
    expect(refusal(() => quota.take('b', 0, 0))).toBeUndefined()
    expect(refusal(() => quota.take('a', 0, 30_000))).toBeUndefined()
    quota.reset()
    expect(refusal(() => quota.take('a', 0, 30_000))).toBeUndefined()
  })

  it('charges tokens, and only for requests that it admits', () => {
    const quota = createQuota({ requestsPerMinute: 100, tokensPerMinute: 60 })
    quota.take('a', 50, 0)
    expect(refusal(() => quota.take('a', 20, 0))).toMatchObject({ status: 429, type: 'tokens' })
    expect(rateLimitHeaders(quota.levels('a', 0))).toEqual({
      'x-ratelimit-limit-requests': '100',
      'x-ratelimit-remaining-requests': '99',
      'x-ratelimit-reset-requests': '600ms',
      'x-ratelimit-limit-tokens': '60',
      'x-ratelimit-remaining-tokens': '10',
      'x-ratelimit-reset-tokens': '50s',
    })
    expect(refusal(() => quota.take('a', 20, 10_000))).toBeUndefined()
    expect(refusal(() => quota.take('a', 61, 90_000))?.message).toContain('too large')
  })

  it('is silent without limits', () => {
    const quota = createQuota({})
    quota.take('a', 1e9, 0)
    expect(rateLimitHeaders(quota.levels('a', 0))).toEqual({})
  })

  it.each([
    [0, '0ms'],
    [120, '120ms'],
    [1000, '1s'],
    [8640, '8.64s'],
    [360_000, '6m0s'],
    [3_723_500, '1h2m3.5s'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(goDuration(ms)).toBe(text)
  })
})
