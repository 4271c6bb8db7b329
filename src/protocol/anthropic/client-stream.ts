import type { Citation, FinishReason, Json, JsonObject, Opaque } from '../../contracts/canonical.ts'
import type { AnswerContext, StreamEncoder } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { CallBlock } from '../canonical/collect.ts'
import { isWhole, reasonWith } from '../canonical/collect.ts'
import { prefixed } from '../canonical/say.ts'
import { anthropicUsage } from '../canonical/usage-out.ts'
import { NO_USAGE } from '../usage.ts'
import {
  anthropicError,
  callSignature,
  citationJson,
  redactedData,
  stopReason,
  thinkingSignature,
} from './client-parts.ts'

const quote = JSON.stringify

interface OpenCall {
  readonly block: CallBlock
  /** Of its content block; -1 = it waits for what comes next, its signature perhaps. */
  at: number
  closed: boolean
  signed: boolean
}

/** A message's stream (anthropic-sdk `RawMessageStreamEvent`). The dialect has one choice; others are not told. */
export class MessagesStream implements StreamEncoder {
  readonly heartbeat = 'event: ping\ndata: {"type":"ping"}\n\n'
  readonly #context: AnswerContext
  #out = ''
  #id = ''
  #begun = false
  #usage: Usage | null = null
  /** Content blocks so far. */
  #count = 0
  /** What the block is that is open; calls may be open several at a time, apart from it. */
  #open: 'none' | 'text' | 'thinking' | 'refusal' = 'none'
  /** The open text has a citation: what follows is another passage. */
  #cited = false
  #deltaHead = ''
  readonly #calls: OpenCall[] = []
  #pending: OpenCall | null = null
  #refused = false
  #reason: FinishReason | '' = ''
  #sequence = ''

  constructor(context: AnswerContext) {
    this.#context = context
  }

