/** Strict reading of request bodies, with errors in the words of whichever wire reads them. */
import type { ApiError } from './errors.ts'
import { badRequest } from './errors.ts'
import type { Json, JsonObject } from './json.ts'
import { isObject } from './json.ts'

/** How a vendor says what is wrong with a field. */
export interface Words {
  /** Where a member of an object or of a list stands. */
  readonly member: (at: string, key: string | number) => string
  readonly missing: (at: string) => string
  readonly type: (at: string, wanted: 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean') => string
  readonly range: (at: string, low: number, high: number, value: number) => string
  readonly oneOf: (at: string, allowed: readonly string[], value: string) => string
  readonly extra: (at: string) => string
}

/** An object of a request, and where in the request it stands ('' = it is the body). */
export class Fields {
  readonly value: JsonObject
  readonly at: string
  readonly words: Words

  /** @throws ApiError 400 */
  constructor(words: Words, value: Json | undefined, at: string) {
    this.words = words
    this.at = at
    if (!isObject(value)) throw badRequest(value === undefined ? words.missing(at) : words.type(at, 'object'), at)
    this.value = value
  }

  where(name: string | number): string {
    return this.words.member(this.at, name)
  }

  bad(name: string, message: string): ApiError {
    return badRequest(message, this.where(name))
  }

  /** undefined for null as well. */
  get(name: string): Exclude<Json, null> | undefined {
    return this.value[name] ?? undefined
  }

  /** @throws ApiError 400 for a field that is not named */
  only(names: ReadonlySet<string>): void {
    for (const name of Object.keys(this.value))
      if (!names.has(name)) throw this.bad(name, this.words.extra(this.where(name)))
  }

  object(name: string): Fields | undefined {
    const value = this.get(name)
    return value === undefined ? undefined : new Fields(this.words, value, this.where(name))
  }

  list(name: string): Json[] | undefined {
    const value = this.get(name)
    if (value === undefined || Array.isArray(value)) return value
    throw this.bad(name, this.words.type(this.where(name), 'array'))
  }

  objects(name: string): Fields[] {
    const at = this.where(name)
    return (this.list(name) ?? []).map((item, index) => new Fields(this.words, item, this.words.member(at, index)))
  }

  strings(name: string): string[] | undefined {
    const at = this.where(name)
    return this.list(name)?.map((item, index) => {
      if (typeof item === 'string') return item
      const place = this.words.member(at, index)
      throw badRequest(this.words.type(place, 'string'), place)
    })
  }

  text(name: string): string | undefined {
    const value = this.get(name)
    if (value === undefined || typeof value === 'string') return value
    throw this.bad(name, this.words.type(this.where(name), 'string'))
  }

  flag(name: string): boolean | undefined {
    const value = this.get(name)
    if (value === undefined || typeof value === 'boolean') return value
    throw this.bad(name, this.words.type(this.where(name), 'boolean'))
  }

  number(name: string, low: number, high: number): number | undefined {
    const value = this.get(name)
    if (value === undefined) return undefined
    if (typeof value !== 'number') throw this.bad(name, this.words.type(this.where(name), 'number'))
    if (value < low || value > high) throw this.bad(name, this.words.range(this.where(name), low, high, value))
    return value
  }

  integer(name: string, low: number, high: number): number | undefined {
    const value = this.number(name, low, high)
    if (value === undefined || Number.isInteger(value)) return value
    throw this.bad(name, this.words.type(this.where(name), 'integer'))
  }

  oneOf<const T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    const found = allowed.find((member) => member === value)
    if (found === undefined) throw this.bad(name, this.words.oneOf(this.where(name), allowed, value))
    return found
  }

  /** @throws ApiError 400 if the value is absent */
  need<T>(name: string, value: T | undefined): T {
    if (value === undefined) throw this.bad(name, this.words.missing(this.where(name)))
    return value
  }
}

export const MAX_TOKENS = 1_000_000
export const ANY_SEED = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER] as const
