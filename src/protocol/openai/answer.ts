import type { Operation } from '../../contracts/config.ts'
import type { Usage } from '../../contracts/usage.ts'
import { readUsage } from '../usage.ts'
import type { UsageHints } from '../usage.ts'
import { JsonScanner, SCAN_OK, numbersOf } from '../json-scan/scanner.ts'

const QUOTE = 34
const OPEN_BRACKET = 91
const OPEN_BRACE = 123
const LETTER_N = 110
const LETTER_F = 102
const ZERO = 48

const NAMES = [
  'choices',
  'usage',
  'error',
  'data',
  'output',
  'type',
  'response',
  'x_groq',
  'service_tier',
  'timings',
  'content',
  'candidates',
  'promptFeedback',
  'usageMetadata',
  'message',
  'delta',
  'content_block',
] as const
const SLOTS = numbersOf(NAMES)
const [CHOICES, USAGE, ERROR, DATA, OUTPUT, TYPE, RESPONSE, X_GROQ, SERVICE_TIER, TIMINGS, CONTENT, CANDIDATES] = SLOTS
const [, , , , , , , , , , , , PROMPT_FEEDBACK, USAGE_METADATA, MESSAGE, DELTA, CONTENT_BLOCK] = SLOTS
/** Slots of answerScanner that other dialects look at. */
export const SLOT = {
  USAGE,
  ERROR,
  CANDIDATES,
  PROMPT_FEEDBACK,
  USAGE_METADATA,
  MESSAGE,
  DELTA,
  CONTENT_BLOCK,
} as const

/** Shared by all streams of a thread: each call of read() is complete before the next begins. */
export const answerScanner = new JsonScanner(NAMES)

const number = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0
const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

export function parseSlot(bytes: Buffer, offset: number, slot: number): unknown {
  return JSON.parse(bytes.toString('utf8', offset + answerScanner.start(slot), offset + answerScanner.end(slot)))
}

/** null, false, 0 and "" are no error: some backends send `"error": null` with every answer. */
export function truthy(slot: number): boolean {
  const kind = answerScanner.kind(slot)
  if (kind === 0 || kind === LETTER_N || kind === LETTER_F || kind === ZERO) return false
  return kind !== QUOTE || answerScanner.end(slot) - answerScanner.start(slot) > 2
}

/** What an answer is a list of. */
const LISTS: Readonly<Partial<Record<Operation, number>>> = {
  embeddings: DATA,
  responses: OUTPUT,
  messages: CONTENT,
  generate_content: CANDIDATES,
}

export type AnswerVerdict = 'ok' | 'error' | 'invalid'

/** Judges a whole JSON answer by its shape, without parsing it. Afterwards usageOf() may be asked. */
export function judgeAnswer(operation: Operation, body: Buffer): AnswerVerdict {
  if (answerScanner.scan(body, false) !== SCAN_OK || answerScanner.rootKind !== OPEN_BRACE) return 'invalid'
  if (truthy(ERROR)) return 'error'
  if (operation === 'generate_content' && answerScanner.kind(PROMPT_FEEDBACK) === OPEN_BRACE) return 'ok'
  // A text there is what went wrong.
  if (operation === 'cohere_chat')
    return answerScanner.kind(MESSAGE) === OPEN_BRACE
      ? 'ok'
      : answerScanner.kind(MESSAGE) === QUOTE
        ? 'error'
        : 'invalid'
  // A text is what its errors say.
  if (operation === 'converse')
    return answerScanner.kind(OUTPUT) === OPEN_BRACE
      ? 'ok'
      : answerScanner.kind(MESSAGE) === QUOTE
        ? 'error'
        : 'invalid'
  const list = LISTS[operation] ?? CHOICES
  if (answerScanner.kind(list) !== OPEN_BRACKET) return 'invalid'
  // `"choices": []` is no answer; an empty `data` or `output` can be one.
  if (
    list === CHOICES &&
    body.toString('utf8', answerScanner.start(CHOICES) + 1, answerScanner.end(CHOICES) - 1).trim() === ''
  )
    return 'invalid'
  return 'ok'
}

