import type { BatchesConfig, ResponsesConfig } from '../contracts/config-responses.ts'
import type { Build } from './build.ts'
import type { Path } from './problem.ts'

const KEY_BYTES = 32
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/
const HOUR_MS = 3_600_000
const MIN_BYTES = 1024 * 1024

/** Faults never quote the text: it is the secret, or a mistyped one. */
function toKey(text: string, path: Path, { map, problems }: Build): string | null {
  const key = Buffer.from(text.trim(), 'base64')
  if (BASE64.test(text.trim()) && key.length === KEY_BYTES) return key.toString('base64')
  problems.push(map.problem(path, 'must be 32 bytes in base64, as `openssl rand -base64 32` makes them'))
  return null
}

function toKeys(value: string | readonly string[] | undefined, build: Build): readonly string[] {
  const path: Path = ['responses', 'encryption_key']
  if (value === undefined) return []
  if (typeof value === 'string') return [toKey(value, path, build) ?? []].flat()
  return value.flatMap((text, i) => toKey(text, [...path, i], build) ?? [])
}

export function toResponses(build: Build): ResponsesConfig | null {
  const { parsed, map, problems } = build
  const raw = parsed.responses
  if (raw === undefined) return null
  const report = (field: string, message: string): void => {
    problems.push(map.problem(['responses', field], message))
  }
  const keys = toKeys(raw.encryption_key, build)
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
