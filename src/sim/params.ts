/** Checks of request fields, with the messages and codes of the OpenAI API. Each throws ApiError 400. */
import { badRequest } from './errors.ts'
import type { Json, JsonObject } from './json.ts'
import { asArray, isObject } from './json.ts'

const present = (value: Json | undefined): value is Exclude<Json, null> => value !== undefined && value !== null

const typeName = (value: Json): string => {
  if (Array.isArray(value)) return 'an array'
  if (isObject(value)) return 'an object'
  if (value === null) return 'null'
  return typeof value === 'number' ? (Number.isInteger(value) ? 'an integer' : 'a decimal number') : `a ${typeof value}`
}

const wrongType = (name: string, expected: string, value: Json): Error =>
  badRequest(
    `Invalid type for '${name}': expected ${expected}, but got ${typeName(value)} instead.`,
    name,
    'invalid_type',
  )

export const required = (body: JsonObject, name: string): Exclude<Json, null> => {
  const value = body[name]
  if (!present(value)) throw badRequest(`Missing required parameter: '${name}'.`, name, 'missing_required_parameter')
  return value
}

export const numberIn = (body: JsonObject, name: string, low: number, high: number): number | undefined => {
  const value = body[name]
  if (!present(value)) return undefined
  if (typeof value !== 'number') throw wrongType(name, 'a number', value)
  if (value < low || value > high) {
    const below = value < low
    const bound = below ? `a value >= ${low}` : `a value <= ${high}`
    const code = below ? 'integer_below_min_value' : 'integer_above_max_value'
    throw badRequest(
      `Invalid '${name}': expected ${bound}, but got ${value} instead.`,
      name,
      Number.isInteger(value) ? code : 'invalid_value',
    )
  }
  return value
}

export const integerIn = (body: JsonObject, name: string, low: number, high: number): number | undefined => {
  const value = numberIn(body, name, low, high)
  if (value !== undefined && !Number.isInteger(value)) throw wrongType(name, 'an integer', value)
  return value
}

export const flag = (body: JsonObject, name: string): boolean | undefined => {
  const value = body[name]
  if (!present(value)) return undefined
  if (typeof value !== 'boolean') throw wrongType(name, 'a boolean', value)
  return value
}

export const text = (body: JsonObject, name: string): string | undefined => {
  const value = body[name]
  if (!present(value)) return undefined
  if (typeof value !== 'string') throw wrongType(name, 'a string', value)
  return value
}

export const oneOf = <T extends string>(body: JsonObject, name: string, allowed: readonly T[]): T | undefined => {
  const value = text(body, name)
  if (value === undefined) return undefined
  const found = allowed.find((member) => member === value)
  if (found === undefined) {
    const names = allowed.map((member) => `'${member}'`).join(', ')
    throw badRequest(`Invalid value: '${value}'. Supported values are: ${names}.`, name, 'invalid_value')
  }
  return found
}

export const list = (body: JsonObject, name: string): Json[] | undefined => {
  const value = body[name]
  if (!present(value)) return undefined
  const items = asArray(value)
  if (items === undefined) throw wrongType(name, 'an array', value)
  return items
}

/** Up to four sequences, as a string or a list. */
export const stopSequences = (body: JsonObject): string[] => {
  const value = body['stop']
  if (!present(value)) return []
  const items = Array.isArray(value) ? value : [value]
  if (items.length > 4)
    throw badRequest("Invalid 'stop': array too long. Expected at most 4 items.", 'stop', 'array_above_max_length')
  return items.map((item) => {
    if (typeof item !== 'string') throw wrongType('stop', 'a string or array of strings', item)
    return item
  })
}
