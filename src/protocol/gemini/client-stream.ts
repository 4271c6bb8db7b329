import type { Citation, FinishReason, Json, JsonObject, Opaque } from '../../contracts/canonical.ts'
import type { AnswerContext, StreamEncoder } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { GatewayError } from '../../core/errors.ts'
import { CollectedChoice, isWhole } from '../canonical/collect.ts'
import type { CallBlock } from '../canonical/collect.ts'
import { geminiUsage } from '../canonical/usage-out.ts'
import {
  callPart,
  finishReason,
  geminiError,
  grounding,
  lateSignature,
  logprobsResult,
  proofOf,
  showsThoughts,
} from './client-parts.ts'

const quote = JSON.stringify
const HEAD = 'data: {"candidates":[{"content":{"parts":['

interface OpenChoice {
  /** Of the blocks only where they begin, of texts all: sources say which bytes rest on them. */
  readonly told: CollectedChoice
  /** Calls that are not told of yet: they are told whole, in their order. */
  readonly waiting: CallBlock[]
  /** The last piece of a thought: what proves the thought goes with it, where all clients look for it. */
  held: string
}

/** A stream of server-sent events (`alt=sse`): each event is an answer with the parts that are new. */
export class GenerateStream implements StreamEncoder {
  readonly heartbeat = ': heartbeat\n\n'
  readonly #context: AnswerContext
  readonly #shows: boolean
  readonly #choices: OpenChoice[] = []
  #tail = ''
  #out = ''
  #usage: Usage | null = null

  constructor(context: AnswerContext) {
    this.#context = context
    this.#shows = showsThoughts(context)
    this.#name('')
  }

  #name(id: string): void {
    const { model, requestId } = this.#context
    this.#tail = `,"modelVersion":${quote(model)},"responseId":${quote(id === '' ? requestId : id)}}\n\n`
  }

  #at(choice: number): OpenChoice {
    let open = this.#choices[choice]
    if (open === undefined) {
      open = { told: new CollectedChoice(), waiting: [], held: '' }
      this.#choices[choice] = open
    }
    return open
  }

  #part(choice: number, part: string): void {
    this.#out += `${HEAD}${part}],"role":"model"},"index":${choice}}]${this.#tail}`
  }

  /** The choice, with all calls told. */
  #ready(choice: number): OpenChoice {
    const open = this.#at(choice)
    this.#tellThought(choice, open, '')
    if (open.waiting.length > 0) this.#tellCalls(choice, open, true)
    return open
  }

  #tellThought(choice: number, open: OpenChoice, proof: string): void {
    const { held } = open
    if (held === '' && proof === '') return
    open.held = ''
    const signed = proof === '' ? '' : `,"thoughtSignature":${quote(proof)}`
    this.#part(choice, `{"text":${quote(held)},"thought":true${signed}}`)
  }

  #tellCalls(choice: number, open: OpenChoice, all: boolean): void {
    for (let next = open.waiting[0]; next !== undefined; next = open.waiting[0]) {
      if (!all && !isWhole(next)) return
      open.waiting.shift()
      this.#part(choice, quote(callPart(next)))
    }
  }

  start(id: string, _model: string): void {
    this.#name(id)
  }

  text(choice: number, text: string): void {
    if (text === '') return
    const open = this.#ready(choice)
    open.told.text(text)
    this.#part(choice, `{"text":${quote(text)}}`)
  }

  refusal(choice: number, text: string): void {
    if (text === '') return
    this.#ready(choice).told.refusal('')
    this.#part(choice, `{"text":${quote(text)}}`)
  }

  reasoning(choice: number, text: string): void {
    if (text === '') return
    const open = this.#ready(choice)
    open.told.reasoning()
    if (this.#shows) open.held = text
  }

  signature(choice: number, signature: Opaque, id: string): void {
    const open = this.#at(choice)
    if (open.held === '') this.#ready(choice)
    open.told.reasoning()
    const block = { type: 'reasoning', text: '', signature, redacted: null, id, closed: true } as const
    this.#tellThought(choice, open, proofOf(block)!)
  }

  redacted(choice: number, data: Opaque): void {
    const open = this.#ready(choice)
    open.told.reasoning()
    const block = { type: 'reasoning', text: '', signature: null, redacted: data, id: '', closed: true } as const
    this.#tellThought(choice, open, proofOf(block)!)
  }

  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    const open = this.#at(choice)
    this.#tellThought(choice, open, '')
    this.#tellCalls(choice, open, false)
    const block: CallBlock = { type: 'tool_call', index, id, name, custom, arguments: '', signature: null }
    open.told.blocks.push(block)
    open.told.calls[index] = block
    open.waiting.push(block)
  }

  toolArguments(choice: number, index: number, piece: string): void {
    const call = this.#at(choice).told.calls[index]
    if (call !== undefined) call.arguments += piece
  }

  toolSignature(choice: number, index: number, signature: Opaque): void {
    const open = this.#at(choice)
    const call = open.told.calls[index]
    if (call === undefined) return
    call.signature = signature
    if (open.waiting.includes(call)) return
    this.#ready(choice)
    this.#part(choice, quote(lateSignature(call)))
  }

  citation(choice: number, citation: Citation): void {
    this.#ready(choice).told.citation(citation)
  }

  logprobs(choice: number, entries: readonly Json[]): void {
    this.#at(choice).told.logprobs.push(...entries)
  }

  /** Told at the end, with what was used: Google's clients look for both in the last event. */
  finish(choice: number, reason: FinishReason, sequence: string): void {
    const open = this.#ready(choice)
    open.told.finish = reason
    open.told.sequence = sequence
  }

  usage(usage: Usage): void {
    this.#usage = usage
  }

  end(): void {
    if (this.#choices.length === 0) this.#at(0)
    const candidates: JsonObject[] = []
    for (const [index, open] of this.#choices.entries()) {
      const { told } = open ?? this.#at(index)
      candidates.push({
        // Google's own client drops a turn in which an event has no parts.
        content: { parts: [{ text: '' }], role: 'model' },
        finishReason: finishReason(told.finish),
        index,
        ...grounding(told, told.joined('text')),
        ...logprobsResult(told.logprobs),
      })
    }
    const usage = this.#usage === null ? '' : `,"usageMetadata":${quote(geminiUsage(this.#usage))}`
    this.#out += `data: {"candidates":${quote(candidates)}${usage}${this.#tail}`
  }

  take(): string {
    const out = this.#out
    this.#out = ''
    return out
  }

  error(error: GatewayError): string {
    for (const [i, open] of this.#choices.entries()) if (open !== undefined) this.#tellThought(i, open, '')
    return `${this.take()}data: ${geminiError(error, this.#context.requestId)}\n\n`
  }
}
