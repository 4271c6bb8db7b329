import type { Citation, FinishReason, Json, Opaque } from '../../contracts/canonical.ts'
import type { AnswerSink, StreamDecoder } from '../../contracts/dialect.ts'
import { asJson, asObject, fieldsOf, listOf, type Loose, parseEvent, textOf } from '../canonical/loose.ts'
import { type Choice, Teller } from '../canonical/telling.ts'
import { readAnswer, StreamUsage } from '../usage.ts'
import { ANSWER_TOOL } from './wire-request.ts'

/** Answers and events of the Messages API, by Message and RawMessageStreamEvent of @anthropic-ai/sdk 1.12. */

const REASONS: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  stop_sequence: 'stop_sequence',
  tool_use: 'tool_calls',
  pause_turn: 'pause',
  refusal: 'refusal',
}

const reasonOf = (value: unknown): FinishReason => REASONS[textOf(value)] ?? 'stop'
const opaque = (value: string): Opaque => ({ by: 'anthropic.messages', value })

/** `tool_use` comes with its input whole, or empty and followed by pieces. */
const inputText = (input: unknown): string =>
  typeof input === 'string' ? input : input === undefined || input === null ? '{}' : JSON.stringify(input)

function citationOf(value: Loose): Citation {
  const url = textOf(value['url'])
  const title = textOf(value['title']) || textOf(value['document_title'])
  const quote = textOf(value['cited_text'])
  return {
    ...(url === '' ? {} : { url }),
    ...(title === '' ? {} : { title }),
    ...(quote === '' ? {} : { quote }),
    native: { by: 'anthropic.messages', value: asObject(value) },
  }
}

/** The end as the answer, or its last event but one, says it. */
function tellReason(teller: Teller, choice: Choice, said: Loose): void {
  if (typeof said['stop_reason'] !== 'string') return
  choice.reason = reasonOf(said['stop_reason'])
  choice.sequence = textOf(said['stop_sequence'])
  const explanation = textOf(fieldsOf(said['stop_details'])['explanation'])
  if (choice.reason === 'refusal' && explanation !== '') teller.sink.refusal(0, explanation)
}

export function anthropicAnswer(body: Loose, sink: AnswerSink): 'ok' | 'error' | 'invalid' {
  if (body['type'] === 'error' || (body['error'] !== undefined && body['error'] !== null)) return 'error'
  if (!Array.isArray(body['content'])) return 'invalid'
  const teller = new Teller(sink)
  const choice = teller.choice(0)!
  teller.start(textOf(body['id']), textOf(body['model']))
  for (const value of listOf(body['content'])) tellBlock(teller, choice, fieldsOf(value))
  tellReason(teller, choice, body)
  teller.used(readAnswer(body))
  teller.complete()
  return 'ok'
}

function tellBlock(teller: Teller, choice: Choice, block: Loose): void {
  const { sink } = teller
  switch (block['type']) {
    case 'text':
      if (textOf(block['text']) !== '') sink.text(0, textOf(block['text']))
      for (const citation of listOf(block['citations'])) sink.citation(0, citationOf(fieldsOf(citation)))
      return
    case 'thinking':
      if (textOf(block['thinking']) !== '') sink.reasoning(0, textOf(block['thinking']))
      if (textOf(block['signature']) !== '') sink.signature(0, opaque(textOf(block['signature'])), '')
      return
    case 'redacted_thinking':
      if (textOf(block['data']) !== '') sink.redacted(0, opaque(textOf(block['data'])))
      return
    case 'tool_use':
      if (block['name'] === ANSWER_TOOL) sink.text(0, inputText(block['input']))
      else {
        const index = teller.call(choice, textOf(block['id']), textOf(block['name']))
        sink.toolArguments(0, index, inputText(block['input']))
      }
      return
    default:
    // What ran at the provider (searches, code) is in the text that follows it.
  }
}

/** Block kinds that are open between their start and stop. */
type Open = 'text' | 'thinking' | 'call' | 'answer' | 'other'

