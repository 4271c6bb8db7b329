/**
 * A conversation in no vendor's words. What a client sends is read into it by the client's dialect, what a backend gets is
 * written from it by the backend's wire: N + M codecs instead of N x M. Only translated requests are ever read into it;
 * where both sides speak the same dialect the bytes pass.
 */
import type { Dialect } from './dialect.ts'

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/**
 * Bytes that only their maker understands: signatures of reasoning, encrypted reasoning, thought signatures. They are
 * carried as they came, and go back only to a wire of the dialect that made them.
 */
export interface Opaque {
  readonly by: Dialect
  readonly value: string
}

/** A prompt-cache marker: what stands up to and including its owner may be kept. ttl: as the client says, such as `5m`, `1h`. */
export interface CacheMark {
  readonly ttl: string | null
}

/** Where the bytes of an attachment are. base64: padded, without line breaks. */
export type Media =
  | { readonly kind: 'base64'; readonly mime: string; readonly data: string }
  | { readonly kind: 'url'; readonly url: string; readonly mime: string | null }
  /** A file kept by the provider that made the id. */
  | { readonly kind: 'id'; readonly id: string; readonly by: Dialect }

export interface TextPart {
  readonly type: 'text'
  readonly text: string
  readonly cache?: CacheMark
  readonly citations?: readonly Citation[]
  /** Gemini signs texts, too. */
  readonly signature?: Opaque
}
export interface ImagePart {
  readonly type: 'image'
  readonly source: Media
  /** `low`, `high`, `auto`. */
  readonly detail?: string
  readonly cache?: CacheMark
}
export interface AudioPart {
  readonly type: 'audio'
  readonly source: Media
  readonly cache?: CacheMark
}
/** Documents: PDF mostly. */
export interface FilePart {
  readonly type: 'file'
  readonly source: Media
  readonly name?: string
  readonly cache?: CacheMark
}
/** What a model thought. Several in a row keep their order; each is whole, with its own signature. */
export interface ReasoningPart {
  readonly type: 'reasoning'
  /** '' = nothing readable. */
  readonly text: string
  readonly signature?: Opaque
  /** Hidden reasoning (Anthropic `redacted_thinking`), in place of a text. */
  readonly redacted?: Opaque
  /** Item id of the Responses API. */
  readonly id?: string
}
export interface ToolCallPart {
  readonly type: 'tool_call'
  readonly id: string
  readonly name: string
  /** As the model wrote it: JSON text of an object, or free text of a custom tool. */
  readonly arguments: string
  readonly custom?: boolean
  readonly signature?: Opaque
  readonly cache?: CacheMark
}
export interface ToolResultPart {
  readonly type: 'tool_result'
  /** Of the call it answers. */
  readonly id: string
  /** Of the tool, where the client says it; wires that need it look for the call. */
  readonly name?: string
  /** Texts, images, files. */
  readonly content: readonly Part[]
  readonly error?: boolean
  readonly cache?: CacheMark
}
export interface RefusalPart {
  readonly type: 'refusal'
  readonly text: string
}
/** Something that only one dialect has (results of server tools, code execution): goes back to that dialect, and nowhere else. */
export interface NativePart {
  readonly type: 'native'
  readonly by: Dialect
  readonly value: JsonObject
}
export type Part =
  | TextPart
  | ImagePart
  | AudioPart
  | FilePart
  | ReasoningPart
  | ToolCallPart
  | ToolResultPart
  | RefusalPart
  | NativePart

/**
 * system and developer: instructions, also in the middle of a conversation. tool: results only, of the calls of the
 * assistant message before. A client's message that mixes results with other parts becomes two.
 */
export interface Message {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool'
  readonly parts: readonly Part[]
  readonly name?: string
}

