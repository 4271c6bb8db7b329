/**
 * The smallest valid instance of a JSON Schema (the parts of draft 2020-12 that structured output and tools use).
 * A `lift` may offer values found in the prompt; an offer that the schema does not allow is dropped.
 */
import { samplesOf } from './brain-pattern.ts'
import type { Json, JsonObject } from './json.ts'
import { asArray, asNumber, asObject, asString, emptyObject, isObject, table } from './json.ts'

/** Offers a value for the property `key`, or undefined. `wanted` is the schema there, with references resolved. */
export interface Lift {
  string(key: string, wanted: JsonObject): string | undefined
  number(key: string): number | undefined
  /** Chooses among the members of an `enum`. */
  member(key: string, members: readonly Json[]): Json | undefined
  /** For a required string without any better source. */
  word(key: string): string
}

export interface InstanceOptions {
  readonly lift: Lift
  /** Every property is given, not only the required ones. */
  readonly allProperties: boolean
  /** Optional properties are given when `lift` has something for them. */
  readonly liftOptional: boolean
}

/** Items, properties or characters that one part of a schema may demand: more is refused, not made. */
const MAX_DEMANDED = 10_000

const demanded = (schema: JsonObject, name: string): number => {
  const value = asNumber(schema[name]) ?? 0
  if (value > MAX_DEMANDED) throw new Unsatisfiable(`${name} is too large`)
  return value
}

/** The schema allows nothing, or only infinite values, here: the caller leaves the branch out. */
class Unsatisfiable extends Error {}

interface Context extends InstanceOptions {
  readonly root: Json
  readonly refs: readonly string[]
  /** Set while a `uniqueItems` list needs values that differ. */
  readonly variant: number
}

