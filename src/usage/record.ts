import type { AttemptCharge, Charge, Usage, UsageRecord } from '../contracts/usage.ts'
import { usdText } from '../core/usd.ts'

/** Undefined = left out of the line: what is not named was not used, or is not known. */
const count = (n: number): number | undefined => (n > 0 ? n : undefined)
const text = (value: string): string | undefined => (value === '' ? undefined : value)

const usageFields = (u: Usage) => ({
  input_tokens: u.inputTokens,
  output_tokens: u.outputTokens,
  cached_input_tokens: count(u.cachedInputTokens),
  cache_write_5m_tokens: count(u.cacheWrite5mTokens),
  cache_write_1h_tokens: count(u.cacheWrite1hTokens),
  reasoning_tokens: count(u.reasoningTokens),
  audio_input_tokens: count(u.audioInputTokens),
  audio_output_tokens: count(u.audioOutputTokens),
  image_input_tokens: count(u.imageInputTokens),
  image_output_tokens: count(u.imageOutputTokens),
  searches: count(u.searches),
  rerank_units: count(u.rerankUnits),
  images: count(u.images),
  audio_seconds: count(u.audioSeconds),
  characters: count(u.characters),
  tier: text(u.tier),
})

/** Money is text: a reader that takes it for a double would lose the last digits. */
const chargeFields = (c: Charge) => ({
  cost_usd: usdText(c.nanoUsd),
  estimated: c.estimated,
  priced: c.priced,
})

const attemptFields = (a: AttemptCharge) => ({
  target: a.target,
  endpoint: a.endpoint === '' ? undefined : a.endpoint,
  result: a.result,
  ...(a.usage === null ? null : usageFields(a.usage)),
  ...chargeFields(a.charge),
})

/** One attempt that was answered says nothing that the record does not. */
const speaks = (attempts: readonly AttemptCharge[]): boolean =>
  attempts.length > 1 ||
  (attempts.length === 1 && (attempts[0]!.result !== 'ok' || (attempts[0]!.endpoint ?? '') !== ''))

function hasAny(labels: Readonly<Record<string, string>>): boolean {
  for (const _ in labels) return true
  return false
}

/** One line of JSON, without its newline. Fields that are unknown or empty are left out. */
export const recordLine = (r: UsageRecord): string =>
  JSON.stringify({
    time: new Date(r.time).toISOString(),
    request_id: r.requestId,
    trace_id: text(r.traceId),
    tenant: text(r.tenant),
    team: text(r.team),
    user: text(r.user),
    key_id: text(r.keyId),
    peer: text(r.peer),
    namespace: text(r.namespace),
    service_account: text(r.serviceAccount),
    trust_domain: text(r.trustDomain),
    model: r.model,
    route: r.route,
    provider: r.provider,
    target: r.target,
    model_answered: r.modelAnswered,
    operation: r.operation,
    stream: r.stream,
    status: r.status,
    outcome: r.outcome,
    duration_ms: Math.round(r.durationMs),
    ...(r.usage === null ? null : usageFields(r.usage)),
    ...chargeFields(r.charge),
    cached: r.cached,
    attempts: speaks(r.attempts) ? r.attempts.map(attemptFields) : undefined,
    would_refuse: r.wouldRefuse.length > 0 ? r.wouldRefuse : undefined,
    labels: hasAny(r.labels) ? r.labels : undefined,
  })
