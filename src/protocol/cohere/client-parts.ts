import type { Citation, FinishReason, Json, JsonObject } from '../../contracts/canonical.ts'
import type { GatewayError } from '../../core/errors.ts'
import { isFields, textOf } from '../canonical/loose.ts'
import { errorText } from '../canonical/say.ts'

/** Pieces of answers of /v2/chat that whole answers and streams write alike. */

const DIALECT = 'cohere.chat'

/**
 * cohere-ai `ChatFinishReason`. What was taken out of an answer is told as an error: of the reasons there are, the only
 * one that does not call it complete, and that does not promise more to who asks for more tokens.
 */
export function finishReason(reason: FinishReason | ''): string {
  switch (reason) {
    case 'length':
    case 'pause':
      return 'MAX_TOKENS'
    case 'stop_sequence':
      return 'STOP_SEQUENCE'
    case 'tool_calls':
      return 'TOOL_CALL'
    case 'error':
    case 'content_filter':
      return 'ERROR'
    default:
      return 'COMPLETE'
  }
}

const errorMessage = (error: GatewayError): string =>
  `${error.param === undefined ? '' : `${error.param}: `}${errorText(error)}`

/** The envelope that Cohere's clients read: `message`, and the id of the request to ask about it. */
export const cohereError = (error: GatewayError, requestId: string): string =>
  JSON.stringify({ id: requestId, message: errorMessage(error) })

/** How a stream ends that has begun (cohere-ai `ChatMessageEndEventDelta`): there is no other place for what went wrong. */
export const cohereErrorEvent = (error: GatewayError, id: string): string =>
  eventText('message-end', {
    type: 'message-end',
    id,
    delta: { finish_reason: 'ERROR', error: errorMessage(error) },
  })

const eventText = (name: string, data: JsonObject): string => `event: ${name}\ndata: ${quoted(data)}\n\n`

const TERMINATOR = '[DONE]'

/** As JSON. Cohere's SDK ends a stream at the first event with these letters in it, also inside of a text: there they are escaped. */
export function quoted(value: Json): string {
  const text = JSON.stringify(value)
  return text.includes(TERMINATOR) ? text.replaceAll(TERMINATOR, String.raw`\u005bDONE]`) : text
}

/** Characters of a content's text that a citation is of. */
export interface CitedText {
  /** The content's text so far. */
  readonly text: string
  /** Its place among the contents. */
  readonly index: number
  /** Characters of the answer before it. */
  readonly from: number
  /** Where in the answer the passage begins that was told last. */
  readonly passage: number
}

/** cohere-ai `Citation`; its own as it came. What says no place is of the passage told last. */
export function citationJson({ native, ...citation }: Citation, cited: CitedText, count: number): JsonObject {
  if (native?.by === DIALECT && native.value['sources'] !== undefined) return native.value
  const end = cited.text.length
  const within = (at: number | undefined, otherwise: number): number =>
    at === undefined ? otherwise : Math.min(Math.max(at - cited.from, 0), end)
  const start = within(citation.from, Math.max(cited.passage - cited.from, 0))
  const to = Math.max(start, within(citation.to, end))
  const document: JsonObject = {}
  if (citation.title !== undefined) document['title'] = citation.title
  if (citation.url !== undefined) document['url'] = citation.url
  if (citation.quote !== undefined) document['snippet'] = citation.quote
  return {
    start,
    end: to,
    text: cited.text.slice(start, to),
    sources: [{ type: 'document', id: citation.url ?? `source:${count}`, document }],
    type: 'TEXT_CONTENT',
    content_index: cited.index,
  }
}

/** cohere-ai `LogprobItem` of some entries of the chat API. Ids of tokens are nobody's to say: backends tell texts. */
export function logprobItem(entries: readonly Json[]): JsonObject {
  const logprobs: number[] = []
  let text = ''
  for (const entry of entries) {
    if (!isFields(entry)) continue
    text += textOf(entry['token'])
    logprobs.push(typeof entry['logprob'] === 'number' ? entry['logprob'] : 0)
  }
  return { text, token_ids: [], logprobs }
}

/** Free text of a custom tool stands in an object, as everything that is called here takes one. */
export const callArguments = (text: string, custom: boolean): string =>
  custom ? JSON.stringify({ raw_arguments: text }) : text || '{}'