export class AnthropicDecoder implements StreamDecoder {
  readonly #teller: Teller
  readonly #choice: Choice
  readonly #usage = new StreamUsage()
  #open: Open = 'other'
  #signature = ''
  /** Of the call that is open. */
  #call = 0
  #pieces = false
  #input: unknown = null
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
    if (this.#ended) return 'end'
    const event = parseEvent(data)
    switch (event['type'] ?? name) {
      case 'content_block_delta':
        this.#delta(fieldsOf(event['delta']))
        return 'go'
      case 'content_block_start':
        this.#begin(fieldsOf(event['content_block']))
        return 'go'
      case 'content_block_stop':
        this.#close()
        return 'go'
      case 'message_start':
        return this.#start(event)
      case 'message_delta':
        this.#close()
        this.#usage.feed(event)
        tellReason(this.#teller, this.#choice, fieldsOf(event['delta']))
        return 'go'
      case 'message_stop':
        return this.#end()
      case 'error':
        this.#fault = asJson(event['error'] ?? event)
        return 'error'
      default:
        return 'go'
    }
  }

  close(): boolean {
    // Gateways have been seen to swallow `message_stop`; a reason means that the model was done.
    if (!this.#ended && this.#teller.finished) this.#end()
    return this.#ended && this.#teller.started
  }

  #start(event: Loose): 'go' {
    const message = fieldsOf(event['message'])
    this.#teller.start(textOf(message['id']), textOf(message['model']))
    this.#usage.feed(event)
    // Clients of this dialect show the size of the prompt at the beginning.
    const used = this.#usage.usage
    if (used !== null) this.#teller.sink.usage(used)
    return 'go'
  }

  #begin(block: Loose): void {
    this.#close()
    const { sink } = this.#teller
    this.#teller.start('', '')
    switch (block['type']) {
      case 'text':
        this.#open = 'text'
        if (textOf(block['text']) !== '') sink.text(0, textOf(block['text']))
        for (const citation of listOf(block['citations'])) sink.citation(0, citationOf(fieldsOf(citation)))
        return
      case 'thinking':
        this.#open = 'thinking'
        this.#signature = textOf(block['signature'])
        if (textOf(block['thinking']) !== '') sink.reasoning(0, textOf(block['thinking']))
        return
      case 'redacted_thinking':
        if (textOf(block['data']) !== '') sink.redacted(0, opaque(textOf(block['data'])))
        return
      case 'tool_use':
        this.#input = block['input']
        this.#pieces = false
        this.#open = block['name'] === ANSWER_TOOL ? 'answer' : 'call'
        if (this.#open === 'call')
          this.#call = this.#teller.call(this.#choice, textOf(block['id']), textOf(block['name']))
        return
      default:
    }
  }

  #delta(delta: Loose): void {
    const { sink } = this.#teller
    switch (delta['type']) {
      case 'text_delta':
        if (this.#open === 'text' && textOf(delta['text']) !== '') sink.text(0, textOf(delta['text']))
        return
      case 'input_json_delta': {
        const piece = textOf(delta['partial_json'])
        if (piece === '') return
        if (this.#open === 'call') sink.toolArguments(0, this.#call, piece)
        else if (this.#open === 'answer') sink.text(0, piece)
        this.#pieces = true
        return
      }
      case 'thinking_delta':
        if (this.#open === 'thinking' && textOf(delta['thinking']) !== '') sink.reasoning(0, textOf(delta['thinking']))
        return
      case 'signature_delta':
        if (this.#open === 'thinking') this.#signature += textOf(delta['signature'])
        return
      case 'citations_delta':
        if (this.#open === 'text') sink.citation(0, citationOf(fieldsOf(delta['citation'])))
        return
      default:
    }
  }

  #close(): void {
    const open = this.#open
    this.#open = 'other'
    if (open === 'thinking' && this.#signature !== '') this.#teller.sink.signature(0, opaque(this.#signature), '')
    if (open === 'call' && !this.#pieces) this.#teller.sink.toolArguments(0, this.#call, inputText(this.#input))
    if (open === 'answer' && !this.#pieces) this.#teller.sink.text(0, inputText(this.#input))
    this.#signature = ''
    this.#input = null
  }

  /** Nothing is told of a stream that has begun no answer. */
  #end(): 'end' {
    this.#close()
    this.#ended = true
    if (!this.#teller.started) return 'end'
    this.#teller.used(this.#usage.usage)
    this.#teller.complete()
    return 'end'
  }
}
