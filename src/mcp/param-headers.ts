import type { Received } from '../contracts/http.ts'
import { headerValue } from './envelope.ts'
import { isObject, type JsonObject } from './json-rpc.ts'

const PREFIX = 'mcp-param-'
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/
const MAX_DEPTH = 16

/** Headers of a client that repeat arguments of its call: its server compares them. */
export function receivedParams(received: Received): readonly string[] {
  const found: string[] = []
  for (const [name, value] of Object.entries(received.headers()))
    if (name.startsWith(PREFIX) && typeof value === 'string') found.push(name, value)
  return found
}

const textOf = (value: unknown): string | null => {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean') return String(value)
  return typeof value === 'number' && Number.isInteger(value) ? String(value) : null
}

function collect(schema: unknown, value: unknown, depth: number, to: string[]): void {
  if (!isObject(schema) || depth > MAX_DEPTH) return
  const header = schema['x-mcp-header']
  if (typeof header === 'string' && TOKEN.test(header)) {
    const text = textOf(value)
    if (text !== null) to.push(PREFIX + header.toLowerCase(), headerValue(text))
  }
  const { properties } = schema
  if (!isObject(properties) || !isObject(value)) return
  for (const [name, property] of Object.entries(properties))
    if (Object.hasOwn(value, name)) collect(property, value[name], depth + 1, to)
}

/** Headers that a tool wants its arguments repeated in, for a client that knows nothing of them (2026-07-28, `x-mcp-header`). */
export function paramHeaders(tool: JsonObject, args: unknown): readonly string[] {
  const found: string[] = []
  collect(tool['inputSchema'], args, 0, found)
  return found
}
