import type { Json } from '../../contracts/canonical.ts'
import type { TensorType } from '../../contracts/config-mapping.ts'
import { GatewayError } from '../../core/errors.ts'
import { isObject } from '../canonical/read.ts'

/** A tensor in no server's words; data row by row. */
export interface Tensor {
  readonly name: string
  readonly type: TensorType
  readonly shape: readonly number[]
  readonly data: readonly Json[]
}

/** A tensor of a server that cannot be: too little data for its shape, a negative size. */
export class TensorFault extends Error {}

export const MAX_RANK = 8

/**
 * Number of elements of a shape. Throws TensorFault. Nothing may be made by it before it has been compared with the data:
 * a shape is a claim.
 */
export function elementsOf(shape: readonly (number | bigint)[]): number {
  if (shape.length > MAX_RANK) throw new TensorFault(`a tensor of rank ${shape.length}`)
  let count = 1
  for (const size of shape) {
    const n = Number(size)
    if (!Number.isSafeInteger(n) || n < 0) throw new TensorFault('a dimension that is no size')
    count *= n
  }
  if (!Number.isSafeInteger(count)) throw new TensorFault('a tensor larger than any memory')
  return count
}

/** Rows within rows. data: as long as the shape says (elementsOf). */
export function nest(data: readonly Json[], shape: readonly number[]): Json {
  if (shape.length === 0) return data[0]!
  if (shape.length === 1) return data as Json[]
  const rest = shape.slice(1)
  const count = shape[0]!
  const size = rest.reduce((product, n) => product * n, 1)
  // Rows of nothing: as many as are claimed would cost memory that no data has paid for.
  if (size === 0) return []
  return Array.from({ length: count }, (_, i) => nest(data.slice(i * size, (i + 1) * size), rest))
}

/** The reverse. Throws TensorFault when rows differ in length. */
export function flatten(value: Json): { readonly shape: readonly number[]; readonly data: readonly Json[] } {
  const shape: number[] = []
  for (let at: Json = value; Array.isArray(at); at = at[0] ?? null) {
    shape.push(at.length)
    if (shape.length > MAX_RANK) throw new TensorFault('too many rows within rows')
    if (at.length === 0) break
  }
  const data: Json[] = []
  collect(value, 0, shape, data)
  return { shape, data }
}

function collect(value: Json, depth: number, shape: readonly number[], data: Json[]): void {
  if (depth === shape.length) {
    if (Array.isArray(value)) throw new TensorFault('rows of several depths')
    data.push(value)
  } else if (!Array.isArray(value) || value.length !== shape[depth]) throw new TensorFault('rows of several lengths')
  else for (const item of value) collect(item, depth + 1, shape, data)
}

/** Bounds of whole numbers, inclusive. */
const INT32 = 2_147_483_647
const WHOLE = /^[+-]?\d{1,19}$/
const INT64 = 9_223_372_036_854_775_807n

const cannot = (name: string, type: string): GatewayError =>
  new GatewayError(
    'invalid_request',
    `The model's input '${name}' wants ${type}, and the request has something else.`,
    {
      param: name,
    },
  )

const wholeOf = (value: Json): Json | null => {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : null
  if (typeof value !== 'string' || !WHOLE.test(value)) return null
  const exact = BigInt(value)
  if (exact > INT64 || exact < -INT64 - 1n) return null
  const near = Number(exact)
  // As text where a number would not be exact.
  return Number.isSafeInteger(near) ? near : String(exact)
}

const numberOf = (value: Json): number | null => {
  const n = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof n === 'number' && Number.isFinite(n) ? n : null
}

const boolOf = (value: Json): boolean | null =>
  typeof value === 'boolean'
    ? value
    : value === 'true' || value === 1
      ? true
      : value === 'false' || value === 0
        ? false
        : null

/** One element in the type that its tensor has. Throws GatewayError. */
export function coerce(value: Json, type: TensorType, name: string): Json {
  switch (type) {
    case 'string':
      if (isObject(value) && typeof value['b64'] === 'string') return value
      return typeof value === 'string' ? value : JSON.stringify(value)
    case 'int32': {
      const whole = wholeOf(value)
      if (typeof whole === 'number' && whole <= INT32 && whole >= -INT32 - 1) return whole
      throw cannot(name, 'a whole number of 32 bits')
    }
    case 'int64': {
      const whole = wholeOf(value)
      if (whole !== null) return whole
      throw cannot(name, 'a whole number')
    }
    case 'float':
    case 'double': {
      const n = numberOf(value)
      if (n !== null) return n
      throw cannot(name, 'a number')
    }
    case 'bool': {
      const flag = boolOf(value)
      if (flag !== null) return flag
      throw cannot(name, 'true or false')
    }
  }
}

/** What a value is when nobody says. */
export function typeOfValue(value: Json): TensorType {
  if (typeof value === 'number')
    return Number.isInteger(value) ? (Math.abs(value) > INT32 ? 'int64' : 'int32') : 'float'
  return typeof value === 'boolean' ? 'bool' : 'string'
}

/** A shape in which at most one -1 stands for what the data fill. Null = the data do not fit. */
export function fitShape(shape: readonly number[], count: number): readonly number[] | null {
  const open = shape.indexOf(-1)
  const fixed = shape.reduce((product, n) => (n === -1 ? product : product * n), 1)
  if (open < 0) return fixed === count ? shape : null
  if (fixed === 0 || count % fixed !== 0) return null
  return shape.map((n) => (n === -1 ? count / fixed : n))
}
