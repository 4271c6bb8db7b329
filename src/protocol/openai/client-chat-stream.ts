import type { Citation, FinishReason, Json, Opaque } from '../../contracts/canonical.ts'
import type { AnswerContext, StreamEncoder } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { GatewayError } from '../../core/errors.ts'
import { CollectedChoice } from '../canonical/collect.ts'
import type { CallBlock, ReasoningBlock } from '../canonical/collect.ts'
import { prefixed } from '../canonical/say.ts'
import { chatUsage } from '../canonical/usage-out.ts'
import {
  annotations,
  callDetail,
  chatReason,
  detailJson,
  hidesReasoning,
  isLegacy,
  logprobsJson,
  signatureJson,
} from './client-chat-parts.ts'
import { errorEvent } from './errors.ts'

const quote = JSON.stringify

/** One choice of a stream: of its texts only what is needed later is kept. */
interface OpenChoice {
  readonly told: CollectedChoice
  /** Chunks of this choice up to its delta. */
  readonly head: string
  readonly textHead: string
  readonly thoughtHead: string
  begun: boolean
  /** Blocks of reasoning that reasoning_details have told of, and entries that these have. */
  detailed: number
  details: number
  /** Index of the call that has begun and is not yet told of, -1 = none. */
  call: number
  /** Text that waits for its probabilities. */
  held: string
}

/** A chat completion's stream (openai-openapi `CreateChatCompletionStreamResponse`). */
export class ChatStream implements StreamEncoder {
  readonly heartbeat = ': heartbeat\n\n'
  readonly #context: AnswerContext
  readonly #legacy: boolean
  readonly #hidden: boolean
  readonly #holds: boolean
  readonly #tail: string
  readonly #plainTail: string
  readonly #choices: OpenChoice[] = []
  #head = ''
  #out = ''
  #usage: Usage | null = null

  constructor(context: AnswerContext) {
    this.#context = context
    this.#legacy = isLegacy(context)
    this.#hidden = hidesReasoning(context)
    this.#holds = context.request.logprobs === true
    this.#tail = context.includeUsage ? '}],"usage":null}\n\n' : '}]}\n\n'
    this.#plainTail = `},"logprobs":null,"finish_reason":null${this.#tail}`
    this.#name('')
  }

