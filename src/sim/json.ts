/** Reading of parsed JSON without `any`: each helper answers `undefined` for a value of another type. */

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const asObject = (value: Json | undefined): JsonObject | undefined => (isObject(value) ? value : undefined)
export const asArray = (value: Json | undefined): Json[] | undefined => (Array.isArray(value) ? value : undefined)
export const asString = (value: Json | undefined): string | undefined => (typeof value === 'string' ? value : undefined)
export const asNumber = (value: Json | undefined): number | undefined => (typeof value === 'number' ? value : undefined)
export const asBoolean = (value: Json | undefined): boolean | undefined =>
  typeof value === 'boolean' ? value : undefined

/** A lookup table without inherited keys: what is looked up comes from requests, and may be `constructor`. */
export const table = <T>(entries: Readonly<Record<string, T>>): Readonly<Record<string, T | undefined>> =>
  Object.assign(Object.create(null) as Record<string, T>, entries)

/** An object that takes any key from a request, `__proto__` included, as a key of its own. */
export const emptyObject = (): JsonObject => Object.create(null) as JsonObject

/** @throws SyntaxError */
export const parseJson = (text: string): Json => JSON.parse(text) as Json
