/** What a dialect hands to the wire: an answer that faults can still be worked into. */
import type { Framing } from './framing.ts'
import type { Json, JsonObject } from './json.ts'

export interface StreamEvent {
  /** SSE event name; absent in chat streams. */
  readonly event?: string
  readonly data: string
  /** Carries text, a piece of a call or the like: what faults with `_after` count. */
  readonly content: boolean
}

export interface TokenUse {
  readonly prompt: number
  readonly completion: number
}

interface Common {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Charged to the quota and counted in the statistics. */
  readonly use?: TokenUse
}

export interface JsonAnswer extends Common {
  readonly kind: 'json'
  readonly body: Json
  /** The key that `no_choices` removes. */
  readonly payloadKey?: string
}

export interface BytesAnswer extends Common {
  readonly kind: 'bytes'
  readonly contentType: string
  readonly bytes: Buffer
}

export interface StreamAnswer extends Common {
  readonly kind: 'stream'
  readonly events: readonly StreamEvent[]
  /** The dialect's own: faults use them to make up events. */
  readonly contentEvent: (text: string, position: number) => StreamEvent
  readonly errorEvent: (error: JsonObject, position: number) => StreamEvent
  /** How many of the last events are the end marker that `no_done` drops. */
  readonly endEvents: number
  /** Default: server-sent events. */
  readonly framing?: Framing
  /** What is left of an event when the answer lacks its payload (`no_choices`). Default: as in OpenAI's dialects. */
  readonly bare?: (event: StreamEvent) => readonly StreamEvent[]
}

export type Answer = JsonAnswer | BytesAnswer | StreamAnswer