  #name(id: string): void {
    const { requestId, created, model } = this.#context
    const name = quote(prefixed('chatcmpl-', id, requestId))
    this.#head = `data: {"id":${name},"object":"chat.completion.chunk","created":${created},"model":${quote(model)},"choices":[`
  }

  #at(choice: number): OpenChoice {
    return this.#choices[choice] ?? this.#open(choice)
  }

  #open(choice: number): OpenChoice {
    const head = `${this.#head}{"index":${choice},"delta":{`
    const open: OpenChoice = {
      told: new CollectedChoice(),
      head,
      textHead: `${head}"content":`,
      thoughtHead: `${head}"reasoning_content":`,
      begun: false,
      detailed: 0,
      details: 0,
      call: -1,
      held: '',
    }
    this.#choices[choice] = open
    return open
  }

  /** The choice, with its role told and nothing held back. */
  #ready(choice: number, withCall: boolean): OpenChoice {
    const open = this.#at(choice)
    if (!open.begun) {
      open.begun = true
      this.#out += `${open.head}"role":"assistant","content":${withCall ? 'null' : '""'},"refusal":null${this.#plainTail}`
    }
    if (open.held !== '') {
      this.#out += `${open.textHead}${quote(open.held)}${this.#plainTail}`
      open.held = ''
    }
    if (open.call >= 0) this.#tellCall(open, '')
    return open
  }

  start(id: string, _model: string): void {
    this.#name(id)
  }

  text(choice: number, text: string): void {
    if (text === '') return
    const open = this.#ready(choice, false)
    // Only where a text begins, and how long it is, is needed afterwards.
    open.told.text('')
    open.told.length += text.length
    if (this.#holds) open.held = text
    else this.#out += open.textHead + quote(text) + this.#plainTail
  }

  logprobs(choice: number, entries: readonly Json[]): void {
    const open = this.#at(choice)
    const delta = open.held === '' ? '' : `"content":${quote(open.held)}`
    open.held = ''
    this.#ready(choice, false)
    this.#out += `${open.head}${delta}},"logprobs":${quote(logprobsJson(entries))},"finish_reason":null${this.#tail}`
  }

  reasoning(choice: number, text: string): void {
    if (text === '' || this.#hidden) return
    const open = this.#ready(choice, false)
    open.told.reasoning().text += text
    this.#out += open.thoughtHead + quote(text) + this.#plainTail
  }

  signature(choice: number, signature: Opaque, id: string): void {
    if (this.#hidden) return
    const open = this.#ready(choice, false)
    const block = open.told.reasoning()
    block.signature = signature
    block.id = id
    block.closed = true
    this.#tellDetails(open)
  }

  redacted(choice: number, data: Opaque): void {
    if (this.#hidden) return
    const open = this.#ready(choice, false)
    open.told.blocks.push({ type: 'reasoning', text: '', signature: null, redacted: data, id: '', closed: true })
    this.#tellDetails(open)
  }

  /** Whole blocks, once each: all that were not told of before. call: whose signature is told with them. */
  #tellDetails(open: OpenChoice, call?: CallBlock): void {
    const blocks = open.told.blocks.filter((block): block is ReasoningBlock => block.type === 'reasoning')
    const fresh = blocks.slice(open.detailed).map((block) => detailJson(block, open.details++))
    open.detailed = blocks.length
    if (call !== undefined) fresh.push(callDetail(call, open.details++))
    if (fresh.length > 0) this.#out += `${open.head}"reasoning_details":${quote(fresh)}${this.#plainTail}`
  }

  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    const open = this.#ready(choice, true)
    const block = { type: 'tool_call', index, id, name, custom, arguments: '', signature: null } as const
    open.told.blocks.push(block)
    open.told.calls[index] = block
    // Told with what comes next: clients look for its signature in the first piece.
    open.call = index
  }

  #tellCall(open: OpenChoice, piece: string): void {
    const call = open.told.calls[open.call]!
    open.call = -1
    if (this.#legacy) {
      if (call === open.told.blocks.find((block) => block.type === 'tool_call'))
        this.#out += `${open.head}"function_call":${quote({ name: call.name, arguments: piece })}${this.#plainTail}`
      return
    }
    const inner = call.custom
      ? { type: 'custom', custom: { name: call.name, input: piece } }
      : { type: 'function', function: { name: call.name, arguments: piece } }
    const value = { index: call.index, id: call.id, ...inner, ...signatureJson(call) }
    if (call.signature !== null && !this.#hidden) this.#tellDetails(open, call)
    this.#out += `${open.head}"tool_calls":[${quote(value)}]${this.#plainTail}`
  }

  toolArguments(choice: number, index: number, piece: string): void {
    const open = this.#at(choice)
    const call = open.told.calls[index]
    if (piece === '' || call === undefined) return
    if (open.call === index && open.held === '') {
      this.#tellCall(open, piece)
      return
    }
    this.#ready(choice, true)
    if (this.#legacy) {
      if (call === open.told.blocks.find((block) => block.type === 'tool_call'))
        this.#out += `${open.head}"function_call":{"arguments":${quote(piece)}}${this.#plainTail}`
      return
    }
    const field = call.custom ? '"custom":{"input":' : '"function":{"arguments":'
    this.#out += `${open.head}"tool_calls":[{"index":${index},${field}${quote(piece)}}}]${this.#plainTail}`
  }

  toolSignature(choice: number, index: number, signature: Opaque): void {
    const open = this.#at(choice)
    const call = open.told.calls[index]
    if (call === undefined) return
    call.signature = signature
    if (open.call === index || this.#legacy) return
    this.#ready(choice, true)
    if (!this.#hidden) this.#tellDetails(open, call)
    const { extra_content: extra } = signatureJson(call)
    this.#out += `${open.head}"tool_calls":[{"index":${index},"extra_content":${quote(extra)}}]${this.#plainTail}`
  }

  refusal(choice: number, text: string): void {
    if (text === '') return
    const open = this.#ready(choice, false)
    open.told.refusal(text)
    this.#out += `${open.head}"refusal":${quote(text)}${this.#plainTail}`
  }

  citation(choice: number, citation: Citation): void {
    const open = this.#ready(choice, false)
    const { told } = open
    told.citation(citation)
    const { from } = told.blocks.findLast((block) => block.type === 'text')!
    const added = annotations([citation], from, told.length)
    if (added.length > 0) this.#out += `${open.head}"annotations":${quote(added)}${this.#plainTail}`
  }

  finish(choice: number, reason: FinishReason, sequence: string): void {
    const open = this.#ready(choice, false)
    const { told } = open
    if (open.details > 0) this.#tellDetails(open)
    told.finish = reason
    told.sequence = sequence
    const said = chatReason(told)
    const last = this.#legacy && said === 'tool_calls' ? 'function_call' : said
    this.#out += `${open.head}},"logprobs":null,"finish_reason":${quote(last)}${this.#tail}`
  }

  usage(usage: Usage): void {
    this.#usage = usage
  }

  end(): void {
    if (this.#choices.length === 0) this.finish(0, 'stop', '')
    if (this.#context.includeUsage && this.#usage !== null)
      this.#out += `${this.#head}],"usage":${quote(chatUsage(this.#usage))}}\n\n`
    this.#out += 'data: [DONE]\n\n'
  }

  take(): string {
    const out = this.#out
    this.#out = ''
    return out
  }

  error(error: GatewayError): string {
    for (const [i, open] of this.#choices.entries()) if (open?.held) this.#ready(i, false)
    return this.take() + errorEvent(error, this.#context.requestId)
  }
}
