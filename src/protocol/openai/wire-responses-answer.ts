import type { Json } from '../../contracts/canonical.ts'
import type { AnswerSink, StreamDecoder } from '../../contracts/dialect.ts'
import { asJson, asObject, fieldsOf, isFields, listOf, type Loose, parseEvent, textOf } from '../canonical/loose.ts'
import { type Choice, Teller } from '../canonical/telling.ts'
import { readAnswer, StreamUsage } from '../usage.ts'
import { urlCitation } from './wire-chat-answer.ts'

/** Answers and events of the Responses API, by Response and ResponseStreamEvent of openai 7.57. */

/** What has been told of the item of the answer that is being written. */
interface Item {
  /** Our index of a call; -1 = it is none, or has not begun. */
  call: number
  /** Something of its text, its thoughts or its arguments has been told. */
  told: boolean
  /** Which piece of the reasoning was told last: pieces are set apart by an empty line. */
  piece: string
}

const newItem = (): Item => ({ call: -1, told: false, piece: '' })

/** Most items of one answer; a greater index is a fault. */
const MAX_ITEMS = 4096

class ResponsesTeller {
  readonly teller: Teller
  readonly #choice: Choice

  constructor(sink: AnswerSink) {
    this.teller = new Teller(sink)
    this.#choice = this.teller.choice(0)!
  }

  /** A whole item, or what has not come in pieces of one. */
  item(said: Loose, item: Item): void {
    switch (said['type']) {
      case 'message':
        if (!item.told) for (const part of listOf(said['content'])) this.#part(fieldsOf(part))
        return
      case 'reasoning':
        if (!item.told) {
          for (const [i, one] of listOf(said['summary']).entries())
            this.thought(item, `s${i}`, textOf(fieldsOf(one)['text']))
          for (const [i, one] of listOf(said['content']).entries())
            this.thought(item, `c${i}`, textOf(fieldsOf(one)['text']))
        }
        if (textOf(said['encrypted_content']) !== '') {
          const value = textOf(said['encrypted_content'])
          this.teller.sink.signature(0, { by: 'openai.responses', value }, textOf(said['id']))
        }
        return
      case 'function_call':
      case 'custom_tool_call':
        this.call(said, item)
        if (!item.told) this.pieceOfCall(item, textOf(said[said['type'] === 'function_call' ? 'arguments' : 'input']))
        return
      default:
      // Calls of tools that run at the provider.
    }
  }

  call(said: Loose, item: Item): void {
    if (item.call >= 0) return
    const id = textOf(said['call_id']) || textOf(said['id'])
    item.call = this.teller.call(this.#choice, id, textOf(said['name']), said['type'] === 'custom_tool_call')
  }

  pieceOfCall(item: Item, piece: string): void {
    if (item.call < 0 || piece === '') return
    item.told = true
    this.teller.sink.toolArguments(0, item.call, piece)
  }

  thought(item: Item, piece: string, text: string): void {
    if (text === '') return
    const apart = item.told && item.piece !== piece
    item.told = true
    item.piece = piece
    this.teller.sink.reasoning(0, apart ? `\n\n${text}` : text)
  }

  citation(annotation: Loose): void {
    if (annotation['type'] === 'url_citation')
      this.teller.sink.citation(0, urlCitation(annotation, asObject(annotation), 'openai.responses'))
  }

  logprobs(entries: unknown): void {
    if (Array.isArray(entries) && entries.length > 0) this.teller.sink.logprobs(0, entries as Json[])
  }

  #part(part: Loose): void {
    const { sink } = this.teller
    if (part['type'] === 'refusal' && textOf(part['refusal']) !== '') sink.refusal(0, textOf(part['refusal']))
    if (part['type'] !== 'output_text') return
    if (textOf(part['text']) !== '') sink.text(0, textOf(part['text']))
    this.logprobs(part['logprobs'])
    for (const one of listOf(part['annotations'])) this.citation(fieldsOf(one))
  }

  complete(response: Loose): void {
    const why = fieldsOf(response['incomplete_details'])['reason']
    this.#choice.reason =
      response['status'] !== 'incomplete' && why === undefined
        ? 'stop'
        : why === 'content_filter'
          ? 'content_filter'
          : why === 'steered'
            ? 'pause'
            : 'length'
    this.teller.complete()
  }
}

