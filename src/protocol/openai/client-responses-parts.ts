import type { Citation, FinishReason, Json, JsonObject } from '../../contracts/canonical.ts'
import type { AnswerContext } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { CallBlock, ReasoningBlock } from '../canonical/collect.ts'
import { packProof } from '../canonical/proof-out.ts'
import type { Proof } from '../canonical/proof-out.ts'
import { isObject } from '../canonical/read.ts'
import { errorText, parsed, prefixed } from '../canonical/say.ts'
import { responsesUsage } from '../canonical/usage-out.ts'
import { NO_USAGE } from '../usage.ts'
import { nativeCitation, urlCitation } from './client-citations.ts'

/** Pieces of Responses answers that whole answers and streams write alike. */

const DIALECT = 'openai.responses'
const UNFIT = /[^A-Za-z0-9_-]+/g

/**
 * Ids of items: unique in the answer, and the same in its stream. Those of an answer with an id of ours hold that id, so
 * that whoever refers to one of them says where it is.
 */
export class ItemIds {
  readonly #base: string

  constructor({ requestId, keeps }: Pick<AnswerContext, 'requestId' | 'keeps'>) {
    const base = keeps === undefined ? requestId : keeps.id.slice('resp_'.length)
    this.#base = base.replace(UNFIT, '_').slice(0, 40)
  }

  of(prefix: 'rs' | 'msg' | 'fc' | 'ctc', index: number): string {
    return `${prefix}_${this.#base}_${index}`
  }
}

export interface TextPartState {
  readonly type: 'output_text' | 'refusal'
  text: string
  readonly annotations: JsonObject[]
  readonly logprobs: Json[]
}

export const newPart = (type: TextPartState['type']): TextPartState => ({
  type,
  text: '',
  annotations: [],
  logprobs: [],
})

export const partJson = ({ type, text, annotations, logprobs }: TextPartState): JsonObject =>
  type === 'refusal' ? { type, refusal: text } : { type, annotations, logprobs, text }

export const messageItem = (id: string, parts: readonly TextPartState[], status: string): JsonObject => ({
  id,
  type: 'message',
  status,
  role: 'assistant',
  content: parts.map(partJson),
})

export const reasoningItem = (id: string, text: string, encrypted: string | null): JsonObject => ({
  id,
  type: 'reasoning',
  summary: text === '' ? [] : [{ type: 'summary_text', text }],
  ...(encrypted === null ? {} : { encrypted_content: encrypted }),
})

/** What a reasoning item proves; ids of other answers' items go with it, since items get ids when they begin. */
export function encryptedOf({ signature, redacted, id }: ReasoningBlock): string | null {
  if (redacted !== null) return proofText({ kind: 'redacted', of: id, opaque: redacted })
  return signature === null ? null : proofText({ kind: 'signature', of: id, opaque: signature })
}

/** The signature of a call has no place in it: it travels in a reasoning item of its own, and names its call. */
export const callProof = ({ id, signature }: CallBlock): string | null =>
  signature === null ? null : proofText({ kind: 'call', of: id, opaque: signature })

/** A signature of OpenAI's own without an id is marked, or the id of the item it travels in would be taken for its own. */
function proofText(proof: Proof): string {
  const bare = proof.kind === 'signature' && proof.of === '' && proof.opaque.by === DIALECT
  return packProof(proof, DIALECT, bare ? 'redacted' : 'signature')
}

/** begun: as the stream announces it, without arguments. */
export function callItem(id: string, call: CallBlock, begun: boolean): JsonObject {
  const status = begun ? 'in_progress' : call.custom || isComplete(call) ? 'completed' : 'incomplete'
  const text = begun ? '' : call.arguments
  return call.custom
    ? { id, type: 'custom_tool_call', status, call_id: call.id, name: call.name, input: text }
    : { id, type: 'function_call', status, call_id: call.id, name: call.name, arguments: text }
}

/** A function without parameters may be called with nothing at all. */
const isComplete = (call: CallBlock): boolean => call.arguments === '' || parsed(call.arguments) !== undefined

/** from: of the part in the whole text. */
export function annotationOf(citation: Citation, from: number, start: number, end: number): JsonObject | null {
  const own = nativeCitation(citation, DIALECT)
  if (own !== null) return own
  const url = urlCitation(citation, start, end)
  if (url === null) return null
  const back = (value: Json | undefined): number => Math.max(0, (value as number) - from)
  return { type: 'url_citation', ...url, start_index: back(url['start_index']), end_index: back(url['end_index']) }
}