/** Usage in what answerScanner read last; null when it holds none. Groq has it under `x_groq`, llama.cpp as `timings`. */
function scannedUsage(bytes: Buffer, hints: UsageHints | undefined): Usage | null {
  const slot =
    answerScanner.kind(USAGE) === OPEN_BRACE
      ? USAGE
      : answerScanner.kind(USAGE_METADATA) === OPEN_BRACE
        ? USAGE_METADATA
        : -1
  if (slot < 0 && answerScanner.kind(X_GROQ) !== OPEN_BRACE && answerScanner.kind(TIMINGS) !== OPEN_BRACE) return null
  const tier = answerScanner.kind(SERVICE_TIER) === QUOTE ? parseSlot(bytes, 0, SERVICE_TIER) : ''
  if (slot >= 0) return readUsage(parseSlot(bytes, 0, USAGE), hints, tier)
  if (answerScanner.kind(X_GROQ) === OPEN_BRACE)
    return readUsage(record(parseSlot(bytes, 0, X_GROQ))['usage'], hints, tier)
  return readUsage(parseSlot(bytes, 0, TIMINGS), hints, tier)
}

/** Usage of the answer that judgeAnswer() judged last. */
export function usageOf(body: Buffer, hints?: UsageHints): Usage | null {
  return scannedUsage(body, hints)
}

/**
 * What one JSON event of a stream is. `note`: annotations, no part of an answer. `start`: role, lifecycle: nothing a
 * user would see.
 * `content`: text, tool call, refusal, reasoning, audio. `usage`: the extra chunk without choices.
 * `end`: the dialect's terminal event (responses; chat ends with [DONE]). `failed`: an error in the dialect's own form.
 */
export type EventVerdict = 'note' | 'start' | 'content' | 'usage' | 'end' | 'error' | 'failed'

export interface StreamDialect {
  /** Judges the event that answerScanner has just read; bytes holds it at offset 0 = scanner offset 0. */
  judge(bytes: Buffer, committed: boolean): EventVerdict
  /** Usage in the event just judged, if it has any. */
  usage(bytes: Buffer, hints?: UsageHints): Usage | null
  /** Every choice of the event just judged is finished; only asked when the backend never sends `[DONE]`. */
  finished(bytes: Buffer): boolean
  /** `[DONE]` ends the stream. */
  readonly done: boolean
  /** No event ends the stream but the connection, after the finish reason. */
  readonly endsByFinish?: boolean
  /** What two events say of usage together; left out: the later one says it all. */
  readonly merge?: (before: Usage, now: Usage) => Usage
  /** What the event just judged as an error says, where that is not the event itself; undefined = it is. */
  fault?(bytes: Buffer): unknown
}

const nonEmpty = (value: unknown): boolean =>
  (typeof value === 'string' && value !== '') ||
  (Array.isArray(value) && value.length > 0) ||
  (typeof value === 'object' && value !== null && Object.keys(value).length > 0)

const CONTENT_FIELDS = [
  'content',
  'tool_calls',
  'function_call',
  'refusal',
  'reasoning_content',
  'reasoning',
  'reasoning_details',
  'thinking',
  'audio',
  'images',
]

function choiceHasContent(choice: unknown): boolean {
  const c = record(choice)
  if (nonEmpty(c['text'])) return true
  const delta = record(c['delta'])
  return CONTENT_FIELDS.some((field) => nonEmpty(delta[field]))
}

export function eventData(bytes: Buffer): unknown {
  return JSON.parse(bytes.toString('utf8', answerScanner.dataStart, answerScanner.dataEnd))
}

/** Chat and legacy completions. */
export const chatStream: StreamDialect = {
  done: true,
  judge(bytes, committed) {
    if (truthy(ERROR)) return 'error'
    if (isErrorEvent(bytes)) return 'error'
    if (answerScanner.kind(CHOICES) !== OPEN_BRACKET) return answerScanner.kind(USAGE) === OPEN_BRACE ? 'usage' : 'note'
    const empty = answerScanner.end(CHOICES) - answerScanner.start(CHOICES) <= 2
    if (empty) return answerScanner.kind(USAGE) === OPEN_BRACE ? 'usage' : 'note'
    if (committed) return 'content'
    const choices = record(eventData(bytes))['choices']
    return Array.isArray(choices) && choices.some(choiceHasContent) ? 'content' : 'start'
  },
  usage: (bytes, hints) => scannedUsage(bytes, hints),
  finished(bytes) {
    const choices = record(eventData(bytes))['choices']
    return (
      Array.isArray(choices) &&
      choices.length > 0 &&
      choices.every((c) => typeof record(c)['finish_reason'] === 'string')
    )
  },
}