export function responsesAnswer(body: Loose, sink: AnswerSink): 'ok' | 'error' | 'invalid' {
  if ((body['error'] !== undefined && body['error'] !== null) || body['status'] === 'failed') return 'error'
  if (!Array.isArray(body['output'])) return 'invalid'
  const told = new ResponsesTeller(sink)
  told.teller.start(textOf(body['id']), textOf(body['model']))
  for (const one of body['output'] as readonly unknown[]) told.item(fieldsOf(one), newItem())
  told.teller.used(readAnswer(body))
  told.complete(body)
  return 'ok'
}

/** A part of an item by its number; what is no number is one part. */
const partKey = (kind: string, index: unknown): string => kind + (typeof index === 'number' ? index : '')

export class ResponsesDecoder implements StreamDecoder {
  readonly #told: ResponsesTeller
  readonly #usage = new StreamUsage()
  readonly #items = new Map<number, Item>()
  #ended = false
  #fault: Json = null

  constructor(sink: AnswerSink) {
    this.#told = new ResponsesTeller(sink)
  }

  get fault(): Json {
    return this.#fault
  }

  event(name: string, data: string): 'go' | 'end' | 'error' {
    // Some servers end with the chat API's word, after the last event.
    if (this.#ended || data === '[DONE]') return this.#ended ? 'end' : 'go'
    const event = parseEvent(data)
    const type = textOf(event['type']) || name
    switch (type) {
      case 'response.completed':
      case 'response.incomplete':
      case 'response.done':
        return this.#end(fieldsOf(event['response']))
      case 'response.failed':
        this.#fault = asJson(fieldsOf(event['response'])['error'])
        return 'error'
      case 'error':
        this.#fault = asJson(isFields(event['error']) ? event['error'] : { ...event, type: 'error' })
        return 'error'
      case 'response.created':
      case 'response.in_progress': {
        const response = fieldsOf(event['response'])
        this.#told.teller.start(textOf(response['id']), textOf(response['model']))
        return 'go'
      }
      default:
        this.#piece(type, event)
        return 'go'
    }
  }

  /** Without its last event an answer is cut. */
  close(): boolean {
    return this.#ended
  }

  #piece(type: string, event: Loose): void {
    const item = this.#item(event['output_index'])
    if (item === null) return
    const { teller } = this.#told
    const delta = textOf(event['delta'])
    switch (type) {
      case 'response.output_text.delta':
        teller.start('', '')
        item.told = true
        if (delta !== '') teller.sink.text(0, delta)
        this.#told.logprobs(event['logprobs'])
        return
      case 'response.refusal.delta':
        teller.start('', '')
        item.told = true
        if (delta !== '') teller.sink.refusal(0, delta)
        return
      case 'response.reasoning_summary_text.delta':
        teller.start('', '')
        this.#told.thought(item, partKey('s', event['summary_index']), delta)
        return
      case 'response.reasoning_text.delta':
        teller.start('', '')
        this.#told.thought(item, partKey('c', event['content_index']), delta)
        return
      case 'response.function_call_arguments.delta':
      case 'response.custom_tool_call_input.delta':
        this.#told.pieceOfCall(item, delta)
        return
      case 'response.output_text.annotation.added':
        teller.start('', '')
        item.told = true
        this.#told.citation(fieldsOf(event['annotation']))
        return
      case 'response.output_item.added': {
        teller.start('', '')
        const said = fieldsOf(event['item'])
        if (said['type'] === 'function_call' || said['type'] === 'custom_tool_call') this.#told.call(said, item)
        return
      }
      case 'response.output_item.done':
        teller.start('', '')
        this.#told.item(fieldsOf(event['item']), item)
        return
      default:
    }
  }

  #item(at: unknown): Item | null {
    const index = at === undefined ? 0 : at
    if (typeof index !== 'number' || index < 0 || index >= MAX_ITEMS) return null
    let item = this.#items.get(index)
    if (item === undefined) {
      item = newItem()
      this.#items.set(index, item)
    }
    return item
  }

  #end(response: Loose): 'end' {
    const { teller } = this.#told
    teller.start(textOf(response['id']), textOf(response['model']))
    // Of what came in no event of its own.
    for (const [index, one] of listOf(response['output']).entries())
      if (!this.#items.has(index)) this.#told.item(fieldsOf(one), newItem())
    this.#usage.feed({ response })
    this.#ended = true
    teller.used(this.#usage.usage)
    this.#told.complete(response)
    return 'end'
  }
}
