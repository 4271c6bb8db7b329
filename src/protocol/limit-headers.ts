import { parseGoDuration } from './retry-after.ts'

/** One limit as a provider states it. */
export interface LimitState {
  /** 0 = not said. */
  readonly limit: number
  readonly remaining: number
  /** Ms until it is whole again, >= 0. */
  readonly resetMs: number
  /** It grows back bit by bit until then; false = all at once. */
  readonly refills: boolean
}

export interface LimitHeaders {
  readonly requests?: LimitState
  readonly tokens?: LimitState
  readonly inputTokens?: LimitState
  readonly outputTokens?: LimitState
}

type Kind = keyof LimitHeaders
type Header = (name: string) => string | undefined
type Found = { -readonly [K in Kind]?: LimitState }

/** Taken where a provider says what remains, but not for how long: short, as a wrong guess holds requests back. */
const ASSUMED_RESET_MS = 10_000
const MAX_RESET_MS = 31 * 86_400_000
/** Numbers from here on are points in time: seconds, then milliseconds since 1970. */
const EPOCH_SECONDS = 1e9
const EPOCH_MS = 1e12

const COUNT = /^(\d{1,15})(?:\.\d{1,15})?(?:[,;].{0,500})?$/
const NUMBER = /^\d{1,15}(?:\.\d{1,15})?$/
const DATE = /^\d{4}-\d\d-\d\d[T ]/

interface Names {
  readonly kind: Kind
  readonly limit: string
  readonly remaining: string
  readonly reset: string
  /** A token bucket, as its provider documents. */
  readonly refills: boolean
}

const family = (prefix: string, kinds: readonly (readonly [Kind, string])[], refills: boolean): Names[] =>
  kinds.map(([kind, suffix]) => ({
    kind,
    limit: `${prefix}limit${suffix}`,
    remaining: `${prefix}remaining${suffix}`,
    reset: `${prefix}reset${suffix}`,
    refills,
  }))

/** Anthropic: `anthropic-ratelimit-input-tokens-remaining`, reset in RFC 3339; a token bucket. */
const ANTHROPIC: readonly Names[] = (
  [
    ['requests', 'requests'],
    ['tokens', 'tokens'],
    ['inputTokens', 'input-tokens'],
    ['outputTokens', 'output-tokens'],
  ] as const
).map(([kind, name]) => ({
  kind,
  limit: `anthropic-ratelimit-${name}-limit`,
  remaining: `anthropic-ratelimit-${name}-remaining`,
  reset: `anthropic-ratelimit-${name}-reset`,
  refills: true,
}))

/** All that begin with `x-ratelimit-`, and what stands beside them. */
const COMMON: readonly Names[] = family(
  'x-ratelimit-',
  [
    // OpenAI, Groq, Azure, GitHub Models and most that copy OpenAI.
    ['requests', '-requests'],
    ['tokens', '-tokens'],
    ['tokens', '-project-tokens'],
    // Cerebras.
    ['requests', '-requests-day'],
    ['tokens', '-tokens-minute'],
    // Mistral.
    ['requests', '-req-minute'],
    // Fireworks.
    ['inputTokens', '-tokens-prompt'],
    ['outputTokens', '-tokens-generated'],
    // Together, OpenRouter, GitHub.
    ['requests', ''],
  ],
  false,
)

const OTHERS: readonly Names[] = [
  ...family('x-tokenlimit-', [['tokens', '']], false),
  ...family('ratelimitbysize-', [['tokens', '']], false),
  // IETF draft-ietf-httpapi-ratelimit-headers up to 06.
  ...family('ratelimit-', [['requests', '']], false),
]

/**
 * What a backend says of its limits in the headers of an answer, in one form for all; null = nothing usable. Of several
 * statements on one kind the one with the least left counts. header: by lower-case name. now: epoch ms. Never throws,
 * whatever a header holds.
 */
