import type { Json, JsonObject } from '../contracts/canonical.ts'
import type { Wire } from '../contracts/dialect.ts'
import { isObject } from '../protocol/canonical/read.ts'

/** A whole answer as its wire reads it; null = it is none. */
export function answerBody({ anyBody }: Pick<Wire, 'anyBody'>, bytes: Buffer): JsonObject | null {
  const text = bytes.toString()
  let value: Json | undefined
  try {
    value = JSON.parse(text) as Json
  } catch {
    value = undefined
  }
  if (isObject(value)) return value
  return anyBody === true ? { body: value ?? text } : null
}