const resolve = (root: Json, ref: string): Json => {
  let node: Json | undefined = root
  for (const step of ref
    .replace(/^#\/?/, '')
    .split('/')
    .filter((part) => part !== '')) {
    const key = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
    node = Array.isArray(node) ? node[Number(key)] : asObject(node)?.[key]
  }
  if (node === undefined || !ref.startsWith('#')) throw new Unsatisfiable(`no such $ref: ${ref}`)
  return node
}

const larger = (a: Json, b: Json): Json => Math.max(Number(a), Number(b))
const smaller = (a: Json, b: Json): Json => Math.min(Number(a), Number(b))

const COMBINE = table<(a: Json, b: Json) => Json>({
  properties: (a, b) => mergeMaps(a, b),
  required: (a, b) => [...new Set([...(asArray(a) ?? []), ...(asArray(b) ?? [])])],
  minimum: larger,
  exclusiveMinimum: larger,
  minLength: larger,
  minItems: larger,
  maximum: smaller,
  exclusiveMaximum: smaller,
  maxLength: smaller,
  maxItems: smaller,
  enum: (a, b) => {
    const others = new Set((asArray(b) ?? []).map((member) => JSON.stringify(member)))
    return (asArray(a) ?? []).filter((member) => others.has(JSON.stringify(member)))
  },
})

const mergeMaps = (a: Json, b: Json): Json => {
  const merged = Object.assign(emptyObject(), asObject(a))
  for (const [key, value] of Object.entries(asObject(b) ?? {})) {
    const before = merged[key]
    merged[key] = isObject(before) && isObject(value) ? merge(before, value) : value
  }
  return merged
}

const merge = (a: JsonObject, b: JsonObject): JsonObject => {
  const merged = Object.assign(emptyObject(), a)
  for (const [key, value] of Object.entries(b)) {
    const before = merged[key]
    merged[key] = before === undefined ? value : (COMBINE[key]?.(before, value) ?? value)
  }
  return merged
}

const omit = (schema: JsonObject, ...keys: readonly string[]): JsonObject =>
  Object.fromEntries(Object.entries(schema).filter(([key]) => !keys.includes(key)))

/** Follows `$ref` and folds `allOf` in, so that the rest sees one flat schema. */
const flatten = (schema: Json, context: Context): [JsonObject, Context] => {
  if (schema === false) throw new Unsatisfiable('false schema')
  let flat = asObject(schema) ?? {}
  let inner = context
  for (;;) {
    const ref = asString(flat['$ref'])
    if (ref !== undefined) {
      if (inner.refs.includes(ref)) throw new Unsatisfiable(`endless ${ref}`)
      inner = { ...inner, refs: [...inner.refs, ref] }
      const target = resolve(inner.root, ref)
      if (target === false) throw new Unsatisfiable('false schema')
      flat = merge(asObject(target) ?? {}, omit(flat, '$ref'))
      continue
    }
    const all = asArray(flat['allOf'])
    if (all === undefined) return [flat, inner]
    let merged = omit(flat, 'allOf')
    for (const part of all) {
      const [flatPart, partContext] = flatten(part, inner)
      inner = partContext
      merged = merge(merged, flatPart)
    }
    flat = merged
  }
}

const typeOf = (schema: JsonObject): string | undefined => {
  const type = schema['type']
  if (typeof type === 'string') return type
  const types = asArray(type)?.filter((name) => typeof name === 'string')
  if (types !== undefined) return types.find((name) => name !== 'null') ?? types[0]
  const has = (...keys: readonly string[]): boolean => keys.some((key) => schema[key] !== undefined)
  if (has('properties', 'required', 'additionalProperties', 'minProperties')) return 'object'
  if (has('items', 'prefixItems', 'minItems', 'contains')) return 'array'
  if (has('minLength', 'maxLength', 'pattern', 'format')) return 'string'
  if (has('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf')) return 'number'
  return undefined
}

const branch = (schema: JsonObject, key: 'anyOf' | 'oneOf', name: string, context: Context): Json => {
  const base = omit(schema, key)
  for (const option of asArray(schema[key]) ?? []) {
    try {
      const [flat, inner] = flatten(option, context)
      return generate(merge(base, flat), name, inner)
    } catch (error) {
      if (!(error instanceof Unsatisfiable)) throw error
    }
  }
  throw new Unsatisfiable(`no ${key} branch fits`)
}

const generate = (schema: Json, name: string, outer: Context): Json => {
  const [flat, context] = flatten(schema, outer)
  if (flat['const'] !== undefined) return flat['const']
  const members = asArray(flat['enum'])
  if (members !== undefined) {
    const member = context.lift.member(name, members) ?? members[context.variant % Math.max(1, members.length)]
    if (member === undefined) throw new Unsatisfiable('empty enum')
    return context.variant > 0 ? (members[context.variant % members.length] ?? member) : member
  }
  if (flat['anyOf'] !== undefined) return branch(flat, 'anyOf', name, context)
  if (flat['oneOf'] !== undefined) return branch(flat, 'oneOf', name, context)
  switch (typeOf(flat)) {
    case 'object':
      return generateObject(flat, context)
    case 'array':
      return generateArray(flat, name, context)
    case 'integer':
      return generateNumber(flat, name, true, context)
    case 'number':
      return generateNumber(flat, name, false, context)
    case 'boolean':
      return context.variant % 2 === 1
    case 'null':
      return null
    default:
      return generateString(flat, name, context)
  }
}

const generateObject = (schema: JsonObject, outer: Context): JsonObject => {
  const context = { ...outer, variant: 0 }
  const properties = asObject(schema['properties']) ?? {}
  const required = new Set((asArray(schema['required']) ?? []).filter((key) => typeof key === 'string'))
  const least = demanded(schema, 'minProperties')
  const out = emptyObject()
  let spare = Math.max(0, least - required.size)
  const wantsOptional = (key: string, wanted: Json): boolean =>
    context.allProperties || spare > 0 || (context.liftOptional && offered(key, wanted, context))
  for (const [key, wanted] of Object.entries(properties)) {
    if (required.has(key)) {
      out[key] = generate(wanted, key, context)
    } else if (wantsOptional(key, wanted)) {
      const value = generateOptional(wanted, key, context)
      if (value === undefined) continue
      out[key] = value
      spare = Math.max(0, spare - 1)
    }
  }
  addExtras(out, schema['additionalProperties'], [...required], least, context)
  return out
}

/** Undefined: the schema cannot be satisfied here. */
const generateOptional = (schema: Json, name: string, context: Context): Json | undefined => {
  try {
    return generate(schema, name, context)
  } catch (error) {
    if (error instanceof Unsatisfiable) return undefined
    throw error
  }
}

/** Required keys that `properties` does not describe, and keys that only fill an object up to `minProperties`. */
const addExtras = (
  out: JsonObject,
  extras: Json | undefined,
  required: readonly string[],
  least: number,
  context: Context,
): void => {
  for (const key of required) {
    if (!(key in out)) out[key] = generate(extras ?? true, key, context)
  }
  let missing = extras === false ? 0 : least - Object.keys(out).length
  for (let i = 1; missing > 0; i++) {
    const key = `key${i}`
    if (key in out) continue
    out[key] = generate(extras ?? true, key, context)
    missing--
  }
}

/** Whether the prompt holds something for an optional property: looked up without consuming it. */
const offered = (key: string, schema: Json, context: Context): boolean => {
  try {
    const [flat] = flatten(schema, context)
    const members = asArray(flat['enum'])
    if (members !== undefined) return context.lift.member(key, members) !== undefined
    const type = typeOf(flat)
    if (type !== 'string') return false
    return context.lift.string(key, { ...flat, optional: true }) !== undefined
  } catch (error) {
    if (error instanceof Unsatisfiable) return false
    throw error
  }
}

const leastItems = (schema: JsonObject): number => {
  const least = demanded(schema, 'minItems')
  return schema['contains'] === undefined
    ? least
    : Math.max(least, schema['minContains'] === undefined ? 1 : demanded(schema, 'minContains'))
}

const MAX_UNIQUE_ATTEMPTS = 64

const uniqueItem = (wanted: Json, name: string, known: readonly Json[], context: Context): Json => {
  const texts = new Set(known.map((item) => JSON.stringify(item)))
  for (let variant = known.length; variant <= known.length + MAX_UNIQUE_ATTEMPTS; variant++) {
    const value = generate(wanted, name, { ...context, variant })
    if (!texts.has(JSON.stringify(value))) return value
  }
  throw new Unsatisfiable('no further unique item')
}

const generateArray = (schema: JsonObject, name: string, context: Context): Json[] => {
  const prefix = asArray(schema['prefixItems']) ?? []
  const items = schema['items'] ?? true
  const contains = schema['contains']
  const least = leastItems(schema)
  const most = Math.min(32, asNumber(schema['maxItems']) ?? Infinity)
  const unique = schema['uniqueItems'] === true
  const out: Json[] = []
  if (context.liftOptional && prefix.length === 0 && contains === undefined) {
    const lifted = liftedNumbers(items, name, most, context)
    out.push(...(unique ? new Set(lifted) : lifted))
  }
  while (out.length < least) {
    const wanted = prefix[out.length] ?? contains ?? items
    out.push(unique ? uniqueItem(wanted, name, out, context) : generate(wanted, name, { ...context, variant: 0 }))
  }
  return out
}

/** A list of numbers takes all that the prompt names ("add 3, 4 and 5"). */
const liftedNumbers = (items: Json, name: string, most: number, context: Context): number[] => {
  const [flat] = flatten(items, context)
  const type = typeOf(flat)
  if (flat['enum'] !== undefined || (type !== 'number' && type !== 'integer')) return []
  const out: number[] = []
  while (out.length < most) {
    const value = context.lift.number(name)
    if (value === undefined) break
    if (numberFits(value, flat, type === 'integer')) out.push(value)
  }
  return out
}

const isMultiple = (value: number, step: number): boolean => Math.abs(value / step - Math.round(value / step)) < 1e-9

const numberFits = (value: number, schema: JsonObject, integer: boolean): boolean => {
  const step = asNumber(schema['multipleOf'])
  return (
    (!integer || Number.isInteger(value)) &&
    value >= (asNumber(schema['minimum']) ?? -Infinity) &&
    value <= (asNumber(schema['maximum']) ?? Infinity) &&
    value > (asNumber(schema['exclusiveMinimum']) ?? -Infinity) &&
    value < (asNumber(schema['exclusiveMaximum']) ?? Infinity) &&
    (step === undefined || isMultiple(value, step))
  )
}

const generateNumber = (schema: JsonObject, name: string, integer: boolean, context: Context): number => {
  const lifted = context.variant === 0 ? context.lift.number(name) : undefined
  if (lifted !== undefined && numberFits(lifted, schema, integer)) return lifted
  const low = Math.max(asNumber(schema['minimum']) ?? -Infinity, asNumber(schema['exclusiveMinimum']) ?? -Infinity)
  const high = Math.min(asNumber(schema['maximum']) ?? Infinity, asNumber(schema['exclusiveMaximum']) ?? Infinity)
  const multiple = asNumber(schema['multipleOf'])
  const step = multiple ?? (integer || high - low > 2 ? 1 : (high - low) / 4 || 1)
  const bases = [0, low, high, Math.ceil(low / step) * step, Math.floor(high / step) * step, (low + high) / 2]
  const candidates = bases.filter((base) => Number.isFinite(base))
  const shifts = [0, step, -step]
  const found = candidates
    .flatMap((base) => shifts.map((shift) => base + shift))
    .find((value) => numberFits(value, schema, integer))
  if (found === undefined) throw new Unsatisfiable('no such number')
  if (context.variant === 0) return found
  const varied = [found + context.variant * step, found - context.variant * step]
  return varied.find((value) => numberFits(value, schema, integer)) ?? found
}

const FORMATS = table<string>({
  'date-time': '2026-01-01T00:00:00Z',
  date: '2026-01-01',
  time: '00:00:00Z',
  duration: 'P1D',
  email: 'user@example.com',
  'idn-email': 'user@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uri: 'https://example.com/',
  url: 'https://example.com/',
  'uri-reference': '/path',
  iri: 'https://example.com/',
  uuid: '00000000-0000-4000-8000-000000000000',
  'json-pointer': '/a',
  regex: '^a$',
  byte: 'AA==',
})

const stringCandidates = (schema: JsonObject, name: string, context: Context): string[] => {
  const pattern = asString(schema['pattern'])
  const format = FORMATS[asString(schema['format']) ?? '']
  const fixed = [...(format === undefined ? [] : [format]), ...(pattern === undefined ? [] : samplesOf(pattern))]
  if (format !== undefined || pattern !== undefined) return fixed
  const { variant } = context
  const least = demanded(schema, 'minLength')
  const word = context.lift.word(name) + (variant === 0 ? '' : String(variant))
  // The number goes first when the end is cut off, or all variants would come out the same.
  const cut = [...(variant === 0 ? word : `${variant}${word}`)].slice(0, asNumber(schema['maxLength'])).join('')
  return [word, cut, word.padEnd(least, 'x'), cut.padEnd(least, 'x'), '']
}

const generateString = (schema: JsonObject, name: string, context: Context): string => {
  const pattern = asString(schema['pattern'])
  const least = demanded(schema, 'minLength')
  const most = asNumber(schema['maxLength']) ?? Infinity
  const matcher = pattern === undefined ? undefined : compile(pattern)
  const fits = (text: string): boolean => {
    const length = [...text].length
    return length >= least && length <= most && (matcher === undefined || matcher.test(text))
  }
  const lifted = context.variant === 0 ? context.lift.string(name, schema) : undefined
  if (lifted !== undefined && fits(lifted)) return lifted
  const found = stringCandidates(schema, name, context).find(fits)
  if (found === undefined) throw new Unsatisfiable(`no string for '${name}'`)
  return found
}

const compile = (pattern: string): RegExp => {
  try {
    return new RegExp(pattern, 'u')
  } catch {
    throw new Unsatisfiable(`not a pattern: ${pattern}`)
  }
}

/** An instance of `schema`; null if the schema cannot be satisfied (by this generator). */
export const smallestInstance = (schema: Json, options: InstanceOptions): Json => {
  try {
    return generate(schema, '', { ...options, root: schema, refs: [], variant: 0 })
  } catch (error) {
    if (error instanceof Unsatisfiable) return null
    throw error
  }
}
