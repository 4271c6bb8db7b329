import { createHash } from 'node:crypto'
import type { JsonObject } from './json-rpc.ts'

const json = JSON as typeof JSON & { isRawJSON(value: unknown): boolean }

/** Keys in order, so that a server may write them in another one. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || json.isRawJSON(value)) return value
  if (Array.isArray(value)) return value.map(sorted)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]))
}

/** SHA-256 (hex) of all that a model or a person is told of a tool: all but `_meta` and `icons`. */
export function toolHash(tool: JsonObject): string {
  const { _meta: _, icons: __, ...told } = tool
  return createHash('sha256')
    .update(JSON.stringify(sorted(told)))
    .digest('hex')
}
