import type { Citation, FinishReason, Json } from '../../contracts/canonical.ts'
import type { AnswerSink, StreamDecoder } from '../../contracts/dialect.ts'
import { asObject, fieldsOf, isFields, listOf, type Loose, parseEvent, textOf } from '../canonical/loose.ts'
import { type Choice, Teller } from '../canonical/telling.ts'
import { readAnswer, StreamUsage } from '../usage.ts'

/** Answers and events of /v2/chat, by V2ChatResponse and V2ChatStreamResponse of cohere-ai 8.1. */

const REASONS: Readonly<Record<string, FinishReason>> = {
  COMPLETE: 'stop',
  STOP_SEQUENCE: 'stop_sequence',
  MAX_TOKENS: 'length',
  TOOL_CALL: 'tool_calls',
  ERROR: 'error',
  TIMEOUT: 'error',
}
const reasonOf = (value: unknown): FinishReason => REASONS[textOf(value)] ?? 'stop'

/** A citation as Cohere writes it. */
export function citationOf(value: Loose): Citation {
  const document = fieldsOf(fieldsOf(listOf(value['sources'])[0])['document'])
  const url = textOf(document['url'])
  const title = textOf(document['title'])
  const { start, end } = value
  return {
    ...(url === '' ? {} : { url }),
    ...(title === '' ? {} : { title }),
    ...(typeof start === 'number' && typeof end === 'number' ? { from: start, to: end } : {}),
    native: { by: 'cohere.chat', value: asObject(value) },
  }
}

/** Probabilities of the pieces in which texts come: of one of several tokens that of all of them. */
function tellLogprobs(sink: AnswerSink, items: readonly unknown[]): void {
  const entries = items.filter(isFields).map((item): Json => {
    const numbers = listOf(item['logprobs']).filter((one) => typeof one === 'number')
    return {
      token: textOf(item['text']),
      logprob: numbers.reduce((sum, one) => sum + one, 0),
      bytes: null,
      top_logprobs: [],
    }
  })
  if (entries.length > 0) sink.logprobs(0, entries)
}

function tellContent(sink: AnswerSink, part: Loose): void {
  if (textOf(part['thinking']) !== '') sink.reasoning(0, textOf(part['thinking']))
  if (textOf(part['text']) !== '') sink.text(0, textOf(part['text']))
}

export function cohereAnswer(body: Loose, sink: AnswerSink): 'ok' | 'error' | 'invalid' {
  if (typeof body['message'] === 'string') return 'error'
  const message = fieldsOf(body['message'])
  if (message['role'] !== 'assistant') return 'invalid'
  const teller = new Teller(sink)
  const choice = teller.choice(0)!
  teller.start(textOf(body['id']) || textOf(body['generation_id']), '')
  if (textOf(message['tool_plan']) !== '') sink.reasoning(0, textOf(message['tool_plan']))
  if (textOf(message['content']) !== '') sink.text(0, textOf(message['content']))
  for (const part of listOf(message['content'])) tellContent(sink, fieldsOf(part))
  tellLogprobs(sink, listOf(body['logprobs']))
  for (const citation of listOf(message['citations'])) sink.citation(0, citationOf(fieldsOf(citation)))
  for (const one of listOf(message['tool_calls'])) {
    const call = fieldsOf(one)
    const called = fieldsOf(call['function'])
    const index = teller.call(choice, textOf(call['id']), textOf(called['name']))
    sink.toolArguments(0, index, textOf(called['arguments']) || '{}')
  }
  choice.reason = reasonOf(body['finish_reason'])
  teller.used(readAnswer(body))
  teller.complete()
  return 'ok'
}

export class CohereDecoder implements StreamDecoder {
  readonly #teller: Teller
  readonly #choice: Choice
  readonly #usage = new StreamUsage()
  /** The call that is open; -1 = none. */
  #call = -1
  #pieces = false
  #ended = false
  #fault: Json = null

  constructor(sink: AnswerSink) {
    this.#teller = new Teller(sink)
    this.#choice = this.#teller.choice(0)!
  }

  get fault(): Json {
    return this.#fault
  }

  event(name: string, data: string): 'go' | 'end' | 'error' {
    // The compatible endpoint's word, after the last event.
    if (this.#ended || data === '[DONE]') return this.#ended ? 'end' : 'go'
    const event = parseEvent(data)
    const type = event['type'] ?? name
    if (type === 'message-end') return this.#end(event)
    if (type === 'error' || (event['type'] === undefined && typeof event['message'] === 'string')) {
      this.#fault = asObject(event)
      return 'error'
    }
    if (type === 'message-start') this.#teller.start(textOf(event['id']), '')
    else this.#piece(type, event)
    return 'go'
  }

  /** Without its last event an answer is cut. */
  close(): boolean {
    return this.#ended && this.#teller.started
  }

  #piece(type: unknown, event: Loose): void {
    const message = fieldsOf(fieldsOf(event['delta'])['message'])
    const { sink } = this.#teller
    switch (type) {
      case 'content-delta':
      case 'content-start':
        this.#teller.start('', '')
        tellContent(sink, fieldsOf(message['content']))
        tellLogprobs(sink, [event['logprobs']])
        return
      case 'tool-plan-delta':
        this.#teller.start('', '')
        if (textOf(message['tool_plan']) !== '') sink.reasoning(0, textOf(message['tool_plan']))
        return
      case 'citation-start':
        this.#teller.start('', '')
        sink.citation(0, citationOf(fieldsOf(message['citations'])))
        return
      case 'tool-call-start': {
        this.#close()
        this.#teller.start('', '')
        const call = fieldsOf(message['tool_calls'])
        this.#call = this.#teller.call(this.#choice, textOf(call['id']), textOf(fieldsOf(call['function'])['name']))
        this.#arguments(call)
        return
      }
      case 'tool-call-delta':
        this.#arguments(fieldsOf(message['tool_calls']))
        return
      case 'tool-call-end':
        this.#close()
        return
      default:
    }
  }

  #arguments(call: Loose): void {
    const piece = textOf(fieldsOf(call['function'])['arguments'])
    if (piece === '' || this.#call < 0) return
    this.#pieces = true
    this.#teller.sink.toolArguments(0, this.#call, piece)
  }

  #close(): void {
    if (this.#call >= 0 && !this.#pieces) this.#teller.sink.toolArguments(0, this.#call, '{}')
    this.#call = -1
    this.#pieces = false
  }

  #end(event: Loose): 'end' | 'error' {
    const delta = fieldsOf(event['delta'])
    if (textOf(delta['error']) !== '') {
      this.#fault = { message: textOf(delta['error']), type: textOf(delta['finish_reason']) }
      return 'error'
    }
    this.#close()
    this.#ended = true
    if (!this.#teller.started) return 'end'
    this.#choice.reason = reasonOf(delta['finish_reason'])
    this.#usage.feed(event)
    this.#teller.used(this.#usage.usage)
    this.#teller.complete()
    return 'end'
  }
}