export interface Ending {
  readonly status: 'completed' | 'incomplete' | 'failed' | 'queued' | 'cancelled'
  readonly incomplete: JsonObject | null
  readonly error: JsonObject | null
}

const COMPLETED: Ending = { status: 'completed', incomplete: null, error: null }
const incomplete = (reason: string): Ending => ({ status: 'incomplete', incomplete: { reason }, error: null })

const isDone = (ending: Ending | null): boolean => ending !== null && ending.status !== 'failed'

export function endingOf(reason: FinishReason | '', refused: boolean): Ending {
  switch (reason) {
    case 'length':
      return incomplete('max_output_tokens')
    case 'content_filter':
      return incomplete('content_filter')
    case 'refusal':
      return refused ? COMPLETED : incomplete('content_filter')
    case 'error':
      return {
        status: 'failed',
        incomplete: null,
        error: { code: 'server_error', message: 'The backend of this model gave the answer up.' },
      }
    default:
      return COMPLETED
  }
}

const RATE_CODES: ReadonlySet<string> = new Set(['rate_limited', 'upstream_rate_limited', 'budget_exceeded'])

/** openai-openapi `ResponseErrorCode`; `context_length_exceeded` is not in it, but sent, and clients shorten at it. */
export function failure(error: GatewayError): Ending {
  const { code } = error
  const named = RATE_CODES.has(code)
    ? 'rate_limit_exceeded'
    : code === 'context_length_exceeded'
      ? code
      : code === 'content_filter'
        ? 'invalid_prompt'
        : 'server_error'
  return { status: 'failed', incomplete: null, error: { code: named, message: errorText(error) } }
}

/** A tool as the API repeats it: with its defaults, and without what opens somebody's server. */
function toolJson(tool: Json): Json {
  if (!isObject(tool)) return tool
  const { authorization: _authorization, headers: _headers, ...rest } = tool
  return rest['type'] === 'function'
    ? { description: null, parameters: null, ...rest, strict: rest['strict'] ?? true }
    : rest
}

/**
 * The response around its output, which repeats what was asked (openai-openapi `Response`). null = not asked: the API
 * says its defaults then.
 */
export class ResponseFrame {
  readonly #context: AnswerContext

  constructor(context: AnswerContext) {
    this.#context = context
  }

  json(id: string, ending: Ending | null, output: readonly Json[], usage: Usage | null): JsonObject {
    const { requestId, created, model, keeps } = this.#context
    return {
      id: keeps?.id ?? prefixed('resp_', id, requestId),
      object: 'response',
      created_at: created,
      status: ending?.status ?? 'in_progress',
      error: ending?.error ?? null,
      incomplete_details: ending?.incomplete ?? null,
      model,
      output: [...output],
      // Clients read it of every answer that is complete, also where a backend does not count.
      usage: usage !== null ? responsesUsage(usage) : isDone(ending) ? responsesUsage(NO_USAGE) : null,
      ...this.#asked(),
    }
  }

  #asked(): JsonObject {
    const { sent, keeps } = this.#context
    const or = (name: string, other: Json): Json => sent[name] ?? other
    const text = sent['text'] as JsonObject | null | undefined
    const reasoning = sent['reasoning'] as JsonObject | null | undefined
    return {
      background: keeps?.background ?? false,
      instructions: or('instructions', null),
      max_output_tokens: or('max_output_tokens', null),
      max_tool_calls: or('max_tool_calls', null),
      metadata: or('metadata', {}),
      parallel_tool_calls: or('parallel_tool_calls', true),
      previous_response_id: keeps?.previousId ?? null,
      prompt_cache_key: or('prompt_cache_key', null),
      reasoning: { effort: null, summary: null, ...reasoning },
      safety_identifier: or('safety_identifier', null),
      service_tier: or('service_tier', 'default'),
      // A client that takes this for true refers to it.
      store: keeps?.stored ?? false,
      temperature: or('temperature', 1),
      text: { format: { type: 'text' }, ...text },
      tool_choice: or('tool_choice', 'auto'),
      tools: Array.isArray(sent['tools']) ? sent['tools'].map(toolJson) : [],
      top_logprobs: or('top_logprobs', 0),
      top_p: or('top_p', 1),
      truncation: or('truncation', 'disabled'),
      user: or('user', null),
    }
  }
}