const TERMINAL = new Set(['response.completed', 'response.incomplete'])
const CALL_ITEMS = /call$/

/** `event: error` without an `error` field: some servers put the message straight into the data. */
export function isErrorEvent(bytes: Buffer): boolean {
  return (
    answerScanner.nameLength === 5 &&
    bytes.toString('latin1', answerScanner.nameStart, answerScanner.nameStart + 5) === 'error'
  )
}

export function eventType(bytes: Buffer): string {
  return answerScanner.kind(TYPE) === QUOTE
    ? bytes.toString('latin1', answerScanner.start(TYPE) + 1, answerScanner.end(TYPE) - 1)
    : ''
}

/** Responses API (openai-openapi `ResponseStreamEvent`). */
export const responsesStream: StreamDialect = {
  done: false,
  judge(bytes, committed) {
    const type = eventType(bytes)
    if (type === 'response.failed') return 'failed'
    if (type === 'error' || isErrorEvent(bytes) || (type === '' && truthy(ERROR))) return 'error'
    if (TERMINAL.has(type)) return 'end'
    // What was sent in parts comes again whole, several times.
    if (committed) return type.endsWith('.delta') ? 'content' : 'note'
    const data = record(eventData(bytes))
    if (type.endsWith('.delta')) return nonEmpty(data['delta']) ? 'content' : 'start'
    if (type === 'response.output_item.added')
      return CALL_ITEMS.test(String(record(data['item'])['type'])) ? 'content' : 'start'
    return 'start'
  },
  usage(bytes, hints) {
    if (answerScanner.kind(RESPONSE) !== OPEN_BRACE) return null
    const type = eventType(bytes)
    if (!TERMINAL.has(type) && type !== 'response.failed') return null
    const response = record(parseSlot(bytes, 0, RESPONSE))
    return readUsage(response['usage'], hints, response['service_tier'])
  },
  finished: () => false,
}

/** Text of one chat event, or null when it holds anything that cannot be continued elsewhere (tool calls, several choices). */
export function continuableText(bytes: Buffer): string | null {
  const choices = record(eventData(bytes))['choices']
  if (!Array.isArray(choices)) return ''
  if (choices.length > 1) return null
  if (choices.length === 0) return ''
  const choice = record(choices[0])
  const delta = record(choice['delta'])
  if (
    number(choice['index']) > 0 ||
    nonEmpty(delta['tool_calls']) ||
    nonEmpty(delta['function_call']) ||
    nonEmpty(delta['audio'])
  )
    return null
  return typeof delta['content'] === 'string' ? delta['content'] : ''
}

/** The error object of an error event or an error body, for classification. */
export function errorOf(data: unknown): {
  readonly code: string
  readonly type: string
  readonly message: string
  readonly param: string | null
  readonly status: number
} {
  const root = record(Array.isArray(data) ? data[0] : data)
  const response = record(root['response'])
  const error = root['error'] ?? response['error'] ?? root
  const e = record(error)
  const text = (value: unknown): string =>
    typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
  return {
    // Anthropic's own names of some errors are deeper (anthropic-sdk `ErrorDetails`).
    code: text(e['code']) || text(record(e['details'])['error_code']),
    type: text(e['type']) || text(e['status']),
    message: typeof error === 'string' ? error : text(e['message']) || text(root['message']) || text(root['detail']),
    param: typeof e['param'] === 'string' ? e['param'] : null,
    status: number(e['status']) || number(e['code']) || number(root['status_code']),
  }
}

/** Data of the event just read, parsed. Undefined when it is not JSON. */
export function parseEvent(bytes: Buffer): unknown {
  try {
    return eventData(bytes)
  } catch {
    return undefined
  }
}
