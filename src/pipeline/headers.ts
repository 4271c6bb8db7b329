import type { HeaderList } from '../contracts/http.ts'
import type { UpstreamHeaders } from '../contracts/upstream.ts'
import type { Account } from './account.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import { usdText } from '../core/usd.ts'

/**
 * Headers of a backend that a client may see; nothing else passes: no cookies, no server names, no keys, nothing that
 * speaks of the connection.
 */
const ANSWER = ['openai-processing-ms', 'openai-version', 'openai-model'] as const
/** The provider's limits on the gateway. Where the caller has limits of its own it gets those, under the same names. */
const PROVIDER_LIMITS = [
  'x-ratelimit-limit-requests',
  'x-ratelimit-limit-tokens',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-requests',
  'x-ratelimit-reset-tokens',
] as const
/** Those of Anthropic (docs.anthropic.com/en/api/rate-limits). */
const ANTHROPIC_LIMITS = ['requests', 'tokens', 'input-tokens', 'output-tokens'].flatMap((kind) =>
  ['limit', 'remaining', 'reset'].map((part) => `anthropic-ratelimit-${kind}-${part}`),
)
const RAW = [
  'content-type',
  'content-encoding',
  'content-disposition',
  'content-range',
  'accept-ranges',
  'etag',
  'last-modified',
  // By it SDKs of AWS know which error it is.
  'x-amzn-errortype',
] as const

function copy(from: UpstreamHeaders, names: readonly string[], to: HeaderList): void {
  for (const name of names) {
    const value = from[name]
    if (typeof value === 'string') to.push(name, value)
  }
}

function common(attempt: Attempt, id: string): HeaderList {
  const headers: HeaderList = ['x-request-id', id, 'x-heddle-target', attempt.target.headerName]
  if (attempt.target.provider.config.type === 'sim') headers.push('x-heddle-simulated', 'true')
  if (attempt.dropped.length > 0) headers.push('x-heddle-dropped', attempt.dropped.map(headerText).join(', '))
  if (attempt.owner.attempts.length > 1) headers.push('x-heddle-attempts', String(attempt.owner.attempts.length))
  return headers
}

export function answerHeaders(attempt: Attempt, id: string, contentType: string, account: Account): HeaderList {
  const headers = common(attempt, id)
  headers.push('content-type', contentType)
  copy(attempt.headers, ANSWER, headers)
  addLimits(attempt, account, headers)
  return headers
}

function addLimits(attempt: Attempt, account: Account, to: HeaderList): void {
  if (account.lease !== null) account.lease.addHeaders(to)
  else {
    copy(attempt.headers, PROVIDER_LIMITS, to)
    if (attempt.target.provider.config.wire === 'anthropic.messages') copy(attempt.headers, ANTHROPIC_LIMITS, to)
  }
}

/** What the answer cost, US dollars; only when it is all counted: an estimate is no receipt. */
export function addCost(to: HeaderList, account: Account): void {
  if (account.note === '') to.push('x-heddle-cost-usd', usdText(account.nanoUsd))
}

export function rawAnswerHeaders(attempt: Attempt, id: string, account: Account): HeaderList {
  const headers = common(attempt, id)
  copy(attempt.headers, ANSWER, headers)
  copy(attempt.headers, RAW, headers)
  addLimits(attempt, account, headers)
  return headers
}

/** What the proxies around want to know of an answer: its parts in time, and a better name for their span. */
export function addMeshHeaders(to: HeaderList, x: Exchange): void {
  const { kind, serverTiming, orca } = x.snapshot.policies.mesh
  if (serverTiming) to.push('server-timing', timing(x))
  if (orca) {
    const report = x.services.loop.loadReport?.(x.received.header('endpoint-load-metrics-format')) ?? null
    if (report !== null) to.push('endpoint-load-metrics', report)
  }
  // Of models that the operator has named: those of a pattern are as many as callers like.
  if (kind === 'istio' && x.match?.route.origin === 'models' && x.operation !== 'passthrough')
    to.push('x-envoy-decorator-operation', `${x.operation} ${headerText(x.match.route.name)}`)
}

const headerText = (text: string): string => text.replaceAll(/[^\x21-\x7e]/g, '?')

/** Ms up to the first byte (W3C Server Timing): Heddle's own part, waiting for places, waiting for backends. */
function timing(x: Exchange): string {
  const own = Math.max(0, x.firstByteMs - x.upstreamMs)
  const upstream = Math.max(0, x.upstreamMs - x.queueMs)
  const queue = x.queueMs > 0 ? `queue;dur=${x.queueMs.toFixed(1)}, ` : ''
  return `gw;dur=${own.toFixed(1)}, ${queue}upstream;dur=${upstream.toFixed(1)}`
}
