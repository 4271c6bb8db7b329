import type { Json, JsonObject } from '../../contracts/canonical.ts'
import { GatewayError } from '../../core/errors.ts'
import { isFields } from './loose.ts'

/** Deeper than any schema that is meant; V8's own JSON writer gives up at a few thousand. */
const MAX_DEPTH = 256

/** What constrained decoding of Anthropic takes: docs, structured outputs, JSON Schema limitations. */
const KEPT = new Set(['$ref', '$id', 'title', 'description', 'default', 'const', 'enum', 'type', 'required'])
const FORMATS = new Set(['date-time', 'time', 'date', 'duration', 'email', 'hostname', 'uri', 'ipv4', 'ipv6', 'uuid'])
const LISTS: Readonly<Record<string, string>> = { anyOf: 'anyOf', oneOf: 'anyOf', allOf: 'allOf' }
const MAPS = new Set(['properties', '$defs', 'definitions'])
/** Limits that it refuses; the model still reads them in the description. */
const TOLD = new Set([
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'pattern',
  'minItems',
  'maxItems',
  'uniqueItems',
  'minProperties',
  'maxProperties',
  'format',
])

const tooDeep = (): GatewayError =>
  new GatewayError('invalid_request', 'A JSON Schema is nested too deeply.', { param: 'schema' })

/**
 * A schema as Anthropic's constrained decoding takes it: objects closed, limits told in the description, unknown keywords
 * left out. Throws GatewayError for one nested deeper than 256 levels.
 */
export const closedSchema = (schema: JsonObject): JsonObject => closed(schema, 0) as JsonObject

function closed(schema: Json, depth: number): Json {
  if (depth > MAX_DEPTH) throw tooDeep()
  if (!isFields(schema)) return schema
  const entries: [string, Json][] = []
  const told: string[] = []
  let object = schema['type'] === 'object'
  for (const [key, value] of Object.entries(schema)) {
    if (isKept(key, value)) entries.push([key, value])
    else if (TOLD.has(key)) told.push(`${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    else if (key === 'items') entries.push([key, closed(value, depth + 1)])
    else if (LISTS[key] !== undefined && Array.isArray(value))
      entries.push([LISTS[key], value.map((one) => closed(one, depth + 1))])
    else if (MAPS.has(key) && isFields(value)) {
      object ||= key === 'properties'
      entries.push([key, mapped(value, (one) => closed(one, depth + 1))])
    }
  }
  const out = Object.fromEntries(entries)
  if (object) out['additionalProperties'] = false
  if (told.length > 0) out['description'] = described(out['description'], told)
  return out
}

const isKept = (key: string, value: Json): boolean =>
  KEPT.has(key) ||
  (key === 'format' && typeof value === 'string' && FORMATS.has(value)) ||
  (key === 'minItems' && (value === 0 || value === 1))

const described = (before: Json | undefined, told: readonly string[]): string =>
  typeof before === 'string' && before !== '' ? `${before} (${told.join('; ')})` : told.join('; ')

/** By entries: a property may be called `__proto__`. */
const mapped = (fields: JsonObject, change: (value: Json) => Json): JsonObject =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, change(value)]))

/** Without `$schema`, which several vendors refuse at the top. */
export function bareSchema(schema: JsonObject): JsonObject {
  if (!('$schema' in schema)) return schema
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key !== '$schema'))
}

/** Arguments of a tool: vendors that want an object get one for a tool that takes nothing. */
export const parametersOf = (schema: JsonObject | null): JsonObject =>
  schema === null ? { type: 'object', properties: {} } : bareSchema(schema)
