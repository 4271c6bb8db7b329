/** What the simulator must know of a vendor's dialect beside its operations: names, keys, errors. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Answer } from './answer.ts'
import type { Handler } from './call.ts'
import type { ApiError } from './errors.ts'
import type { FaultSet, RateLimitHint } from './faults.ts'
import type { JsonObject } from './json.ts'
import type { QuotaLevel } from './quota.ts'

/** What came with a request, before its body is looked at. */
export interface Arrived {
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
}

/** Faults that each vendor tells in words of its own; null: this vendor never does. */
export interface Refusals {
  readonly exhausted: ApiError | null
  readonly tooLong: ApiError | null
  /** An answer where the vendor tells it with a good status. */
  readonly filtered: ApiError | ((model: string, arrived: Arrived) => Answer) | null
  readonly overloaded: ApiError
  /** Hints that the vendor gives, with the headers of each. `retry-after` may become part of the body. */
  readonly hints: Readonly<Partial<Record<RateLimitHint, () => Record<string, string>>>>
}

export type Routes = readonly (readonly [RegExp, Readonly<Record<string, Handler>>])[]

export interface SimWire {
  readonly name: string
  readonly routes: Routes
  /** The model as sent, with faults; '' = none is named. */
  modelOf(arrived: Arrived, body: JsonObject): string
  /** The API key, however it is sent; '' = none. */
  keyOf(arrived: Arrived): string
  /** @throws ApiError in its own words. */
  checkKey(arrived: Arrived, wanted: string): void
  error(error: ApiError, requestId: string): Answer
  /** Headers of every answer. elapsed: ms */
  headers(requestId: string, levels: readonly QuotaLevel[], elapsed: number): Record<string, string>
  readonly refusals: Refusals
  /** Faults that make no sense here. binary, text: by the framing of its streams. */
  readonly never: (faults: FaultSet) => string | undefined
}

/** The first of `names` that is asked for. */
export const firstOf =
  (...names: readonly string[]) =>
  (faults: FaultSet): string | undefined =>
    names.find((name) => faults.has(name))

const WAIT_SECONDS = 2
const LONG_SECONDS = 86_400

/** The forms that HTTP itself knows (RFC 9110, 10.2.3). */
export const HTTP_HINTS = {
  seconds: () => ({ 'retry-after': String(WAIT_SECONDS) }),
  date: () => ({
    'retry-after': new Date(Math.ceil(Date.now() / 1000) * 1000 + WAIT_SECONDS * 1000).toUTCString(),
  }),
  none: () => ({}),
  long: () => ({ 'retry-after': String(LONG_SECONDS) }),
} as const satisfies Refusals['hints']

export const MS_HINT = { ms: () => ({ 'retry-after-ms': String(WAIT_SECONDS * 1000) }) } as const

/** RFC 3339, whole seconds. */
export const inSeconds = (seconds: number): string =>
  new Date(Math.ceil(Date.now() / 1000 + seconds) * 1000).toISOString().replace('.000', '')

export const HINT_SECONDS = WAIT_SECONDS

/** `Authorization: Bearer`. */
export const bearerOf = (headers: IncomingHttpHeaders): string =>
  /^bearer\s+(.+)$/i.exec(headers.authorization ?? '')?.[1] ?? ''

export const shownKey = (key: string): string => (key.length > 8 ? `${key.slice(0, 4)}****${key.slice(-4)}` : '****')
