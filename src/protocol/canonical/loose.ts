import type { Json, JsonObject } from '../../contracts/canonical.ts'

/** Reading of what backends send: nothing in it is trusted, and nothing here throws but parseEvent(). */

export type Loose = Readonly<Record<string, unknown>>

const NOTHING: Loose = {}
const NONE: readonly unknown[] = []

export const isFields = (value: unknown): value is Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** An object's fields; none for what is no object. */
export const fieldsOf = (value: unknown): Loose => (isFields(value) ? value : NOTHING)

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : NONE)

/** '' for what is no text. */
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

/** One event's data, which must be a JSON object. Throws SyntaxError. */
export function parseEvent(data: string): Loose {
  const value: unknown = JSON.parse(data)
  if (!isFields(value)) throw new SyntaxError('The event is not a JSON object.')
  return value
}

/** What has come out of JSON.parse is JSON. */
export const asJson = (value: unknown): Json => (value ?? null) as Json

export const asObject = (value: Loose): JsonObject => value as JsonObject

/** Sets a field of a body that is being written, unless there is nothing to say. */
export function put(body: JsonObject, key: string, value: Json | undefined): void {
  if (value !== undefined) body[key] = value
}
