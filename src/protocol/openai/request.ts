import { isUtf8 } from 'node:buffer'
import type { Operation } from '../../contracts/config.ts'
import type { RequestNeeds } from '../../contracts/routing.ts'
import { attachedIn } from '../usage-attached.ts'
import { GatewayError } from '../../core/errors.ts'
import { mayPass } from '../operations.ts'
import { JsonScanner, SCAN_ERRORS, SCAN_OK, numbersOf } from '../json-scan/scanner.ts'

const NAMES = [
  'model',
  'stream',
  'stream_options',
  'messages',
  'prompt',
  'input',
  'tools',
  'functions',
  'response_format',
  'text',
  'max_tokens',
  'max_completion_tokens',
  'max_output_tokens',
  'n',
  'best_of',
  'contents',
  'generationConfig',
  'generation_config',
  'system',
  'documents',
] as const
const [
  MODEL,
  STREAM,
  STREAM_OPTIONS,
  MESSAGES,
  PROMPT,
  INPUT,
  TOOLS,
  FUNCTIONS,
  RESPONSE_FORMAT,
  TEXT,
  MAX_TOKENS,
  ,
  ,
  N,
  BEST_OF,
  CONTENTS,
  GENERATION_CONFIG,
  GENERATION_CONFIG_SNAKE,
  SYSTEM,
  DOCUMENTS,
] = numbersOf(NAMES)
/** Keys that only attachments have: of chat and responses; of recordings; of Anthropic, Gemini and Ollama. */
const DEEP = ['image_url', 'input_audio', 'media_type', 'inlineData', 'inline_data', 'fileData', 'images'] as const
const DEEP_AUDIO = 1 << DEEP.indexOf('input_audio')
const DEEP_VISION = ((1 << DEEP.length) - 1) & ~DEEP_AUDIO

const QUOTE = 34
const OPEN_BRACKET = 91
const OPEN_BRACE = 123
const LETTER_T = 116
const LETTER_F = 102
const LETTER_N = 110
const MAX_MODEL_BYTES = 512
/** English prose has about four bytes a token; used only to choose targets, never to bill. */
const BYTES_PER_TOKEN = 4

/** What a prompt is made of. */
const TEXTS = [MESSAGES, PROMPT, INPUT, CONTENTS, SYSTEM, DOCUMENTS]

const NOTHING = Buffer.alloc(0)
const scanner = new JsonScanner(NAMES, DEEP)

export interface JsonLimits {
  readonly depth: number
  readonly keys: number
}

/** What the path says in dialects that have it there. */
export interface UrlFacts {
  readonly model: string
  readonly stream: boolean
}

/** What Heddle reads of a JSON request without parsing it; offsets are into the body. */
export class RequestFields implements RequestNeeds {
  /** Empty once released. */
  body: Buffer
  readonly model: string
  /** Span of the model's JSON string, quotes included. -1 = the body names no model. */
  readonly modelStart: number
  readonly modelEnd: number
  readonly stream: boolean
  /** Span of the stream_options value; -1 = absent or null. */
  readonly streamOptionsStart: number
  readonly streamOptionsEnd: number
  /** Just after the root object's closing brace. */
  readonly rootEnd: number
  readonly empty: boolean
  readonly tools: boolean
  readonly vision: boolean
  readonly audio: boolean
  readonly jsonSchema: boolean
  readonly textBytes: number
  readonly attachedBytes: number
  readonly attachedTokens: number
  readonly promptTokens: number
  readonly maxTokens: number
  /** Answers that the backend is to make: each may have maxTokens. At least 1. */
  readonly choices: number
  #json: Record<string, unknown> | null = null

