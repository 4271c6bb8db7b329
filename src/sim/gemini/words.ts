/** How Google says what is wrong with a request, and which spellings of a name it takes. */
import type { Words } from '../fields.ts'
import type { Json, JsonObject } from '../json.ts'
import { isObject } from '../json.ts'

const TYPES = {
  object: 'TYPE_MESSAGE',
  array: 'TYPE_MESSAGE',
  string: 'TYPE_STRING',
  number: 'TYPE_FLOAT',
  integer: 'TYPE_INT32',
  boolean: 'TYPE_BOOL',
} as const

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const place = (at: string): { parent: string; name: string } => {
  const dot = at.lastIndexOf('.')
  return { parent: snake(at.slice(0, Math.max(0, dot))), name: at.slice(dot + 1) }
}

export const WORDS: Words = {
  member: (at, key) => (typeof key === 'number' ? `${at}[${key}]` : at === '' ? key : `${at}.${key}`),
  missing: (at) => `* GenerateContentRequest.${snake(at)}: ${snake(place(at).name)} is not specified`,
  type: (at, wanted) => `Invalid value at '${snake(at)}' (${TYPES[wanted]})`,
  range: (at, low, high) =>
    `* GenerateContentRequest.${snake(at)}: ${snake(place(at).name)} must be in the range [${low}, ${high}].`,
  oneOf: (at, _, value) => `Invalid value at '${snake(at)}' (TYPE_ENUM), "${value}"`,
  extra: (at) => {
    const { parent, name } = place(at)
    const where = parent === '' ? '' : ` at '${parent}'`
    return `Invalid JSON payload received. Unknown name "${name}"${where}: Cannot find field.`
  },
}

/** Values that are the caller's own, and schemas: their keys are not fields. */
const OWN = new Set([
  'args',
  'response',
  'parameters',
  'parametersJsonSchema',
  'responseSchema',
  'responseJsonSchema',
  'labels',
])

const camelName = (name: string): string => name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** JSON of protocol buffers may say `system_instruction` for `systemInstruction`. */
export const camel = (value: Json): Json => {
  if (Array.isArray(value)) return value.map(camel)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      const name = camelName(key)
      return [name, OWN.has(name) ? item : camel(item)]
    }),
  )
}

/** OpenAPI's types are written in capitals here, its counts as strings. */
export const jsonSchema = (schema: Json): Json => {
  if (Array.isArray(schema)) return schema.map(jsonSchema)
  if (!isObject(schema)) return schema
  const out: JsonObject = {}
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'type' && typeof value === 'string') out[key] = value.toLowerCase()
    else if (/^(?:min|max)(?:Items|Length|Properties)$/.test(key)) out[key] = Number(value)
    else if (key === 'properties' && isObject(value))
      out[key] = Object.fromEntries(Object.entries(value).map(([name, item]) => [name, jsonSchema(item)]))
    else if (key === 'items' || key === 'anyOf') out[key] = jsonSchema(value)
    else out[key] = value
  }
  return out
}