  #event(name: string, rest: string): void {
    this.#out += `event: ${name}\ndata: {"type":"${name}"${rest}}\n\n`
  }

  /** Written with what comes after start(): input tokens, where a backend tells them first. */
  #begin(): void {
    if (this.#begun) return
    this.#begun = true
    const { requestId, model } = this.#context
    const message = {
      id: prefixed('msg_', this.#id, requestId),
      type: 'message',
      role: 'assistant',
      model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: anthropicUsage(this.#usage ?? NO_USAGE),
    }
    this.#event('message_start', `,"message":${quote(message)}`)
  }

  #startBlock(block: JsonObject): number {
    this.#event('content_block_start', `,"index":${this.#count},"content_block":${quote(block)}`)
    return this.#count++
  }

  #delta(index: number, type: string, field: string, value: string): void {
    this.#event('content_block_delta', `,"index":${index},"delta":{"type":"${type}","${field}":${value}}`)
  }

  #stopBlock(index: number): void {
    this.#event('content_block_stop', `,"index":${index}`)
  }

  /** Ends the text or thinking that is open. */
  #close(): void {
    if (this.#open === 'none') return
    this.#open = 'none'
    this.#stopBlock(this.#count - 1)
  }

  #closeAll(): void {
    this.#begin()
    this.#close()
    this.#flush()
    for (const call of this.#calls) if (call !== undefined && !call.closed) this.#closeCall(call)
  }

  #switchTo(kind: 'text' | 'thinking' | 'refusal', block: JsonObject, delta: string, field: string): void {
    if (this.#open === kind && !(kind === 'text' && this.#cited)) return
    this.#closeAll()
    const index = this.#startBlock(block)
    this.#open = kind
    this.#cited = false
    this.#deltaHead = `event: content_block_delta\ndata: {"type":"content_block_delta","index":${index},"delta":{"type":"${delta}","${field}":`
  }

  start(id: string, _model: string): void {
    this.#id = id
  }

  text(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#switchTo('text', { type: 'text', text: '' }, 'text_delta', 'text')
    this.#out += `${this.#deltaHead}${quote(text)}}}\n\n`
  }

  reasoning(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#switchTo('thinking', { type: 'thinking', thinking: '', signature: '' }, 'thinking_delta', 'thinking')
    this.#out += `${this.#deltaHead}${quote(text)}}}\n\n`
  }

  refusal(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#refused = true
    this.#switchTo('refusal', { type: 'text', text: '' }, 'text_delta', 'text')
    this.#out += `${this.#deltaHead}${quote(text)}}}\n\n`
  }

  signature(choice: number, signature: Opaque, id: string): void {
    if (choice !== 0) return
    this.#switchTo('thinking', { type: 'thinking', thinking: '', signature: '' }, 'thinking_delta', 'thinking')
    const text = thinkingSignature({ type: 'reasoning', text: '', signature, redacted: null, id, closed: true })
    this.#delta(this.#count - 1, 'signature_delta', 'signature', quote(text))
    this.#close()
  }

  redacted(choice: number, data: Opaque): void {
    if (choice !== 0) return
    this.#closeAll()
    this.#stopBlock(this.#startBlock({ type: 'redacted_thinking', data: redactedData(data) }))
  }

  citation(choice: number, citation: Citation): void {
    const told = citationJson(citation)
    if (choice !== 0 || told === null) return
    // A citation of an earlier text cannot be told any more: an empty passage takes it.
    if (this.#open !== 'text') {
      this.#closeAll()
      this.#startBlock({ type: 'text', text: '' })
      this.#open = 'text'
    }
    this.#cited = true
    this.#delta(this.#count - 1, 'citations_delta', 'citation', quote(told))
  }

  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    if (choice !== 0) return
    this.#begin()
    this.#close()
    this.#flush()
    // Calls whose arguments are complete end here; others may go on, in turns.
    for (const call of this.#calls) if (call !== undefined && !call.closed && isWhole(call.block)) this.#closeCall(call)
    const block: CallBlock = { type: 'tool_call', index, id, name, custom, arguments: '', signature: null }
    const call: OpenCall = { block, at: -1, closed: false, signed: false }
    this.#calls[index] = call
    this.#pending = call
  }

  /** Tells of the call that waits. */
  #flush(): void {
    const call = this.#pending
    if (call === null) return
    this.#pending = null
    this.#sign(call)
    const { id, name, custom } = call.block
    call.at = this.#startBlock({ type: 'tool_use', id, name, input: {} })
    // Free text of a custom tool is told as one field of an object.
    if (custom) this.#delta(call.at, 'input_json_delta', 'partial_json', quote('{"raw_arguments":"'))
  }

  #sign(call: OpenCall): void {
    const { id, signature } = call.block
    if (signature === null || call.signed) return
    call.signed = true
    const at = this.#startBlock({ type: 'thinking', thinking: '', signature: '' })
    this.#delta(at, 'signature_delta', 'signature', quote(callSignature(id, signature)))
    this.#stopBlock(at)
  }

  #closeCall(call: OpenCall): void {
    call.closed = true
    if (call.block.custom) this.#delta(call.at, 'input_json_delta', 'partial_json', quote('"}'))
    this.#stopBlock(call.at)
    this.#sign(call)
  }

  toolArguments(choice: number, index: number, piece: string): void {
    const call = this.#calls[index]
    if (choice !== 0 || piece === '' || call === undefined || call.closed) return
    if (this.#pending !== null) this.#flush()
    call.block.arguments += piece
    const told = call.block.custom ? quote(piece).slice(1, -1) : piece
    this.#delta(call.at, 'input_json_delta', 'partial_json', quote(told))
  }

  toolSignature(choice: number, index: number, signature: Opaque): void {
    const call = this.#calls[index]
    if (choice !== 0 || call === undefined) return
    call.block.signature = signature
    if (!call.closed) return
    this.#closeAll()
    this.#sign(call)
  }

  logprobs(_choice: number, _entries: readonly Json[]): void {
    // The dialect has none.
  }

  finish(choice: number, reason: FinishReason, sequence: string): void {
    if (choice !== 0) return
    this.#closeAll()
    this.#reason = reason
    this.#sequence = sequence
  }

  usage(usage: Usage): void {
    this.#usage = usage
  }

  end(): void {
    this.#closeAll()
    const delta = {
      stop_reason: stopReason(reasonWith(this.#reason, this.#calls.length > 0), this.#refused),
      stop_sequence: this.#sequence === '' ? null : this.#sequence,
    }
    this.#event('message_delta', `,"delta":${quote(delta)},"usage":${quote(anthropicUsage(this.#usage ?? NO_USAGE))}`)
    this.#event('message_stop', '')
  }

  take(): string {
    const out = this.#out
    this.#out = ''
    return out
  }

  error(error: GatewayError): string {
    return `${this.take()}event: error\ndata: ${anthropicError(error, this.#context.requestId)}\n\n`
  }
}
