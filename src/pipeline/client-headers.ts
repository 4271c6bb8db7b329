import type { HeaderList } from '../contracts/http.ts'
import type { Exchange } from './exchange.ts'
import { parseLimitHeaders } from '../protocol/limit-headers.ts'
import { parseGoDuration } from '../protocol/retry-after.ts'
import { goDuration } from '../ratelimit/room.ts'
import { bedrockErrorType } from './error-answer.ts'
import { addMeshHeaders } from './headers.ts'
import { dialectAt } from './operation.ts'

const OURS = 'x-ratelimit-'
const ANTHROPIC = 'anthropic-ratelimit-'
const PARTS: ReadonlySet<string> = new Set(['limit', 'remaining', 'reset'])

/** Headers of a good answer that are not its attempt's: what proxies want to know, and what clients call otherwise. */
export function addExchangeHeaders(to: HeaderList, x: Exchange): void {
  addMeshHeaders(to, x)
  x.cache?.addHeaders(to)
  if (x.stripped) to.push('x-heddle-stripped', 'reasoning')
  dressHeaders(to, x, x.operation === 'messages' || x.received.path.startsWith('/v1/messages'))
}

/**
 * Clients of the Messages API look for limits and the id of a request under Anthropic's own names
 * (docs.anthropic.com/en/api/rate-limits; anthropic-sdk `core/error`); all others under OpenAI's.
 */
export function dressHeaders(
  to: HeaderList,
  x: Exchange,
  messages = dialectAt(x.received.path) === 'anthropic.messages',
): HeaderList {
  const named = x.error === null ? null : bedrockErrorType(x.received.path, x.status)
  if (named !== null) to.push('x-amzn-errortype', named)
  // Where SDKs of AWS look for the id of a request.
  if (x.received.path.startsWith('/model/')) to.push('x-amzn-requestid', x.id)
  if (messages) {
    to.push('request-id', x.id)
    asAnthropic(to, x.services.clock.now())
  } else if (
    to.includes('anthropic-ratelimit-requests-remaining') ||
    to.includes('anthropic-ratelimit-tokens-remaining')
  )
    asOpenAi(to, x.services.clock.now())
  return to
}

/** `x-ratelimit-reset-tokens: 6m0s` becomes `anthropic-ratelimit-tokens-reset`, a moment (RFC 3339). now: epoch ms. */
function asAnthropic(to: HeaderList, now: number): void {
  for (let i = 0; i < to.length; i += 2) {
    const name = to[i]!
    if (!name.startsWith(OURS)) continue
    const [part = '', kind = '', ...more] = name.slice(OURS.length).split('-')
    if (!PARTS.has(part) || kind === '' || more.length > 0) continue
    to[i] = `${ANTHROPIC}${kind}-${part}`
    if (part === 'reset') to[i + 1] = momentAfter(to[i + 1]!, now)
  }
}

const momentAfter = (duration: string, now: number): string =>
  `${new Date(Math.ceil((now + (parseGoDuration(duration) ?? 0)) / 1000) * 1000).toISOString().slice(0, 19)}Z`

/** The other way round: an Anthropic backend's limits for clients that know OpenAI's names. */
function asOpenAi(to: HeaderList, now: number): void {
  const said = new Map<string, string>()
  for (let i = to.length - 2; i >= 0; i -= 2) {
    if (!to[i]!.startsWith(ANTHROPIC)) continue
    said.set(to[i]!, to[i + 1]!)
    to.splice(i, 2)
  }
  const limits = parseLimitHeaders((name) => said.get(name), now)
  for (const kind of ['requests', 'tokens'] as const) {
    const state = limits?.[kind]
    if (state === undefined) continue
    if (state.limit > 0) to.push(`${OURS}limit-${kind}`, String(state.limit))
    to.push(`${OURS}remaining-${kind}`, String(state.remaining), `${OURS}reset-${kind}`, goDuration(state.resetMs))
  }
}
