import type { Json, JsonObject } from '../../contracts/canonical.ts'
import { packProof, unpackProof } from '../canonical/proof-out.ts'
import type { Proof } from '../canonical/proof-out.ts'
import { isObject } from '../canonical/read.ts'
import { fieldNames } from '../canonical/say.ts'

const DIALECT = 'gemini.generate'

/** Field names are a few dozen, fixed in the sources: their other spelling is made once. */
const SNAKE = new Map<string, string>()

/** proto3 JSON: fields have the name in camel case, and in snake case, too. */
export function field(object: JsonObject, camel: string): Json | undefined {
  const found = object[camel]
  if (found !== undefined) return found
  let snake = SNAKE.get(camel)
  if (snake === undefined) {
    snake = camel.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    SNAKE.set(camel, snake)
  }
  return object[snake]
}

/** Names as proto3 JSON may spell them. */
export const camelOf = (name: string): string =>
  name.includes('_') ? name.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase()) : name

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
/** `hdl` in base64: Google's own that begins so is packed as well, or it would be taken for ours. */
const PACKED = 'aGRs'

/** thoughtSignature is of type bytes: it must be base64, whatever was signed. */
export function signatureText(proof: Proof, natural: Proof['kind']): string {
  const { by, value } = proof.opaque
  const isPlain = by === DIALECT && BASE64.test(value) && !value.startsWith(PACKED)
  const packed = packProof(proof, DIALECT, natural)
  if (isPlain && packed === value) return value
  const other = natural === 'call' ? 'signature' : 'call'
  const marked = packed === value ? packProof(proof, DIALECT, proof.kind === other ? natural : other) : packed
  return Buffer.from(marked).toString('base64')
}

export function signatureProof(text: string, natural: Proof['kind']): Proof {
  if (text.startsWith(PACKED)) {
    const inner = Buffer.from(text, 'base64').toString()
    if (inner.startsWith('hdl1.') || inner.startsWith('hdl2.')) return unpackProof(inner, DIALECT, natural)
  }
  return { kind: natural, of: '', opaque: { by: DIALECT, value: text } }
}

const NUMBERS = fieldNames('maxItems minItems maxLength minLength maxProperties minProperties')
const GOOGLE_ONLY = fieldNames('propertyOrdering nullable example')

/** google-genai `Schema`, which names types in capitals, as JSON Schema. */
export function jsonSchema(schema: JsonObject): JsonObject {
  const out: JsonObject = {}
  for (const [sent, value] of Object.entries(schema)) {
    const name = camelOf(sent)
    if (name === 'type') {
      if (typeof value === 'string' && value !== 'TYPE_UNSPECIFIED') out['type'] = typeOf(value, schema['nullable'])
      else if (Array.isArray(value)) out['type'] = value
    } else if (name === 'properties' && isObject(value)) out[name] = mapped(value)
    else if (name === 'items' && isObject(value)) out[name] = jsonSchema(value)
    else if (name === 'anyOf' && Array.isArray(value))
      out[name] = value.map((item) => (isObject(item) ? jsonSchema(item) : item))
    else if (NUMBERS.has(name) && typeof value === 'string' && Number.isFinite(Number(value))) out[name] = Number(value)
    else if (!GOOGLE_ONLY.has(name) && !(name === 'format' && value === 'enum'))
      out[name.startsWith('$') ? sent : name] = value
  }
  return out
}

const typeOf = (type: string, nullable: Json | undefined): Json =>
  nullable === true ? [type.toLowerCase(), 'null'] : type.toLowerCase()

const mapped = (properties: JsonObject): JsonObject =>
  Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, isObject(value) ? jsonSchema(value) : value]),
  )
