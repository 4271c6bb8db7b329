import type { FinishReason, Json, JsonObject } from '../../contracts/canonical.ts'
import { isObject } from '../canonical/read.ts'

/** Finish reasons of the legacy API; refusals are texts here. */
export function completionReason(reason: FinishReason | ''): string {
  if (reason === 'length' || reason === 'content_filter' || reason === 'error') return reason
  return 'stop'
}

/** Entries of the chat API as the legacy API has them. from: characters of the answer before the first. */
export function legacyLogprobs(entries: readonly Json[], from: number): JsonObject {
  const tokens: Json[] = []
  const values: Json[] = []
  const tops: Json[] = []
  const offsets: Json[] = []
  let offset = from
  for (const entry of entries) {
    if (!isObject(entry)) continue
    const token = typeof entry['token'] === 'string' ? entry['token'] : ''
    tokens.push(token)
    values.push(entry['logprob'] ?? null)
    offsets.push(offset)
    offset += token.length
    const list = Array.isArray(entry['top_logprobs']) ? entry['top_logprobs'].filter(isObject) : []
    tops.push(Object.fromEntries(list.map((top) => [String(top['token']), top['logprob'] ?? null])))
  }
  return { tokens, token_logprobs: values, top_logprobs: tops, text_offset: offsets }
}
