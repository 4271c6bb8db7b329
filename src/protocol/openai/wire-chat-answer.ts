import type { Citation, FinishReason, Json, JsonObject, Opaque } from '../../contracts/canonical.ts'
import type { AnswerSink, StreamDecoder } from '../../contracts/dialect.ts'
import { asJson, asObject, fieldsOf, isFields, listOf, type Loose, parseEvent, textOf } from '../canonical/loose.ts'
import { type Choice, Teller } from '../canonical/telling.ts'
import { readAnswer, StreamUsage } from '../usage.ts'
import { ChatCalls } from './wire-chat-calls.ts'

/** Answers and chunks of the chat API, of OpenAI (openai 7.57, ChatCompletionChunk) and of all who are like it. */

const REASONS: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  eos: 'stop',
  eos_token: 'stop',
  end_turn: 'stop',
  COMPLETE: 'stop',
  length: 'length',
  max_tokens: 'length',
  model_length: 'length',
  tool_calls: 'tool_calls',
  tool_use: 'tool_calls',
  function_call: 'tool_calls',
  content_filter: 'content_filter',
  sensitive: 'content_filter',
  stop_sequence: 'stop_sequence',
  error: 'error',
  network_error: 'error',
  insufficient_system_resource: 'error',
}

/** Words that some servers give beside the reason, in the field where vLLM and SGLang name the sequence. */
const NO_SEQUENCE = new Set(['', 'stop', 'eos', 'eos_token', 'end_turn', 'length'])

const opaque = (value: unknown): Opaque => ({ by: 'openai.chat', value: JSON.stringify(value) })

/** One of the answers. */
interface State {
  readonly choice: Choice
  readonly calls: ChatCalls
}

/** Tells messages and their deltas, which have the same fields. */
class ChatTeller {
  readonly #states = new Map<number, State>()
  readonly teller: Teller
  /** URLs beside the answer (Perplexity), which come again with each chunk. */
  #sources: Loose = {}
  #cited = false

  constructor(sink: AnswerSink) {
    this.teller = new Teller(sink)
  }

  body(body: Loose, whole: boolean): void {
    const choices = body['choices']
    if (!Array.isArray(choices) || choices.length === 0) return
    for (const one of choices as readonly unknown[]) if (isFields(one)) this.#choice(body, one, whole)
    if (body['citations'] !== undefined || body['search_results'] !== undefined) this.#sources = body
  }

  complete(): void {
    for (const { calls } of this.#states.values()) calls.complete()
    if (!this.#cited) for (const citation of sourcesOf(this.#sources)) this.teller.sink.citation(0, citation)
    this.teller.complete()
  }

  #choice(body: Loose, one: Loose, whole: boolean): void {
    const choice = this.teller.choice(one['index'])
    if (choice === null) return
    if (!this.teller.started) this.teller.start(textOf(body['id']), textOf(body['model']))
    const said = one['delta'] ?? one['message']
    if (isFields(said)) this.#message(this.#state(choice), said, whole)
    if (isFields(one['logprobs']) && Array.isArray(one['logprobs']['content']))
      this.teller.sink.logprobs(choice.index, one['logprobs']['content'] as Json[])
    if (typeof one['finish_reason'] === 'string' && one['finish_reason'] !== '') this.#reason(choice, one)
  }

  #state(choice: Choice): State {
    let state = this.#states.get(choice.index)
    if (state === undefined) {
      state = { choice, calls: new ChatCalls(this.teller, choice) }
      this.#states.set(choice.index, state)
    }
    return state
  }

