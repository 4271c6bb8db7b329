import type { Json, JsonObject } from '../../contracts/canonical.ts'
import { GatewayError } from '../../core/errors.ts'

/** Reading of what clients send: each says which field is not what it must be. */

export const badField = (param: string, what: string): GatewayError =>
  new GatewayError('invalid_request', `The field '${param}' must be ${what}.`, { param })

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export function objectAt(value: Json | undefined, param: string): JsonObject {
  if (!isObject(value)) throw badField(param, 'an object')
  return value
}

export function listAt(value: Json | undefined, param: string): readonly Json[] {
  if (!Array.isArray(value)) throw badField(param, 'a list')
  return value
}

export function textAt(value: Json | undefined, param: string): string {
  if (typeof value !== 'string') throw badField(param, 'a string')
  return value
}

/** undefined for what is absent or null. */
export const maybeText = (value: Json | undefined, param: string): string | undefined =>
  value === undefined || value === null ? undefined : textAt(value, param)

export function maybeNumber(value: Json | undefined, param: string, min = -Infinity): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !Number.isFinite(value) || value < min)
    throw badField(param, min === -Infinity ? 'a number' : `a number of at least ${min}`)
  return value
}

export function maybeWhole(value: Json | undefined, param: string, min = 0): number | undefined {
  const found = maybeNumber(value, param, min)
  if (found !== undefined && !Number.isSafeInteger(found)) throw badField(param, 'a whole number')
  return found
}

export function maybeFlag(value: Json | undefined, param: string): boolean | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'boolean') throw badField(param, 'true or false')
  return value
}

export function oneOf<T extends string>(value: string, allowed: readonly T[], param: string): T {
  if (!(allowed as readonly string[]).includes(value)) throw badField(param, `one of ${allowed.join(', ')}`)
  return value as T
}

/** Properties that are set: codecs leave out what was not said. */
export function compact<T extends object>(fields: { readonly [K in keyof T]: T[K] | undefined }): T {
  const out: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(fields)) if (value !== undefined) out[key] = value
  return out as T
}
