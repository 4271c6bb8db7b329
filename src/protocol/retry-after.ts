import type { UpstreamHeaders } from '../contracts/upstream.ts'

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}
const GO_DURATION = /^(?:\d{1,12}(?:\.\d{1,12})?(?:ns|us|µs|ms|s|m|h)){1,8}$/
const GO_PART = /(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g
const NUMBER = /^\d{1,12}(?:\.\d{1,12})?$/

/** Go's time.Duration as text (`6m0s`, `120ms`): ms, or undefined. OpenAI's x-ratelimit-reset headers and Google use it. */
export function parseGoDuration(text: string): number | undefined {
  if (!GO_DURATION.test(text)) return undefined
  let ms = 0
  for (const [, amount, unit] of text.matchAll(GO_PART)) ms += Number(amount) * UNITS[unit!]!
  return ms
}

const first = (headers: UpstreamHeaders, name: string): string | undefined => {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

/** `details` of a Google error: google.rpc.RetryInfo.retryDelay. */
function googleDelay(body: unknown): number | undefined {
  const root = (Array.isArray(body) ? body[0] : body) as { error?: { details?: unknown } } | null | undefined
  const details = root?.error?.details
  if (!Array.isArray(details)) return undefined
  for (const detail of details as { '@type'?: unknown; retryDelay?: unknown }[]) {
    if (
      typeof detail?.['@type'] === 'string' &&
      detail['@type'].endsWith('RetryInfo') &&
      typeof detail.retryDelay === 'string'
    ) {
      return parseGoDuration(detail.retryDelay)
    }
  }
  return undefined
}

/**
 * How long a backend asks to wait, ms >= 0, or undefined when it gives no usable hint. Forms, in order of trust:
 * retry-after-ms, x-ms-retry-after-ms, retry-after in seconds, as a date or as a Go duration (RFC 9110 10.2.3 has the
 * first two), Google's RetryInfo in the body, and OpenAI's reset headers of the limit that is used up.
 * Not capped: the caller decides how much it trusts.
 */
export function retryAfterMs(headers: UpstreamHeaders, body: unknown, now: number): number | undefined {
  for (const name of ['retry-after-ms', 'x-ms-retry-after-ms']) {
    const value = first(headers, name)?.trim()
    if (value !== undefined && NUMBER.test(value)) return Number(value)
  }
  const after = first(headers, 'retry-after')?.trim()
  if (after !== undefined && after !== '') {
    if (NUMBER.test(after)) return Number(after) * 1000
    const duration = parseGoDuration(after)
    if (duration !== undefined) return duration
    const date = Date.parse(after)
    if (!Number.isNaN(date)) return Math.max(0, date - now)
  }
  const google = googleDelay(body)
  if (google !== undefined) return google
  let reset: number | undefined
  for (const kind of ['requests', 'tokens']) {
    if (first(headers, `x-ratelimit-remaining-${kind}`) !== '0') continue
    const value = parseGoDuration(first(headers, `x-ratelimit-reset-${kind}`) ?? '')
    if (value !== undefined) reset = Math.max(reset ?? 0, value)
  }
  return reset
}