  #reason(choice: Choice, one: Loose): void {
    choice.reason = REASONS[one['finish_reason'] as string] ?? 'stop'
    const matched = textOf(one['matched_stop'] ?? one['stop_reason'])
    if (choice.reason !== 'stop' || NO_SEQUENCE.has(matched)) return
    choice.reason = 'stop_sequence'
    choice.sequence = matched
  }

  #message({ choice, calls }: State, said: Loose, whole: boolean): void {
    const { sink } = this.teller
    const at = choice.index
    if (Array.isArray(said['reasoning_details']) && said['reasoning_details'].length > 0)
      this.#details(at, said['reasoning_details'] as unknown[])
    else {
      const thought = said['reasoning_content'] ?? said['reasoning'] ?? said['thinking']
      if (typeof thought === 'string' && thought !== '') sink.reasoning(at, thought)
    }
    const content = said['content']
    if (typeof content === 'string') {
      if (content !== '') sink.text(at, content)
    } else if (Array.isArray(content)) for (const part of content as unknown[]) this.#part(at, fieldsOf(part))
    const refusal = said['refusal']
    if (typeof refusal === 'string' && refusal !== '') sink.refusal(at, refusal)
    if (Array.isArray(said['tool_calls'])) calls.list(said['tool_calls'] as unknown[], whole)
    if (isFields(said['function_call'])) calls.legacy(said['function_call'])
    if (Array.isArray(said['annotations'])) this.#annotations(at, said['annotations'] as unknown[])
  }

  /** Content as a list of parts: Mistral, docs.mistral.ai, reasoning. */
  #part(at: number, part: Loose): void {
    if (part['type'] === 'text' && textOf(part['text']) !== '') this.teller.sink.text(at, textOf(part['text']))
    if (part['type'] !== 'thinking') return
    if (textOf(part['thinking']) !== '') this.teller.sink.reasoning(at, textOf(part['thinking']))
    for (const inner of listOf(part['thinking'])) {
      const text = textOf(fieldsOf(inner)['text'])
      if (text !== '') this.teller.sink.reasoning(at, text)
    }
  }

  /** OpenRouter: each block, or each piece of one, with all that must come back beside its text. */
  #details(at: number, details: readonly unknown[]): void {
    for (const one of details) {
      const { text, summary, ...rest } = fieldsOf(one)
      if (rest['type'] === 'reasoning.encrypted') {
        if (textOf(rest['data']) !== '') this.teller.sink.redacted(at, opaque(rest))
        continue
      }
      const thought = textOf(text) || textOf(summary)
      if (thought !== '') this.teller.sink.reasoning(at, thought)
      if (textOf(rest['signature']) !== '') this.teller.sink.signature(at, opaque(rest), '')
    }
  }

  #annotations(at: number, annotations: readonly unknown[]): void {
    for (const one of annotations) {
      const annotation = fieldsOf(one)
      if (annotation['type'] !== 'url_citation') continue
      this.#cited = true
      this.teller.sink.citation(
        at,
        urlCitation(fieldsOf(annotation['url_citation']), asObject(annotation), 'openai.chat'),
      )
    }
  }
}

/** Of both APIs of OpenAI: where it stands differs, its fields do not. */
export function urlCitation(from: Loose, native: JsonObject, by: 'openai.chat' | 'openai.responses'): Citation {
  const url = textOf(from['url'])
  const title = textOf(from['title'])
  const { start_index: start, end_index: end } = from
  return {
    ...(url === '' ? {} : { url }),
    ...(title === '' ? {} : { title }),
    ...(typeof start === 'number' && typeof end === 'number' ? { from: start, to: end } : {}),
    native: { by, value: native },
  }
}

function sourcesOf(body: Loose): Citation[] {
  const results = listOf(body['search_results'])
  const list = results.length > 0 ? results : listOf(body['citations'])
  const citations: Citation[] = []
  for (const one of list) {
    const url = textOf(one) || textOf(fieldsOf(one)['url'])
    const title = textOf(fieldsOf(one)['title'])
    if (url !== '') citations.push(title === '' ? { url } : { url, title })
  }
  return citations
}

const failed = (body: Loose): boolean => {
  const { error } = body
  return error !== undefined && error !== null && error !== false && error !== ''
}

export function chatAnswer(body: Loose, sink: AnswerSink): 'ok' | 'error' | 'invalid' {
  if (failed(body)) return 'error'
  if (!listOf(body['choices']).some(isFields)) return 'invalid'
  const told = new ChatTeller(sink)
  told.body(body, true)
  if (!told.teller.started) return 'invalid'
  told.teller.used(readAnswer(body))
  told.complete()
  return 'ok'
}

const DONE = '[DONE]'

export class ChatDecoder implements StreamDecoder {
  readonly #told: ChatTeller
  readonly #usage = new StreamUsage()
  #ended = false
  #fault: Json = null

  constructor(sink: AnswerSink) {
    this.#told = new ChatTeller(sink)
  }

  get fault(): Json {
    return this.#fault
  }

  event(name: string, data: string): 'go' | 'end' | 'error' {
    if (this.#ended) return 'end'
    if (data === DONE) {
      this.#end()
      return 'end'
    }
    const chunk = parseEvent(data)
    if (failed(chunk) || name === 'error') {
      this.#fault = asJson(failed(chunk) ? chunk['error'] : chunk)
      return 'error'
    }
    if (isFields(chunk['usage']) || isFields(chunk['x_groq']) || isFields(chunk['timings'])) this.#usage.feed(chunk)
    this.#told.body(chunk, false)
    return 'go'
  }

  /** Not all send `[DONE]`: a reason for each answer means that the model was done. */
  close(): boolean {
    if (!this.#ended && this.#told.teller.finished) this.#end()
    return this.#ended && this.#told.teller.started
  }

  #end(): void {
    this.#ended = true
    if (!this.#told.teller.started) return
    this.#told.teller.used(this.#usage.usage)
    this.#told.complete()
  }
}