export interface Tool {
  readonly name: string
  readonly description?: string
  /** JSON Schema of the arguments; null = takes none, or a custom tool. */
  readonly schema: JsonObject | null
  readonly strict?: boolean
  /** Takes free text; the grammar as the client says it. */
  readonly custom?: JsonObject
  readonly cache?: CacheMark
}

export type ToolChoice =
  | { readonly mode: 'auto' | 'none' | 'required' }
  | { readonly mode: 'tool'; readonly name: string }
  /** Of several; required: one of them must be called. */
  | { readonly mode: 'allowed'; readonly names: readonly string[]; readonly required: boolean }

export type OutputFormat =
  | { readonly type: 'json' }
  | {
      readonly type: 'schema'
      readonly name: string
      readonly description?: string
      readonly schema: JsonObject
      readonly strict?: boolean
    }

export interface Reasoning {
  /** `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`; null = not said. */
  readonly effort: string | null
  /** Tokens it may think; 0 = off, -1 = as the model likes; null = not said. */
  readonly budget: number | null
  /** The client wants to see it (or a summary of it); null = not said. */
  readonly visible: boolean | null
}

/** All that a client can ask of a chat model. Left out = not said: the backend's default holds. */
export interface ChatRequest {
  /** As the client sent it; the wire gets the target's. */
  readonly model: string
  readonly messages: readonly Message[]
  readonly stream: boolean
  readonly tools?: readonly Tool[]
  /** Tools that run at the provider (web search, code, computer), as the client wrote them. */
  readonly serverTools?: readonly NativePart[]
  readonly toolChoice?: ToolChoice
  /** false = at most one call in an answer. */
  readonly parallelTools?: boolean
  readonly format?: OutputFormat
  readonly reasoning?: Reasoning
  readonly maxTokens?: number
  readonly temperature?: number
  readonly topP?: number
  readonly topK?: number
  readonly minP?: number
  readonly frequencyPenalty?: number
  readonly presencePenalty?: number
  readonly repetitionPenalty?: number
  readonly seed?: number
  readonly stop?: readonly string[]
  /** Answers wanted. */
  readonly n?: number
  /** Token ids as keys. */
  readonly logitBias?: Readonly<Record<string, number>>
  readonly logprobs?: boolean
  /** Alternatives a token, 0 to 20. */
  readonly topLogprobs?: number
  /** `low`, `medium`, `high`. */
  readonly verbosity?: string
  /** `text`, `audio`, `image`. */
  readonly modalities?: readonly string[]
  /** Voice and format of spoken answers, as the client wrote it. */
  readonly audio?: JsonObject
  /** Predicted output. */
  readonly prediction?: Json
  readonly user?: string
  readonly metadata?: Readonly<Record<string, Json>>
  readonly serviceTier?: string
  readonly store?: boolean
  readonly promptCacheKey?: string
  readonly safetyIdentifier?: string
  /** Of a legacy completion: text after the gap, and whether the prompt comes back with the answer. */
  readonly suffix?: string
  readonly echo?: boolean
  /** Settings that only one dialect has, as the client wrote them: they go to its own wire, and others are told of. */
  readonly own?: NativePart
  /** Fields of the client's dialect that Heddle does not know: left behind and told of. */
  readonly unknown?: readonly string[]
}

/** Why an answer ended. */
export type FinishReason =
  | 'stop'
  /** At one of the client's stop sequences. */
  | 'stop_sequence'
  | 'length'
  | 'tool_calls'
  | 'content_filter'
  /** The model would not. */
  | 'refusal'
  /** A long turn that the client is to continue (Anthropic `pause_turn`). */
  | 'pause'
  | 'error'

export interface Citation {
  readonly url?: string
  readonly title?: string
  /** What is quoted of the source. */
  readonly quote?: string
  /** Characters of the answer's text that rest on it; from inclusive, to exclusive. */
  readonly from?: number
  readonly to?: number
  /** As its maker wrote it. */
  readonly native?: { readonly by: Dialect; readonly value: JsonObject }
}
