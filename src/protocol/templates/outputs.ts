import type { FinishReason, Json } from '../../contracts/canonical.ts'
import type { MappingConfig, OutputRef } from '../../contracts/config-mapping.ts'
import type { Usage } from '../../contracts/usage.ts'
import { isObject } from '../canonical/read.ts'
import { NO_USAGE } from '../usage.ts'

/** Finds an output by name in an answer; undefined = it has none of that name. */
export type Lookup = (name: string) => Json | undefined

/** What a model said, by its mapping. */
export interface Told {
  readonly text: string
  readonly reason: FinishReason
  readonly usage: Usage | null
}

const MAX_DEPTH = 16

/** One step into a value; a text on the way is JSON (models written in Python like to answer so). */
function into(value: Json, key: string | number): Json | undefined {
  const inner = typeof value === 'string' ? parsed(value) : value
  if (Array.isArray(inner)) return typeof key === 'number' ? inner[key] : undefined
  if (!isObject(inner)) return undefined
  return Object.hasOwn(inner, key) ? inner[String(key)] : undefined
}

function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

/** undefined = it is not there. */
export function findOutput(ref: OutputRef, lookup: Lookup): Json | undefined {
  let value = lookup(ref.name)
  for (const key of ref.path) {
    if (value === undefined) return undefined
    value = into(isBytes(value) ? textOfBytes(value) : value, key)
  }
  return value
}

const isBytes = (value: Json): value is { b64: string } =>
  isObject(value) && typeof value['b64'] === 'string' && Object.keys(value).length === 1

const textOfBytes = ({ b64 }: { readonly b64: string }): string => Buffer.from(b64, 'base64').toString()

/** The first element, as a text; undefined = there is none. */
export function firstText(value: Json | undefined, depth = 0): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (value === undefined || value === null || depth > MAX_DEPTH) return undefined
  if (Array.isArray(value)) return firstText(value[0], depth + 1)
  return isBytes(value) ? textOfBytes(value) : undefined
}

function firstNumber(value: Json | undefined): number | undefined {
  const text = firstText(value)
  const n = text === undefined || text.trim() === '' ? Number.NaN : Number(text)
  return Number.isFinite(n) && n >= 0 ? Math.floor(n) : undefined
}

const LENGTH = /^(?:length|max_?(?:new_?)?(?:tokens|length))$/i
const FILTER = /^content_?filter$/i

const reasonOf = (text: string | undefined): FinishReason =>
  text === undefined ? 'stop' : LENGTH.test(text) ? 'length' : FILTER.test(text) ? 'content_filter' : 'stop'

const numberAt = (ref: OutputRef | null, lookup: Lookup): number | undefined =>
  ref === null ? undefined : firstNumber(findOutput(ref, lookup))

/** Tokens, where the mapping says where they stand and they are there. */
export function usageOf({ outputs }: MappingConfig, lookup: Lookup): Usage | null {
  const inputTokens = numberAt(outputs.inputTokens, lookup)
  const outputTokens = numberAt(outputs.outputTokens, lookup)
  if (inputTokens === undefined && outputTokens === undefined) return null
  return { ...NO_USAGE, inputTokens: inputTokens ?? 0, outputTokens: outputTokens ?? 0 }
}

/** Null = the answer has no such text. */
export function toldOf(mapping: MappingConfig, lookup: Lookup): Told | null {
  const { text: ref, finish } = mapping.outputs
  const text = ref === null ? undefined : firstText(findOutput(ref, lookup))
  if (text === undefined) return null
  const reason = finish === null ? undefined : firstText(findOutput(finish, lookup))
  return { text, reason: reasonOf(reason), usage: usageOf(mapping, lookup) }
}

const isVector = (value: Json): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((n) => typeof n === 'number' && Number.isFinite(n))

/** Rows of one row each are that row. */
function vectorOf(value: Json, depth = 0): number[] | null {
  if (isVector(value)) return value
  if (depth > MAX_DEPTH || !Array.isArray(value) || value.length !== 1) return null
  return vectorOf(value[0]!, depth + 1)
}

/** One vector a text, in their order. Null = the answer has another number of them, or something else. */
export function vectorsOf({ outputs }: MappingConfig, lookup: Lookup, count: number): readonly number[][] | null {
  const value = outputs.embedding === null ? undefined : findOutput(outputs.embedding, lookup)
  if (!Array.isArray(value)) return null
  if (count === 1) {
    const alone = vectorOf(value)
    return alone === null ? null : [alone]
  }
  if (value.length !== count) return null
  const vectors = value.map((row) => vectorOf(row))
  const length = vectors[0]?.length
  return vectors.every((vector): vector is number[] => vector !== null && vector.length === length) ? vectors : null
}