  /** streams: unless the body says no (Ollama, docs/api.md). */
  constructor(body: Buffer, s: JsonScanner, url: UrlFacts | null, streams: boolean) {
    this.body = body
    const hasModel = url === null && s.kind(MODEL) === QUOTE
    this.modelStart = hasModel ? s.start(MODEL) : -1
    this.modelEnd = hasModel ? s.end(MODEL) : -1
    this.model = url !== null ? url.model : hasModel ? stringAt(body, this.modelStart, this.modelEnd) : ''
    this.stream = url !== null ? url.stream : streams ? s.kind(STREAM) !== LETTER_F : s.kind(STREAM) === LETTER_T
    const hasOptions = s.kind(STREAM_OPTIONS) === OPEN_BRACE
    this.streamOptionsStart = hasOptions ? s.start(STREAM_OPTIONS) : -1
    this.streamOptionsEnd = hasOptions ? s.end(STREAM_OPTIONS) : -1
    this.rootEnd = s.rootEnd
    this.empty = isEmptyObject(body, s.rootEnd)
    this.tools = s.kind(TOOLS) === OPEN_BRACKET || s.kind(FUNCTIONS) === OPEN_BRACKET
    this.vision = (s.deep & DEEP_VISION) !== 0
    this.audio = (s.deep & DEEP_AUDIO) !== 0
    this.jsonSchema = mentions(body, s, RESPONSE_FORMAT) || mentions(body, s, TEXT)
    let bytes = 0
    for (const i of TEXTS) if (s.kind(i) !== 0) bytes += s.end(i) - s.start(i)
    const attached = attachedIn(body)
    this.attachedBytes = attached.bytes
    this.attachedTokens = attached.tokens
    this.textBytes = Math.max(0, bytes - attached.bytes)
    this.promptTokens = Math.ceil(this.textBytes / BYTES_PER_TOKEN) + attached.tokens
    this.maxTokens = largest(body, s, MAX_TOKENS, N) || generationMaximum(body, s)
    this.choices = Math.max(1, largest(body, s, N, BEST_OF + 1))
  }

  /** No attempt will need the bytes again; what was read of them stays. */
  release(): void {
    this.body = NOTHING
    this.#json = null
  }

  /** The parsed body; for conditions and rewriting policies only, since it costs as much as the rest of the request. */
  get json(): Record<string, unknown> {
    this.#json ??= JSON.parse(this.body.toString()) as Record<string, unknown>
    return this.#json
  }
}

/** Gemini has its maximum one level down. */
function generationMaximum(body: Buffer, s: JsonScanner): number {
  for (const slot of [GENERATION_CONFIG, GENERATION_CONFIG_SNAKE]) {
    if (s.kind(slot) !== OPEN_BRACE) continue
    const config = JSON.parse(body.toString('utf8', s.start(slot), s.end(slot))) as Record<string, unknown>
    const most = config['maxOutputTokens'] ?? config['max_output_tokens']
    if (typeof most === 'number' && most > 0) return Math.min(most, MOST)
  }
  return 0
}

/** Numbers of clients that no backend would take: beyond this they mean the same. */
const MOST = 1e9

/** Of the numbers that the fields from `first` up to `end` hold; 0 = none does. */
function largest(body: Buffer, s: JsonScanner, first: number, end: number): number {
  let max = 0
  for (let i = first; i < end; i++)
    if (s.kind(i) !== 0) max = Math.max(max, Number(body.toString('latin1', s.start(i), s.end(i))) || 0)
  return Math.min(max, MOST)
}

function stringAt(body: Buffer, start: number, end: number): string {
  const raw = body.toString('utf8', start + 1, end - 1)
  return raw.includes('\\') ? (JSON.parse(body.toString('utf8', start, end)) as string) : raw
}

function isEmptyObject(body: Buffer, rootEnd: number): boolean {
  let i = rootEnd - 2
  while (i >= 0 && body[i]! <= 32) i--
  return body[i] === OPEN_BRACE
}

function mentions(body: Buffer, s: JsonScanner, i: number): boolean {
  if (s.kind(i) !== OPEN_BRACE) return false
  const at = body.indexOf('"json_schema"', s.start(i))
  return at >= 0 && at < s.end(i)
}

/**
 * Validates a JSON request as far as routing needs and notes where its fields stand.
 * Throws GatewayError `invalid_json` or `invalid_request` with the field in `param`.
 */
