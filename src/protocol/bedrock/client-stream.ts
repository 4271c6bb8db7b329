import type { Citation, FinishReason, Json, JsonObject, Opaque } from '../../contracts/canonical.ts'
import type { AnswerContext, StreamEncoder } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { CallBlock } from '../canonical/collect.ts'
import { isWhole, reasonWith } from '../canonical/collect.ts'
import { bedrockUsage } from '../canonical/usage-out.ts'
import { NO_USAGE } from '../usage.ts'
import {
  callSignature,
  citationJson,
  metrics,
  reasoningSignature,
  redactedText,
  stopFields,
  stopReason,
  streamException,
} from './client-parts.ts'
import { encodeEventStream, encodeWith, eventStreamHeaders } from './event-stream.ts'

const quote = JSON.stringify

const HEADERS = {
  messageStart: eventStreamHeaders('messageStart'),
  contentBlockStart: eventStreamHeaders('contentBlockStart'),
  contentBlockDelta: eventStreamHeaders('contentBlockDelta'),
  contentBlockStop: eventStreamHeaders('contentBlockStop'),
  messageStop: eventStreamHeaders('messageStop'),
  metadata: eventStreamHeaders('metadata'),
} as const

/** A call that has begun and is not over. */
interface OpenCall {
  readonly block: CallBlock
  /** Its block has begun: what comes of it goes out at once. */
  live: boolean
}

/**
 * A stream of ConverseStream (`ConverseStreamOutput`), bytes. The dialect has one choice; others are not told. Readers of it
 * expect one block at a time: of calls that take turns the first one goes out as it comes, the others one after another.
 */
export class ConverseStream implements StreamEncoder {
  readonly heartbeat = ''
  readonly #context: AnswerContext
  #out: Buffer[] = []
  #begun = false
  #usage: Usage | null = null
  /** Content blocks so far. */
  #count = 0
  #open: 'none' | 'text' | 'reasoning' | 'refusal' = 'none'
  /** The open text has a citation: what follows is another passage. */
  #cited = false
  #deltaHead = ''
  readonly #calls: (CallBlock | undefined)[] = []
  #pending: OpenCall[] = []
  #refused = false
  #reason: FinishReason | '' = ''
  #sequence = ''

  constructor(context: AnswerContext) {
    this.#context = context
  }

