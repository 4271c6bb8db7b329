import type { BatchesConfig, ResponsesConfig } from '../contracts/config-responses.ts'
import type { Build } from './build.ts'
import { toKeys } from './encryption-keys.ts'

const HOUR_MS = 3_600_000
const MIN_BYTES = 1024 * 1024

export function toResponses(build: Build): ResponsesConfig | null {
  const { parsed, map, problems } = build
  const raw = parsed.responses
  if (raw === undefined) return null
  const report = (field: string, message: string): void => {
    problems.push(map.problem(['responses', field], message))
  }
  const keys = toKeys(raw.encryption_key, ['responses', 'encryption_key'], build)
  if (raw.store === 'off') return null
  if (raw.store === 'redis') {
    if (parsed.ledger?.redis === undefined) report('store', 'needs `ledger.redis`, which says where Redis is')
    if (raw.encryption_key === undefined)
      report('store', 'needs `encryption_key`: what clients say must not lie in Redis for all to read')
  }
  if (raw.ttl < 1000) report('ttl', 'must be at least 1s')
  if (raw.max_bytes < MIN_BYTES) report('max_bytes', 'must be at least 1MiB')
  if (raw.max_item < 1024) report('max_item', 'must be at least 1KiB')
  if (raw.store === 'memory' && raw.max_item > raw.max_bytes) report('max_item', 'is more than `max_bytes`')
  return {
    store: raw.store,
    ttlMs: raw.ttl,
    maxBytes: raw.max_bytes,
    maxItemBytes: raw.max_item,
    maxChain: raw.max_chain,
    background: raw.background,
    keys,
  }
}

export function toBatches(build: Build): BatchesConfig | null {
  const { parsed, map, problems } = build
  const raw = parsed.batches
  if (raw === undefined) return null
  if (parsed.responses === undefined || parsed.responses.store === 'off')
    problems.push(map.problem(['batches'], 'needs `responses`, whose store keeps files and results', 'key'))
  if (raw.ttl < HOUR_MS) problems.push(map.problem(['batches', 'ttl'], 'must be at least 1h'))
  return {
    models: raw.models,
    concurrency: raw.concurrency,
    maxFileBytes: raw.max_file,
    maxLines: raw.max_lines,
    ttlMs: raw.ttl,
    maxOpen: raw.max_open,
    priority: raw.priority,
  }
}
