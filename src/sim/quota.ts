/** Requests and tokens a minute for each API key, as token buckets, with the headers that tell the client. */
import { ApiError } from './errors.ts'

export interface QuotaLimits {
  readonly requestsPerMinute?: number
  readonly tokensPerMinute?: number
}

export interface Quota {
  /** Charges one request. @param now monotonic ms. @throws ApiError 429 */
  take(key: string, tokens: number, now: number): void
  /** Of limits that are set. */
  levels(key: string, now: number): readonly QuotaLevel[]
  reset(): void
}

export interface QuotaLevel {
  readonly name: 'requests' | 'tokens'
  readonly limit: number
  readonly remaining: number
  /** ms until all of the limit is there again. */
  readonly resetMs: number
}

const MINUTE_MS = 60_000

/** The six x-ratelimit headers of OpenAI. */
export const rateLimitHeaders = (levels: readonly QuotaLevel[]): Record<string, string> =>
  Object.fromEntries(
    levels.flatMap(({ name, limit, remaining, resetMs }) => [
      [`x-ratelimit-limit-${name}`, String(limit)],
      [`x-ratelimit-remaining-${name}`, String(remaining)],
      [`x-ratelimit-reset-${name}`, goDuration(resetMs)],
    ]),
  )

/** A duration as Go prints it: `120ms`, `1s`, `6m0s`. */
export const goDuration = (ms: number): string => {
  if (ms < 1000) return `${Math.ceil(ms)}ms`
  const seconds = Math.ceil(ms / 10) / 100
  const minutes = Math.floor(seconds / 60)
  const rest = Number((seconds - minutes * 60).toFixed(2))
  if (minutes === 0) return `${rest}s`
  const hours = Math.floor(minutes / 60)
  return hours === 0 ? `${minutes}m${rest}s` : `${hours}h${minutes % 60}m${rest}s`
}

interface Bucket {
  level: number
  at: number
}

class Buckets {
  readonly #limit: number
  readonly #buckets = new Map<string, Bucket>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get limit(): number {
    return this.#limit
  }

  level(key: string, now: number): number {
    const bucket = this.#buckets.get(key)
    if (bucket === undefined) return this.#limit
    return Math.min(this.#limit, bucket.level + (Math.max(0, now - bucket.at) * this.#limit) / MINUTE_MS)
  }

  /** ms until `amount` fits; 0 = now. */
  wait(key: string, amount: number, now: number): number {
    return Math.max(0, ((amount - this.level(key, now)) * MINUTE_MS) / this.#limit)
  }

  charge(key: string, amount: number, now: number): void {
    this.#buckets.set(key, { level: this.level(key, now) - amount, at: now })
  }

  state(name: QuotaLevel['name'], key: string, now: number): QuotaLevel {
    const level = this.level(key, now)
    const resetMs = ((this.#limit - level) * MINUTE_MS) / this.#limit
    return { name, limit: this.#limit, remaining: Math.max(0, Math.floor(level)), resetMs }
  }

  clear(): void {
    this.#buckets.clear()
  }
}

const refuse = (
  type: 'requests' | 'tokens',
  unit: string,
  buckets: Buckets,
  used: number,
  asked: number,
  waitMs: number,
): never => {
  const hint = Number.isFinite(waitMs) ? ` Please try again in ${goDuration(waitMs)}.` : ''
  const message = `Rate limit reached for ${type} per min (${unit}): Limit ${buckets.limit}, Used ${used}, Requested ${asked}.${hint}`
  const headers = {
    'retry-after': String(Math.max(1, Math.ceil(waitMs / 1000))),
    'retry-after-ms': String(Math.ceil(waitMs)),
  }
  throw new ApiError(429, message, { type, headers })
}

export const createQuota = (limits: QuotaLimits): Quota => {
  const requests = limits.requestsPerMinute === undefined ? undefined : new Buckets(limits.requestsPerMinute)
  const tokens = limits.tokensPerMinute === undefined ? undefined : new Buckets(limits.tokensPerMinute)
  const check = (
    type: 'requests' | 'tokens',
    unit: string,
    buckets: Buckets | undefined,
    key: string,
    amount: number,
    now: number,
  ): void => {
    const wait = buckets?.wait(key, amount, now) ?? 0
    if (buckets === undefined || wait === 0) return
    const used = Math.ceil(buckets.limit - buckets.level(key, now))
    refuse(type, unit, buckets, used, amount, wait)
  }
  return {
    take: (key, amount, now) => {
      check('requests', 'RPM', requests, key, 1, now)
      if (tokens !== undefined && amount > tokens.limit) {
        const message = `Request too large on tokens per min (TPM): Limit ${tokens.limit}, Requested ${amount}.`
        throw new ApiError(429, message, { type: 'tokens' })
      }
      check('tokens', 'TPM', tokens, key, amount, now)
      requests?.charge(key, 1, now)
      tokens?.charge(key, amount, now)
    },
    levels: (key, now) => [
      ...(requests === undefined ? [] : [requests.state('requests', key, now)]),
      ...(tokens === undefined ? [] : [tokens.state('tokens', key, now)]),
    ],
    reset: () => {
      requests?.clear()
      tokens?.clear()
    },
  }
}
