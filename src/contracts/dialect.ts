import type { Clock } from '../core/clock.ts'
import type { GatewayError } from '../core/errors.ts'
import type { ChatRequest, Citation, FinishReason, Json, JsonObject, Opaque } from './canonical.ts'
import type { Operation } from './config.ts'
import type { Usage } from './usage.ts'

/** A wire format of chat: as clients speak it, as backends do, or both. */
export type Dialect =
  | 'openai.chat'
  | 'openai.completions'
  | 'openai.responses'
  | 'anthropic.messages'
  | 'gemini.generate'
  | 'ollama.chat'
  | 'bedrock.converse'
  | 'cohere.chat'
  | 'tgi.generate'
  | 'tensorflow.predict'
  | 'kserve.infer'
  | 'triton.generate'
  | 'torchserve.predict'
  | 'pipeline'

/**
 * An answer, whole or in pieces, told in order: start, then contents, then for each choice finish, then usage, then end.
 * Told piece by piece by what reads a backend's answer, taken down by what writes the client's; none of it allocates
 * more than it must. choice: 0-based. Which block is open follows from the calls: a text after reasoning ends the
 * reasoning; a call with another index ends the call before.
 */
export interface AnswerSink {
  /** id: the backend's, '' = it gives none. model: as the backend says, '' = it does not. */
  start(id: string, model: string): void
  text(choice: number, text: string): void
  /** A piece of what the model thinks. */
  reasoning(choice: number, text: string): void
  /** Ends the reasoning that is open (or one without text): what proves it. id: of a Responses item, '' = none. */
  signature(choice: number, signature: Opaque, id: string): void
  /** Reasoning that cannot be read, whole. */
  redacted(choice: number, data: Opaque): void
  /** A call begins; index counts the calls of this choice from 0. id is never ''. */
  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void
  /** A piece of its arguments (JSON text). Calls may alternate. */
  toolArguments(choice: number, index: number, piece: string): void
  toolSignature(choice: number, index: number, signature: Opaque): void
  refusal(choice: number, text: string): void
  citation(choice: number, citation: Citation): void
  /** Entries as in the chat API (`logprobs.content[]`), for the text just told. */
  logprobs(choice: number, entries: readonly Json[]): void
  /** sequence: the one it stopped at, '' = none or not told. */
  finish(choice: number, reason: FinishReason, sequence: string): void
  /** What it has used so far; the last one counts. */
  usage(usage: Usage): void
  /** The answer is complete. */
  end(): void
}

/** What an answer's writer must know beside the answer. */
export interface AnswerContext {
  /** Of the request: for ids that a backend did not give. */
  readonly requestId: string
  /** The model as the client asked for it: it gets that name back. */
  readonly model: string
  /** Epoch seconds, a whole number. */
  readonly created: number
  /** The client wants usage in the stream (always, in dialects that have no choice). */
  readonly includeUsage: boolean
  readonly request: ChatRequest
  /** What the client sent, parsed: dialects that repeat it in their answers look there. */
  readonly sent: JsonObject
  /** The answer has an id of ours, by which its client may come back to it; left out = it has not. */
  readonly keeps?: Keeps
  /** For dialects that tell how long the answer took; left out = nobody knows. */
  readonly timer?: { readonly clock: Pick<Clock, 'monotonic'>; /** Clock.monotonic, ms. */ readonly startedAt: number }
}

/** What an answer says of its being kept, and who keeps it. */
export interface Keeps {
  readonly id: string
  /** Id of the answer that it goes on from; null = it begins. */
  readonly previousId: string | null
  readonly background: boolean
  /** false = its client does not want it kept. */
  readonly stored: boolean
  /** The answer is whole. Of several calls the last one before the answer leaves holds. */
  done(response: JsonObject): void
}

/** Writes a whole answer. */
export interface AnswerEncoder extends AnswerSink {
  /** After end(): the body, JSON. */
  body(): string
}

/** Writes an answer's stream. */
export interface StreamEncoder extends AnswerSink {
  /** What has been written since it was asked last, whole events: text, or bytes where the stream is none. '' = nothing. */
  take(): string | Buffer
  /** Ends a stream that has begun; also take() what came before it. */
  error(error: GatewayError): string | Buffer
  /** What may stand between events to keep a connection alive; '' = nothing may. */
  readonly heartbeat: string
}

/** A dialect as clients speak it. Stateless. */
export interface ClientDialect {
  readonly dialect: Dialect
  readonly operation: Operation
  /** Of streams: `text/event-stream; charset=utf-8`, `application/x-ndjson`. */
  readonly streamType: string
  /**
   * Reads a request. path, stream: what the URL says where the dialect says it there, else '' and what the body says.
   * Throws GatewayError `invalid_request` with the field in `param`, as `messages[2].content[0]`. Unknown fields are no fault.
   */
  request(sent: JsonObject, model: string, stream: boolean): ChatRequest
  answer(context: AnswerContext): AnswerEncoder
  stream(context: AnswerContext): StreamEncoder
  /** The envelope of an error that is the whole answer, JSON. */
  error(error: GatewayError, requestId: string): string
  /** What the client's dialect can take of an answer; what it cannot is left behind and told of. */
  readonly takes: Readonly<Record<AnswerFeature, Support>>
  /** Which features of a request the dialect can express at all. */
  readonly speaks: Readonly<Record<Feature, Support>>
}

/** What reads one stream of a backend. */
export interface StreamDecoder {
  /**
   * One event; name: of SSE or of the AWS event stream, '' = none; data: its text. Tells the sink. end: it was the last.
   * error: the backend says that it failed; `fault` has what it said. Throws SyntaxError when data is not what it should be.
   */
  event(name: string, data: string): 'go' | 'end' | 'error'
  readonly fault: Json
  /** The connection ended: whether that is a proper end here (the sink has been told end() then). */
  close(): boolean
}