  #event(name: keyof typeof HEADERS, data: string): void {
    this.#out.push(encodeWith(HEADERS[name], data))
  }

  #begin(): void {
    if (this.#begun) return
    this.#begun = true
    this.#event('messageStart', '{"role":"assistant"}')
  }

  /** In the block that is open, or that begins with it. */
  #delta(fields: string): void {
    this.#event('contentBlockDelta', `{"contentBlockIndex":${this.#count},"delta":${fields}}`)
  }

  #stop(): void {
    this.#event('contentBlockStop', `{"contentBlockIndex":${this.#count++}}`)
  }

  #close(): void {
    if (this.#open === 'none') return
    this.#open = 'none'
    this.#stop()
  }

  #closeAll(): void {
    this.#begin()
    this.#close()
    for (const call of this.#pending) this.#closeCall(call)
    this.#pending = []
  }

  /** Texts and thoughts have no start of their own. */
  #switchTo(kind: 'text' | 'reasoning' | 'refusal', head: string): void {
    if (this.#open === kind && !this.#cited) return
    this.#closeAll()
    this.#open = kind
    this.#cited = false
    this.#deltaHead = `{"contentBlockIndex":${this.#count},"delta":{${head}`
  }

  start(_id: string, _model: string): void {
    this.#begin()
  }

  text(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#switchTo('text', '"text":')
    this.#event('contentBlockDelta', `${this.#deltaHead}${quote(text)}}}`)
  }

  refusal(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#refused = true
    this.#switchTo('refusal', '"text":')
    this.#event('contentBlockDelta', `${this.#deltaHead}${quote(text)}}}`)
  }

  reasoning(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#switchTo('reasoning', '"reasoningContent":{"text":')
    this.#event('contentBlockDelta', `${this.#deltaHead}${quote(text)}}}}`)
  }

  signature(choice: number, signature: Opaque, id: string): void {
    if (choice !== 0) return
    if (this.#open !== 'reasoning') {
      this.#closeAll()
      this.#open = 'reasoning'
    }
    this.#delta(`{"reasoningContent":{"signature":${quote(reasoningSignature({ signature, id }))}}}`)
    this.#close()
  }

  redacted(choice: number, data: Opaque): void {
    if (choice !== 0) return
    this.#closeAll()
    this.#delta(`{"reasoningContent":{"redactedContent":${quote(redactedText(data))}}}`)
    this.#stop()
  }

  citation(choice: number, citation: Citation): void {
    const told = citationJson(citation)
    if (choice !== 0 || told === null) return
    // A citation of an earlier text cannot be told any more: an empty passage takes it.
    if (this.#open !== 'text') {
      this.#switchTo('text', '"text":')
      this.#event('contentBlockDelta', `${this.#deltaHead}""}}`)
    }
    this.#cited = true
    this.#delta(`{"citation":${quote(told)}}`)
  }

  // ── calls ─────────────────────────────────────────────────────────────────
  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    if (choice !== 0) return
    this.#begin()
    this.#close()
    this.#closeWhole()
    const block: CallBlock = { type: 'tool_call', index, id, name, custom, arguments: '', signature: null }
    this.#calls[index] = block
    this.#pending.push({ block, live: false })
  }

  /** Calls whose arguments are complete end here, in their order. */
  #closeWhole(): void {
    while (this.#pending.length > 0 && isWhole(this.#pending[0]!.block)) this.#closeCall(this.#pending.shift()!)
  }

  /** Its signature, where it has one yet, stands before it. */
  #openCall(call: OpenCall): void {
    call.live = true
    const { id, name, custom, signature } = call.block
    if (signature !== null) this.#sign(call.block)
    const start: JsonObject = { contentBlockIndex: this.#count, start: { toolUse: { toolUseId: id, name } } }
    this.#event('contentBlockStart', quote(start))
    // Free text of a custom tool is told as one field of an object.
    if (custom) this.#input('{"raw_arguments":"')
  }

  #input(piece: string): void {
    this.#delta(`{"toolUse":{"input":${quote(piece)}}}`)
  }

  #closeCall(call: OpenCall): void {
    const { block } = call
    if (!call.live) {
      this.#openCall(call)
      if (block.arguments !== '') this.#input(pieceOf(block, block.arguments))
    }
    if (block.custom) this.#input('"}')
    // Readers parse what has come together, and nothing is no JSON.
    else if (block.arguments.trim() === '') this.#input('{}')
    this.#stop()
    if (block.signature !== null) this.#sign(block)
  }

  /** Once. */
  #sign(block: CallBlock): void {
    this.#delta(`{"reasoningContent":{"text":""}}`)
    this.#delta(`{"reasoningContent":{"signature":${quote(callSignature(block.id, block.signature!))}}}`)
    this.#stop()
    block.signature = null
  }

  toolArguments(choice: number, index: number, piece: string): void {
    const call = this.#pending.find(({ block }) => block.index === index)
    if (choice !== 0 || piece === '' || call === undefined) return
    const { block } = call
    if (!call.live && call === this.#pending[0]) this.#openCall(call)
    block.arguments += piece
    if (call.live) this.#input(pieceOf(block, piece))
  }

  toolSignature(choice: number, index: number, signature: Opaque): void {
    const block = this.#calls[index]
    if (choice !== 0 || block === undefined) return
    block.signature = signature
    if (this.#pending.some((call) => call.block === block)) return
    this.#closeAll()
    this.#sign(block)
  }

  logprobs(_choice: number, _entries: readonly Json[]): void {
    // The dialect has none.
  }

  // ── the end ───────────────────────────────────────────────────────────────
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
    const reason = stopReason(reasonWith(this.#reason, this.#calls.length > 0), this.#refused)
    this.#event('messageStop', quote({ stopReason: reason, ...stopFields(this.#context, this.#sequence) }))
    const usage = bedrockUsage(this.#usage ?? NO_USAGE)
    this.#event('metadata', quote({ usage, metrics: metrics(this.#context) }))
  }

  take(): Buffer | '' {
    const out = this.#out
    if (out.length === 0) return ''
    this.#out = []
    return out.length === 1 ? out[0]! : Buffer.concat(out)
  }

  error(error: GatewayError): Buffer {
    const [name, body] = streamException(error)
    this.#out.push(encodeEventStream(name, body, 'exception'))
    return Buffer.concat(this.#out.splice(0))
  }
}

/** As it stands in what the client puts together. */
const pieceOf = (block: CallBlock, piece: string): string => (block.custom ? quote(piece).slice(1, -1) : piece)