export function parseLimitHeaders(header: Header, now: number): LimitHeaders | null {
  const found: Found = {}
  for (const names of ANTHROPIC) note(found, names, header, now)
  if (found.requests === undefined && found.tokens === undefined) {
    for (const names of COMMON) note(found, names, header, now)
    for (const names of OTHERS) note(found, names, header, now)
    structured(found, header)
  }
  for (const _kind in found) return found
  return null
}

function note(found: Found, names: Names, header: Header, now: number): void {
  const remaining = count(header(names.remaining))
  if (remaining === undefined) return
  const reset = header(names.reset)?.trim()
  const resetMs = reset === undefined ? ASSUMED_RESET_MS : resetOf(reset, now)
  if (resetMs === undefined) return
  const limit = count(header(names.limit)) ?? 0
  // A Go duration tells how long the bucket takes to be full again (OpenAI, Groq); `7s` is one, `7` is not.
  const refills = limit > 0 && (names.refills || (reset !== undefined && /[a-zµ]$/.test(reset)))
  add(found, names.kind, { limit, remaining, resetMs, refills })
}

function add(found: Found, kind: Kind, state: LimitState): void {
  const before = found[kind]
  if (before === undefined || state.remaining < before.remaining) found[kind] = state
}

const count = (text: string | undefined): number | undefined => {
  const digits = text === undefined ? undefined : COUNT.exec(text.trim())?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** Ms from now: seconds, epoch seconds or milliseconds, a Go duration, or a date. */
function resetOf(text: string, now: number): number | undefined {
  let ms: number | undefined
  if (NUMBER.test(text)) {
    const value = Number(text)
    ms = value >= EPOCH_MS ? value - now : value >= EPOCH_SECONDS ? value * 1000 - now : value * 1000
  } else if (DATE.test(text)) ms = Date.parse(text) - now
  else ms = parseGoDuration(text)
  return ms === undefined || Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), MAX_RESET_MS)
}

const ITEM = /^"?([\w.-]{1,64})"?\s*((?:;[^;]{0,100}){0,16})$/
const PARAMETER = /;\s*([a-z]+)\s*=\s*"?([\w-]{1,32})"?/g
/** Units (`qu`) of the draft that mean something here; its others are bytes and concurrency. */
const UNITS: Readonly<Record<string, Kind>> = { requests: 'requests', tokens: 'tokens' }

/**
 * `RateLimit: "minute";r=50;t=30` with `RateLimit-Policy: "minute";q=100;w=60` (draft-ietf-httpapi-ratelimit-headers
 * from 08), and `RateLimit: limit=100, remaining=50, reset=30` (07).
 */
function structured(found: Found, header: Header): void {
  const text = header('ratelimit')
  if (text === undefined || text.length > 2000) return
  const seven = /^limit=(\d{1,15}),\s*remaining=(\d{1,15}),\s*reset=(\d{1,9})\b/.exec(text)
  if (seven !== null) {
    const resetMs = Math.min(Number(seven[3]) * 1000, MAX_RESET_MS)
    add(found, 'requests', { limit: Number(seven[1]), remaining: Number(seven[2]), resetMs, refills: false })
    return
  }
  const policies = items(header('ratelimit-policy') ?? '')
  for (const [name, { r, t }] of items(text)) {
    const policy = policies.get(name)
    const kind = UNITS[policy?.['qu'] ?? 'requests']
    if (kind === undefined || !NUMBER.test(r ?? '')) continue
    const limit = count(policy?.['q']) ?? 0
    const seconds = count(t)
    const resetMs = seconds === undefined ? ASSUMED_RESET_MS : Math.min(seconds * 1000, MAX_RESET_MS)
    add(found, kind, { limit, remaining: Number(r), resetMs, refills: false })
  }
}

/** Items of a structured list (RFC 9651) by name, with their parameters. */
function items(text: string): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const list = new Map<string, Record<string, string>>()
  if (text.length > 2000) return list
  for (const part of text.split(',')) {
    const item = ITEM.exec(part.trim())
    if (item === null) continue
    const parameters = Object.create(null) as Record<string, string>
    for (const [, name, value] of item[2]!.matchAll(PARAMETER)) parameters[name!] = value!
    list.set(item[1]!, parameters)
  }
  return list
}