/** What a backend's wire is told of a call. */
export interface WireTarget {
  readonly model: string
  /** Type of the provider, for quirks that are data. */
  readonly type: string
  /** Greatest number of answer tokens of the model, 0 = not known: some wires must be given a maximum. */
  readonly maxOutputTokens: number
}

/** What of a request its answer is read with, where the backend itself does not do it. */
export interface Asked {
  /** The prompt, where the backend begins its answers with it; '' = it does not. */
  readonly echo: string
  /** Sequences at which Heddle ends the answer. */
  readonly stop: readonly string[]
}

/** Texts to be turned into vectors. */
export interface EmbedRequest {
  readonly texts: readonly string[]
  /** Wanted length of the vectors; left out = the model's own. */
  readonly dimensions?: number
  readonly user?: string
  /** What the vectors are for, where a client says so: `query`, `document`, `classification`, `clustering`. */
  readonly purpose?: string
}

export interface EmbedAnswer {
  /** In the order of the texts. */
  readonly vectors: readonly (readonly number[])[]
  /** null = the backend does not say. */
  readonly usage: Usage | null
}

/** Embeddings as backends of a dialect do them. Stateless. */
export interface EmbedWire {
  path(model: string): string
  /** Can shorten vectors. */
  readonly dimensions: boolean
  /** As of a Wire. */
  readonly anyBody?: boolean
  /** Throws GatewayError for what it cannot say. */
  request(request: EmbedRequest, target: WireTarget): JsonObject
  /** count: of texts; an answer with another number of vectors is invalid. */
  answer(body: JsonObject, count: number): EmbedAnswer | 'error' | 'invalid'
}

/** A dialect as backends speak it. Stateless. */
export interface Wire {
  readonly dialect: Dialect
  /** Of streamed answers. eventstream: AWS `application/vnd.amazon.eventstream`. */
  readonly framing: 'sse' | 'ndjson' | 'eventstream'
  /** false: its answers are always whole, and answer() reads them also where the client wants a stream. Left out: it streams. */
  readonly streams?: boolean
  /** Below the provider's base path, with query; model is escaped where it stands in it. */
  path(model: string, stream: boolean): string
  /** Fixed request headers, flat, beside content-type and accept. */
  readonly headers: readonly string[]
  /** Which features of a request it can carry. */
  readonly carries: Readonly<Record<Feature, Support>>
  /** The body. Gets only what `carries` says it can; throws GatewayError for what no table can say (an image type, a bad schema). */
  request(request: ChatRequest, target: WireTarget): JsonObject
  /** What the reading of the answer needs of the request; left out = nothing. Kept for as long as the answer is awaited. */
  asked?(request: ChatRequest): Asked
  /** Answers may be any JSON, or plain text: answer() gets it as `body` of an object. */
  readonly anyBody?: boolean
  /** Reads a whole answer. invalid: not an answer at all; error: an error with a good status. asked: see above. */
  answer(body: JsonObject, sink: AnswerSink, asked?: Asked): 'ok' | 'error' | 'invalid'
  stream(sink: AnswerSink, asked?: Asked): StreamDecoder
  /** Left out: backends of this dialect make no vectors, or not by a dialect of their own. */
  readonly embed?: EmbedWire
}

/**
 * yes: as it is. mapped: as something that does nearly the same, which `note` tells. no: cannot be said; a request that
 * needs it is refused, or it is left behind and told of.
 */
export type Support = 'yes' | 'no' | { readonly mapped: string }

/** What a request may ask for beyond plain text turns; rows of docs/reference/translation.md, in src/protocol/canonical/features.ts. */
export type Feature =
  | 'system'
  | 'system_inside'
  | 'message_name'
  | 'prefill'
  | 'image_base64'
  | 'image_url'
  | 'image_detail'
  | 'audio'
  | 'file_base64'
  | 'file_url'
  | 'file_id'
  | 'tools'
  | 'tool_strict'
  | 'tool_custom'
  | 'tool_choice'
  | 'tool_choice_named'
  | 'tool_choice_allowed'
  | 'single_tool_call'
  | 'tool_result_error'
  | 'tool_result_media'
  | 'server_tools'
  | 'native_parts'
  | 'reasoning_effort'
  | 'reasoning_budget'
  | 'reasoning_history'
  | 'reasoning_proof'
  | 'json_object'
  | 'json_schema'
  | 'max_tokens'
  | 'temperature'
  | 'top_p'
  | 'top_k'
  | 'min_p'
  | 'frequency_penalty'
  | 'presence_penalty'
  | 'repetition_penalty'
  | 'seed'
  | 'stop'
  | 'n'
  | 'logit_bias'
  | 'logprobs'
  | 'verbosity'
  | 'audio_output'
  | 'image_output'
  | 'prediction'
  | 'suffix'
  | 'echo'
  | 'cache_marks'
  | 'user'
  | 'metadata'
  | 'service_tier'
  | 'store'
  | 'prompt_cache_key'
  | 'safety_identifier'

/** What an answer may have beyond text. */
export type AnswerFeature =
  | 'tool_calls'
  | 'tool_custom'
  | 'reasoning'
  | 'reasoning_proof'
  | 'refusal'
  | 'citations'
  | 'logprobs'
  | 'choices'
  | 'stop_sequence'
  | 'cached_tokens'
  | 'cache_write_tokens'
  | 'reasoning_tokens'