export function readRequest(
  operation: Operation,
  body: Buffer,
  limits: JsonLimits,
  url: UrlFacts | null = null,
): RequestFields {
  if (body.length === 0) throw new GatewayError('invalid_json', 'The request has no body.')
  const code = scanner.scan(body, true, limits.depth, limits.keys)
  if (code !== SCAN_OK) throw jsonError(body, code, limits)
  if (scanner.nonAscii && !isUtf8(body)) throw new GatewayError('invalid_json', 'The body is not valid UTF-8.')
  if (scanner.rootKind !== OPEN_BRACE) throw new GatewayError('invalid_request', 'The body must be a JSON object.')
  checkTypes(operation)
  const fields = new RequestFields(body, scanner, url, operation === 'ollama_chat')
  if (fields.model === '' && !mayPass(operation)) throw missing('model', 'a string, the name of a model')
  return fields
}

function missing(param: string, what: string): GatewayError {
  return new GatewayError('invalid_request', `The field '${param}' must be ${what}.`, { param })
}

const LIST_OR_TEXT = [QUOTE, OPEN_BRACKET] as const

interface FieldRule {
  readonly slot: number
  readonly name: string
  /** First bytes that a value may have; 0 = it may be absent. */
  readonly kinds: readonly number[]
  readonly what: string
}

const STREAM_RULES: readonly FieldRule[] = [
  { slot: STREAM, name: 'stream', kinds: [0, LETTER_T, LETTER_F, LETTER_N], what: 'true or false' },
  { slot: STREAM_OPTIONS, name: 'stream_options', kinds: [0, OPEN_BRACE, LETTER_N], what: 'an object' },
]
const RULES: Readonly<Record<Operation, readonly FieldRule[]>> = {
  chat: [...STREAM_RULES, { slot: MESSAGES, name: 'messages', kinds: [OPEN_BRACKET], what: 'a list of messages' }],
  completions: [
    ...STREAM_RULES,
    { slot: PROMPT, name: 'prompt', kinds: [0, LETTER_N, ...LIST_OR_TEXT], what: 'a string or a list' },
  ],
  embeddings: [...STREAM_RULES, { slot: INPUT, name: 'input', kinds: LIST_OR_TEXT, what: 'a string or a list' }],
  responses: [...STREAM_RULES, { slot: INPUT, name: 'input', kinds: [0, ...LIST_OR_TEXT], what: 'a string or a list' }],
  messages: [
    { slot: STREAM, name: 'stream', kinds: [0, LETTER_T, LETTER_F], what: 'true or false' },
    { slot: MESSAGES, name: 'messages', kinds: [OPEN_BRACKET], what: 'a list of messages' },
  ],
  generate_content: [
    { slot: CONTENTS, name: 'contents', kinds: [OPEN_BRACKET, OPEN_BRACE, QUOTE], what: 'a list of contents' },
  ],
  ollama_chat: [
    { slot: STREAM, name: 'stream', kinds: [0, LETTER_T, LETTER_F], what: 'true or false' },
    { slot: MESSAGES, name: 'messages', kinds: [0, OPEN_BRACKET], what: 'a list of messages' },
  ],
  cohere_chat: [
    { slot: STREAM, name: 'stream', kinds: [0, LETTER_T, LETTER_F, LETTER_N], what: 'true or false' },
    { slot: MESSAGES, name: 'messages', kinds: [OPEN_BRACKET], what: 'a list of messages' },
  ],
  converse: [{ slot: MESSAGES, name: 'messages', kinds: [OPEN_BRACKET], what: 'a list of messages' }],
  rerank: [],
  moderations: [],
  images: [],
  speech: [],
  transcriptions: [],
  realtime: [],
  passthrough: [],
  mcp: [],
}

function checkTypes(operation: Operation): void {
  const model = scanner.kind(MODEL)
  const length = scanner.end(MODEL) - scanner.start(MODEL)
  if (model !== 0 && (model !== QUOTE || length < 3)) throw missing('model', 'a string, the name of a model')
  if (length > MAX_MODEL_BYTES) throw missing('model', `at most ${MAX_MODEL_BYTES} bytes long`)
  for (const { slot, name, kinds, what } of RULES[operation])
    if (!kinds.includes(scanner.kind(slot))) throw missing(name, what)
}

