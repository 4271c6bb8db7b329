import type { Citation, FinishReason, Json, JsonObject, Opaque } from '../../contracts/canonical.ts'
import type { AnswerContext, StreamEncoder } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { GatewayError } from '../../core/errors.ts'
import { isWhole, reasonWith } from '../canonical/collect.ts'
import type { CallBlock } from '../canonical/collect.ts'
import {
  ItemIds,
  ResponseFrame,
  annotationOf,
  callItem,
  callProof,
  encryptedOf,
  endingOf,
  failure,
  messageItem,
  newPart,
  partJson,
  reasoningItem,
} from './client-responses-parts.ts'
import type { Ending, TextPartState } from './client-responses-parts.ts'
import { responsesErrorEvent } from './errors.ts'

const quote = JSON.stringify

interface OpenMessage {
  readonly kind: 'message'
  readonly id: string
  readonly at: number
  readonly parts: TextPartState[]
  /** Of the open part in the whole text. */
  from: number
}
interface OpenReasoning {
  readonly kind: 'reasoning'
  readonly id: string
  readonly at: number
  text: string
}
interface OpenCall {
  readonly block: CallBlock
  id: string
  /** Of its item; -1 = it waits for what comes next, its signature perhaps. */
  at: number
  closed: boolean
  signed: boolean
}

/** A response's stream (openai-openapi `ResponseStreamEvent`). The dialect has one choice; others are not told. */
export class ResponsesStream implements StreamEncoder {
  readonly heartbeat = ': heartbeat\n\n'
  readonly #context: AnswerContext
  readonly #frame: ResponseFrame
  readonly #ids: ItemIds
  readonly #holds: boolean
  #out = ''
  #number = 0
  #id = ''
  #begun = false
  #usage: Usage | null = null
  /** Items that are done, at their places. */
  readonly #items: JsonObject[] = []
  #count = 0
  #open: OpenMessage | OpenReasoning | null = null
  /** Head of the deltas of what is open. */
  #deltaHead = ''
  readonly #calls: OpenCall[] = []
  #pending: OpenCall | null = null
  #length = 0
  /** End of the last text before a citation, and its beginning. */
  #passage = 0
  #cited = false
  #held = ''
  #refused = false
  #reason: FinishReason | '' = ''

  constructor(context: AnswerContext) {
    this.#context = context
    this.#frame = new ResponseFrame(context)
    this.#ids = new ItemIds(context)
    this.#holds = context.request.logprobs === true
  }

