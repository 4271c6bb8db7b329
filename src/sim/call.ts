/** What every operation of the simulator gets: the request, and the state of the simulator it came to. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Answer } from './answer.ts'
import type { Json, JsonObject } from './json.ts'
import type { PrefixCache } from './tokens.ts'

export interface StoredFile {
  readonly id: string
  readonly filename: string
  readonly purpose: string
  /** Epoch seconds. */
  readonly createdAt: number
  readonly contentType: string
  readonly bytes: Buffer
}

export interface StoredResponse {
  readonly response: JsonObject
  /** Input items of the whole conversation up to and with this response's output. */
  readonly conversation: readonly Json[]
  readonly input: readonly Json[]
}

export interface SimState {
  readonly seed: number
  /** Signs `encrypted_content`: another simulator cannot read it, as with another organisation. */
  readonly organisation: string
  readonly strictModels: boolean
  readonly prefixes: PrefixCache
  readonly files: Map<string, StoredFile>
  readonly responses: Map<string, StoredResponse>
  /** Items of stored responses by their id, for `item_reference`. */
  readonly items: Map<string, JsonObject>
  /** Hex digits that no other call to this simulator got. */
  nextId(length: number): string
}

export interface Call {
  readonly state: SimState
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly raw: Buffer
  /** Empty if the request has no JSON object as its body. */
  readonly body: JsonObject
  /** As sent, without faults. */
  readonly model: string
  /** Text that a fault wants at the end of plain answers. */
  readonly suffix: string
}

/** Sets a key of a map that forgets its oldest entries above `limit`. */
export const remember = <T>(map: Map<string, T>, key: string, value: T, limit = 2_000): void => {
  map.set(key, value)
  if (map.size <= limit) return
  for (const oldest of map.keys()) {
    map.delete(oldest)
    return
  }
}

/** @throws ApiError */
export type Handler = (call: Call, ...ids: readonly string[]) => Answer

export const epochSeconds = (): number => Math.floor(Date.now() / 1000)
