import type { AttemptCharge, Charge, Usage, UsageRecord } from '../contracts/usage.ts'
import { usdText } from './charge.ts'

/** Most ids need no escaping, and JSON.stringify costs as much as the rest of the line. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/
const text = (value: string): string => (PLAIN.test(value) ? `"${value}"` : JSON.stringify(value))

/** Zeros are left out: what is not named was not used. */
function usageText(u: Usage): string {
  let s = `"input_tokens":${u.inputTokens},"output_tokens":${u.outputTokens}`
  if (u.cachedInputTokens > 0) s += `,"cached_input_tokens":${u.cachedInputTokens}`
  if (u.cacheWrite5mTokens > 0) s += `,"cache_write_5m_tokens":${u.cacheWrite5mTokens}`
  if (u.cacheWrite1hTokens > 0) s += `,"cache_write_1h_tokens":${u.cacheWrite1hTokens}`
  if (u.reasoningTokens > 0) s += `,"reasoning_tokens":${u.reasoningTokens}`
  if (u.audioInputTokens > 0) s += `,"audio_input_tokens":${u.audioInputTokens}`
  if (u.audioOutputTokens > 0) s += `,"audio_output_tokens":${u.audioOutputTokens}`
  if (u.imageInputTokens > 0) s += `,"image_input_tokens":${u.imageInputTokens}`
  if (u.imageOutputTokens > 0) s += `,"image_output_tokens":${u.imageOutputTokens}`
  if (u.searches > 0) s += `,"searches":${u.searches}`
  if (u.rerankUnits > 0) s += `,"rerank_units":${u.rerankUnits}`
  if (u.images > 0) s += `,"images":${u.images}`
  if (u.audioSeconds > 0) s += `,"audio_seconds":${u.audioSeconds}`
  if (u.characters > 0) s += `,"characters":${u.characters}`
  if (u.tier !== '') s += `,"tier":${text(u.tier)}`
  return s
}

/** Money is text: a reader that takes it for a double would lose the last digits. */
const chargeText = (c: Charge): string =>
  `"cost_usd":"${usdText(c.nanoUsd)}","estimated":${c.estimated},"priced":${c.priced}`

function attemptText(a: AttemptCharge): string {
  const usage = a.usage === null ? '' : `,${usageText(a.usage)}`
  return `{"target":${text(a.target)},"result":${text(a.result)}${usage},${chargeText(a.charge)}}`
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  let s = ''
  for (const name in labels) s += `${s === '' ? '' : ','}${text(name)}:${text(labels[name]!)}`
  return s
}

/** One line of JSON, without its newline. Fields that are unknown or empty are left out. */
export function recordLine(r: UsageRecord): string {
  let s = `{"time":"${new Date(r.time).toISOString()}","request_id":${text(r.requestId)}`
  if (r.traceId !== '') s += `,"trace_id":${text(r.traceId)}`
  if (r.tenant !== '') s += `,"tenant":${text(r.tenant)}`
  if (r.team !== '') s += `,"team":${text(r.team)}`
  if (r.user !== '') s += `,"user":${text(r.user)}`
  if (r.keyId !== '') s += `,"key_id":${text(r.keyId)}`
  if (r.peer !== '') s += `,"peer":${text(r.peer)}`
  s += `,"model":${text(r.model)},"route":${text(r.route)},"provider":${text(r.provider)},"target":${text(r.target)}`
  s += `,"model_answered":${text(r.modelAnswered)},"operation":${text(r.operation)},"stream":${r.stream}`
  s += `,"status":${r.status},"outcome":${text(r.outcome)},"duration_ms":${Math.round(r.durationMs)}`
  if (r.usage !== null) s += `,${usageText(r.usage)}`
  s += `,${chargeText(r.charge)},"cached":${r.cached}`
  // One attempt that was answered says nothing that the record does not.
  if (r.attempts.length > 1 || (r.attempts.length === 1 && r.attempts[0]!.result !== 'ok'))
    s += `,"attempts":[${r.attempts.map(attemptText).join(',')}]`
  if (r.wouldRefuse.length > 0) s += `,"would_refuse":[${r.wouldRefuse.map(text).join(',')}]`
  const labels = labelsText(r.labels)
  if (labels !== '') s += `,"labels":{${labels}}`
  return `${s}}`
}