  #event(type: string, fields: string): void {
    this.#out += `event: ${type}\ndata: {"type":"${type}","sequence_number":${this.#number++}${fields}}\n\n`
  }

  #lifecycle(type: string, ending: Ending | null): void {
    const done = this.#items.filter((item) => item !== undefined)
    const response = this.#frame.json(this.#id, ending, done, this.#usage)
    this.#event(type, `,"response":${quote(response)}`)
    if (ending !== null) this.#context.keeps?.done(response)
  }

  #begin(): void {
    if (this.#begun) return
    this.#begun = true
    this.#lifecycle('response.created', null)
    this.#lifecycle('response.in_progress', null)
  }

  #added(item: JsonObject): number {
    this.#event('response.output_item.added', `,"output_index":${this.#count},"item":${quote(item)}`)
    return this.#count++
  }

  #done(at: number, item: JsonObject): void {
    this.#items[at] = item
    this.#event('response.output_item.done', `,"output_index":${at},"item":${quote(item)}`)
  }

  start(id: string, _model: string): void {
    this.#id = id
    this.#begin()
  }

  /** A message with a part of this type open. */
  #message(type: TextPartState['type']): OpenMessage {
    let open = this.#open
    if (open?.kind !== 'message') {
      this.#closeAll('completed')
      const id = this.#ids.of('msg', this.#count)
      open = { kind: 'message', id, at: this.#added(messageItem(id, [], 'in_progress')), parts: [], from: 0 }
      this.#open = open
    }
    const last = open.parts.at(-1)
    if (last?.type === type) return open
    if (last !== undefined) this.#closePart(open)
    const part = newPart(type)
    open.parts.push(part)
    open.from = this.#length
    const place = `,"item_id":${quote(open.id)},"output_index":${open.at},"content_index":${open.parts.length - 1}`
    this.#event('response.content_part.added', `${place},"part":${quote(partJson(part))}`)
    const name = type === 'refusal' ? 'response.refusal.delta' : 'response.output_text.delta'
    this.#deltaHead = `event: ${name}\ndata: {"type":"${name}"${place},"delta":`
    return open
  }

  text(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    if (this.#held !== '') this.#tellHeld([])
    const open = this.#message('output_text')
    if (this.#cited || this.#length === open.from) this.#passage = this.#length
    this.#cited = false
    this.#length += text.length
    open.parts.at(-1)!.text += text
    if (this.#holds) this.#held = text
    else this.#out += `${this.#deltaHead}${quote(text)},"logprobs":[],"sequence_number":${this.#number++}}\n\n`
  }

  /** Text that waited for its probabilities. */
  #tellHeld(entries: readonly Json[]): void {
    const text = this.#held
    this.#held = ''
    this.#out += `${this.#deltaHead}${quote(text)},"logprobs":${quote(entries)},"sequence_number":${this.#number++}}\n\n`
  }

  logprobs(choice: number, entries: readonly Json[]): void {
    if (choice !== 0 || this.#open?.kind !== 'message') return
    this.#open.parts.findLast((part) => part.type === 'output_text')?.logprobs.push(...entries)
    if (this.#held !== '') this.#tellHeld(entries)
  }

  refusal(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#refused = true
    if (this.#held !== '') this.#tellHeld([])
    this.#message('refusal').parts.at(-1)!.text += text
    this.#out += `${this.#deltaHead}${quote(text)},"sequence_number":${this.#number++}}\n\n`
  }

  citation(choice: number, citation: Citation): void {
    if (choice !== 0) return
    if (this.#held !== '') this.#tellHeld([])
    const { at, id, parts, from } = this.#message('output_text')
    const part = parts.at(-1)!
    const annotation = annotationOf(citation, from, this.#passage, this.#length)
    this.#cited = true
    if (annotation === null) return
    const place = `,"item_id":${quote(id)},"output_index":${at},"content_index":${parts.length - 1}`
    const index = part.annotations.push(annotation) - 1
    this.#event(
      'response.output_text.annotation.added',
      `${place},"annotation_index":${index},"annotation":${quote(annotation)}`,
    )
  }

  #closePart(open: OpenMessage): void {
    const part = open.parts.at(-1)!
    const place = `,"item_id":${quote(open.id)},"output_index":${open.at},"content_index":${open.parts.length - 1}`
    if (part.type === 'refusal') this.#event('response.refusal.done', `${place},"refusal":${quote(part.text)}`)
    else
      this.#event('response.output_text.done', `${place},"text":${quote(part.text)},"logprobs":${quote(part.logprobs)}`)
    this.#event('response.content_part.done', `${place},"part":${quote(partJson(part))}`)
  }

  #thinking(): OpenReasoning {
    if (this.#open?.kind === 'reasoning') return this.#open
    this.#closeAll('completed')
    const id = this.#ids.of('rs', this.#count)
    const open: OpenReasoning = { kind: 'reasoning', id, at: this.#added(reasoningItem(id, '', null)), text: '' }
    this.#open = open
    return open
  }

  reasoning(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    const open = this.#thinking()
    const name = 'response.reasoning_summary_text.delta'
    if (open.text === '') {
      const place = `,"item_id":${quote(open.id)},"output_index":${open.at},"summary_index":0`
      this.#event('response.reasoning_summary_part.added', `${place},"part":{"type":"summary_text","text":""}`)
      this.#deltaHead = `event: ${name}\ndata: {"type":"${name}"${place},"delta":`
    }
    open.text += text
    this.#out += `${this.#deltaHead}${quote(text)},"sequence_number":${this.#number++}}\n\n`
  }

  signature(choice: number, signature: Opaque, id: string): void {
    if (choice !== 0) return
    const open = this.#thinking()
    this.#closeReasoning(
      open,
      encryptedOf({ type: 'reasoning', text: '', signature, redacted: null, id, closed: true }),
    )
  }

  redacted(choice: number, data: Opaque): void {
    if (choice !== 0) return
    this.#closeAll('completed')
    this.#proof(encryptedOf({ type: 'reasoning', text: '', signature: null, redacted: data, id: '', closed: true })!)
  }

  /** A reasoning item without a text. */
  #proof(encrypted: string): void {
    const id = this.#ids.of('rs', this.#count)
    this.#done(this.#added(reasoningItem(id, '', null)), reasoningItem(id, '', encrypted))
  }

  #closeReasoning(open: OpenReasoning, encrypted: string | null): void {
    this.#open = null
    if (open.text !== '') {
      const place = `,"item_id":${quote(open.id)},"output_index":${open.at},"summary_index":0`
      const text = quote(open.text)
      this.#event('response.reasoning_summary_text.done', `${place},"text":${text}`)
      this.#event('response.reasoning_summary_part.done', `${place},"part":{"type":"summary_text","text":${text}}`)
    }
    this.#done(open.at, reasoningItem(open.id, open.text, encrypted))
  }

  /** Ends the message or the reasoning that is open. */
  #close(status: 'completed' | 'incomplete'): void {
    this.#begin()
    if (this.#held !== '') this.#tellHeld([])
    const open = this.#open
    this.#open = null
    if (open?.kind === 'reasoning') this.#closeReasoning(open, null)
    else if (open?.kind === 'message') {
      this.#closePart(open)
      this.#done(open.at, messageItem(open.id, open.parts, status))
    }
  }

  #closeAll(status: 'completed' | 'incomplete'): void {
    this.#close(status)
    this.#flush()
    for (const call of this.#calls) if (call !== undefined && !call.closed) this.#closeCall(call)
  }

  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    if (choice !== 0) return
    this.#close('completed')
    this.#flush()
    // Calls whose arguments are complete end here; others may go on, in turns.
    for (const call of this.#calls) if (call !== undefined && !call.closed && isWhole(call.block)) this.#closeCall(call)
    const block: CallBlock = { type: 'tool_call', index, id, name, custom, arguments: '', signature: null }
    const call: OpenCall = { block, id: '', at: -1, closed: false, signed: false }
    this.#calls[index] = call
    this.#pending = call
  }

  /** Tells of the call that waits. */
  #flush(): void {
    const call = this.#pending
    if (call === null) return
    this.#pending = null
    this.#sign(call)
    call.id = this.#ids.of(call.block.custom ? 'ctc' : 'fc', this.#count)
    call.at = this.#added(callItem(call.id, call.block, true))
  }

  #sign(call: OpenCall): void {
    const proof = call.signed ? null : callProof(call.block)
    if (proof === null) return
    call.signed = true
    this.#proof(proof)
  }

  #closeCall(call: OpenCall): void {
    call.closed = true
    const { custom, arguments: text } = call.block
    const place = `,"item_id":${quote(call.id)},"output_index":${call.at}`
    if (custom) this.#event('response.custom_tool_call_input.done', `${place},"input":${quote(text)}`)
    else this.#event('response.function_call_arguments.done', `${place},"arguments":${quote(text)}`)
    this.#done(call.at, callItem(call.id, call.block, false))
    this.#sign(call)
  }

  toolArguments(choice: number, index: number, piece: string): void {
    const call = this.#calls[index]
    if (choice !== 0 || piece === '' || call === undefined || call.closed) return
    if (this.#pending !== null) this.#flush()
    call.block.arguments += piece
    const name = call.block.custom ? 'response.custom_tool_call_input.delta' : 'response.function_call_arguments.delta'
    this.#event(name, `,"item_id":${quote(call.id)},"output_index":${call.at},"delta":${quote(piece)}`)
  }

  toolSignature(choice: number, index: number, signature: Opaque): void {
    const call = this.#calls[index]
    if (choice !== 0 || call === undefined) return
    call.block.signature = signature
    if (!call.closed) return
    this.#closeAll('completed')
    this.#sign(call)
  }

  finish(choice: number, reason: FinishReason, _sequence: string): void {
    if (choice !== 0) return
    this.#reason = reason
    this.#closeAll(this.#ending().status === 'incomplete' ? 'incomplete' : 'completed')
  }

  #ending(): Ending {
    return endingOf(reasonWith(this.#reason, this.#calls.length > 0), this.#refused)
  }

  usage(usage: Usage): void {
    this.#usage = usage
  }

  end(): void {
    this.#closeAll('completed')
    const ending = this.#ending()
    this.#lifecycle(`response.${ending.status}`, ending)
  }

  take(): string {
    const out = this.#out
    this.#out = ''
    return out
  }

  /** openai-node throws at `error`; Codex, and whoever looks at the response alone, waits for `response.failed`. */
  error(error: GatewayError): string {
    this.#begin()
    if (this.#held !== '') this.#tellHeld([])
    this.#out += responsesErrorEvent(error, this.#context.requestId, this.#number++)
    this.#lifecycle('response.failed', failure(error))
    return this.take()
  }
}