function jsonError(body: Buffer, code: number, limits: JsonLimits): GatewayError {
  const at = scanner.errorAt
  switch (SCAN_ERRORS[code]) {
    case 'depth':
      return new GatewayError('invalid_json', `The JSON is nested deeper than ${limits.depth} levels (at byte ${at}).`)
    case 'keys':
      return new GatewayError('invalid_json', `The JSON has more keys than are accepted (at most ${limits.keys}).`)
    case 'duplicate': {
      const [start, end] = scanner.duplicateKey
      const key = body.toString('utf8', start, Math.min(end, start + 64))
      return new GatewayError('invalid_json', `The key '${key}' stands twice in one object (at byte ${start - 1}).`, {
        param: key,
      })
    }
    case 'proto':
      return new GatewayError('invalid_json', `The key '__proto__' is not accepted (at byte ${at}).`)
    case 'end':
      return new GatewayError('invalid_json', 'The body is not valid JSON: it ends too early.')
    default:
      return new GatewayError('invalid_json', `The body is not valid JSON (at byte ${at}).`)
  }
}

const INCLUDE_USAGE = Buffer.from('"stream_options":{"include_usage":true}')

export interface RewriteOptions {
  /** JSON string of the upstream model, or null to leave the client's. */
  readonly modelJson: Buffer | null
  /** Ask for the usage chunk at the end of the stream. */
  readonly includeUsage: boolean
}

/** True when the client itself asked for the usage chunk. */
export function asksForUsage(fields: RequestFields): boolean {
  if (fields.streamOptionsStart < 0) return false
  const options = JSON.parse(fields.body.toString('utf8', fields.streamOptionsStart, fields.streamOptionsEnd)) as {
    include_usage?: unknown
  }
  return options.include_usage === true
}

/** The body for a target: the received bytes, with model and stream_options spliced where they must change. */
export function rewriteRequest(fields: RequestFields, options: RewriteOptions): Buffer {
  const { body } = fields
  const { modelJson, includeUsage } = options
  const splices: [from: number, to: number, bytes: Buffer][] = []
  if (
    modelJson !== null &&
    fields.modelStart >= 0 &&
    body.compare(modelJson, 0, modelJson.length, fields.modelStart, fields.modelEnd) !== 0
  ) {
    splices.push([fields.modelStart, fields.modelEnd, modelJson])
  }
  if (includeUsage) splices.push(usageSplice(fields))
  if (splices.length === 0) return body
  splices.sort((a, b) => a[0] - b[0])
  const parts: Buffer[] = []
  let at = 0
  for (const [from, to, bytes] of splices) {
    parts.push(body.subarray(at, from), bytes)
    at = to
  }
  parts.push(body.subarray(at))
  return Buffer.concat(parts)
}

function usageSplice(fields: RequestFields): [number, number, Buffer] {
  const { streamOptionsStart: start, streamOptionsEnd: end, body } = fields
  if (start < 0) {
    // A `"stream_options": null` would make the key stand twice: then the whole body is rebuilt around it.
    if (scannedNullOptions(fields)) return replaceAll(fields)
    const last = fields.rootEnd - 1
    return [last, last, fields.empty ? INCLUDE_USAGE : Buffer.concat([Buffer.from(','), INCLUDE_USAGE])]
  }
  const value = JSON.parse(body.toString('utf8', start, end)) as Record<string, unknown>
  return [start, end, Buffer.from(JSON.stringify({ ...value, include_usage: true }))]
}

function scannedNullOptions(fields: RequestFields): boolean {
  return fields.body.includes('"stream_options"') && Object.hasOwn(fields.json, 'stream_options')
}

function replaceAll(fields: RequestFields): [number, number, Buffer] {
  scanner.scan(fields.body, false)
  return [scanner.start(STREAM_OPTIONS), scanner.end(STREAM_OPTIONS), Buffer.from('{"include_usage":true}')]
}
