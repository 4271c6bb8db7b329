import { hash } from 'node:crypto'
import type { JsonObject } from '../contracts/canonical.ts'
import type { Operation } from '../contracts/operation.ts'
import { canonicalJson } from './canonical-json.ts'
import { questionOf, textAt } from './question.ts'

/**
 * What does not change what is answered: how it is sent, to whom it is booked, where the provider puts it. All else, also
 * what nobody here has heard of, is part of the partition.
 */
const LEFT: ReadonlySet<string> = new Set([
  'stream',
  'stream_options',
  'user',
  'metadata',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_retention',
  'store',
])

/** By what an answer is found. Both are SHA-256, base64url: 43 characters. */
export interface CacheKey {
  /** All that must be the same for two questions to be compared at all. */
  readonly partition: string
  /** That, and the question itself. */
  readonly exact: string
  /** What is compared within the partition; null = nothing may be. */
  readonly question: string | null
}

/**
 * where: what is not in the body and must be the same as well (who shares, route, targets, versions), in a fixed order.
 * None of its texts can be taken for another: each is told with its length.
 */
export function keyOf(where: readonly string[], operation: Operation, sent: JsonObject): CacheKey {
  const place = questionOf(operation, sent)
  let head = `${operation}\n`
  for (const text of where) head += `${text.length}:${text}\n`
  const partition = hash('sha256', head + canonicalJson(sent, LEFT, place), 'base64url')
  const question = place === null ? null : textAt(place)
  return {
    partition,
    exact: question === null ? partition : hash('sha256', partition + question, 'base64url'),
    question,
  }
}
