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

/** @throws SyntaxError */
export const parseJson = (text: string): Json => JSON.parse(text) as Json
