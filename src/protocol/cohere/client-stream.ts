import type { Citation, FinishReason, Json, Opaque } from '../../contracts/canonical.ts'
import type { AnswerContext, StreamEncoder } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { CallBlock } from '../canonical/collect.ts'
import { isWhole, reasonWith } from '../canonical/collect.ts'
import { cohereUsage } from '../canonical/usage-out.ts'
import { NO_USAGE } from '../usage.ts'
import { callArguments, citationJson, cohereErrorEvent, finishReason, logprobItem, quoted } from './client-parts.ts'

/** A stream of /v2/chat (cohere-ai `V2ChatStreamResponse`). The dialect has one choice; others are not told. */
export class CohereStream implements StreamEncoder {
  readonly heartbeat = ': heartbeat\n\n'
  readonly #context: AnswerContext
  /** Texts wait for their probabilities. */
  readonly #holds: boolean
  #out = ''
  #id = ''
  #begun = false
  #usage: Usage | null = null
  #reason: FinishReason | '' = ''
  /** Contents so far. */
  #count = 0
  #open: 'none' | 'text' | 'thinking' = 'none'
  #head = ''
  #held = ''
  /** Of the text that is open, or was last. */
  #said = ''
  #textIndex = 0
  #length = 0
  #from = 0
  #passage = 0
  #cited = false
  #citations = 0
  readonly #calls: CallBlock[] = []
  /** Calls that are not told to their end; the first is told piece by piece: Cohere's do not take turns. */
  readonly #waiting: CallBlock[] = []

  constructor(context: AnswerContext) {
    this.#context = context
    this.#holds = context.request.logprobs === true
  }

  #event(name: string, rest: string): void {
    this.#out += `event: ${name}\ndata: {"type":"${name}"${rest}}\n\n`
  }

  #begin(): void {
    if (this.#begun) return
    this.#begun = true
    const message = { role: 'assistant', content: [], tool_plan: '', tool_calls: [], citations: [] }
    this.#event('message-start', `,"id":${quoted(this.#messageId)},"delta":{"message":${quoted(message)}}`)
  }

  get #messageId(): string {
    return this.#id || this.#context.requestId
  }

  start(id: string, _model: string): void {
    this.#id = id
    this.#begin()
  }

  /** Ends the content that is open. */
  #close(): void {
    this.#flush()
    if (this.#open === 'none') return
    this.#open = 'none'
    this.#event('content-end', `,"index":${this.#count - 1}`)
  }

  #flush(): void {
    if (this.#held === '') return
    this.#out += `${this.#head}${quoted(this.#held)}}}}}\n\n`
    this.#held = ''
  }

  #switchTo(kind: 'text' | 'thinking'): void {
    if (this.#open === kind) return
    this.#begin()
    this.#closeCalls()
    this.#close()
    const index = this.#count++
    this.#event('content-start', `,"index":${index},"delta":{"message":{"content":{"type":"${kind}","${kind}":""}}}`)
    this.#open = kind
    this.#head = `event: content-delta\ndata: {"type":"content-delta","index":${index},"delta":{"message":{"content":{"${kind}":`
    if (kind === 'thinking') return
    this.#said = ''
    this.#textIndex = index
    this.#from = this.#length
  }

  text(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#switchTo('text')
    if (this.#cited) {
      this.#cited = false
      this.#passage = this.#length
    }
    this.#said += text
    this.#length += text.length
    if (this.#holds) {
      this.#flush()
      this.#held = text
    } else this.#out += `${this.#head}${quoted(text)}}}}}\n\n`
  }

  refusal(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    // It is a passage of its own, as it is where answers are written whole.
    this.#cited = true
    this.text(choice, text)
    this.#cited = true
  }

  reasoning(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#switchTo('thinking')
    this.#out += `${this.#head}${quoted(text)}}}}}\n\n`
  }

  logprobs(choice: number, entries: readonly Json[]): void {
    if (choice !== 0 || entries.length === 0) return
    this.#switchTo('text')
    this.#out += `${this.#head}${quoted(this.#held)}}}},"logprobs":${quoted(logprobItem(entries))}}\n\n`
    this.#held = ''
  }

  citation(choice: number, citation: Citation): void {
    if (choice !== 0) return
    this.#begin()
    this.#flush()
    this.#cited = true
    const cited = { text: this.#said, index: this.#textIndex, from: this.#from, passage: this.#passage }
    const count = this.#citations++
    const told = quoted(citationJson(citation, cited, count))
    this.#event('citation-start', `,"index":${count},"delta":{"message":{"citations":${told}}}`)
    this.#event('citation-end', `,"index":${count}`)
  }

  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    if (choice !== 0) return
    this.#begin()
    this.#close()
    this.#advance()
    const call: CallBlock = { type: 'tool_call', index, id, name, custom, arguments: '', signature: null }
    this.#calls[index] = call
    this.#waiting.push(call)
    if (this.#waiting.length === 1) this.#startCall(call)
  }

  toolArguments(choice: number, index: number, piece: string): void {
    const call = this.#calls[index]
    if (choice !== 0 || piece === '' || call === undefined || !this.#waiting.includes(call)) return
    if (call !== this.#waiting[0]) this.#advance()
    call.arguments += piece
    if (call === this.#waiting[0] && !call.custom) this.#argumentsDelta(call, piece)
  }

  #startCall({ index, id, name }: CallBlock): void {
    const call = quoted({ id, type: 'function', function: { name, arguments: '' } })
    this.#event('tool-call-start', `,"index":${index},"delta":{"message":{"tool_calls":${call}}}`)
  }

  #argumentsDelta({ index }: CallBlock, piece: string): void {
    const told = `{"function":{"arguments":${quoted(piece)}}}`
    this.#event('tool-call-delta', `,"index":${index},"delta":{"message":{"tool_calls":${told}}}`)
  }

  /** Ends calls whose arguments are complete, as long as the first of those that wait is one, and begins the next. */
  #advance(): void {
    for (let first = this.#waiting[0]; first !== undefined && isWhole(first); first = this.#waiting[0]) this.#next()
  }

  #next(): void {
    const done = this.#waiting.shift()!
    // Nothing of them has been told: of free text nobody knows before its end how it is to be written.
    if (done.custom || done.arguments === '') this.#argumentsDelta(done, callArguments(done.arguments, done.custom))
    this.#event('tool-call-end', `,"index":${done.index}`)
    const first = this.#waiting[0]
    if (first === undefined) return
    this.#startCall(first)
    if (!first.custom && first.arguments !== '') this.#argumentsDelta(first, first.arguments)
  }

  #closeCalls(): void {
    while (this.#waiting.length > 0) this.#next()
  }

  finish(choice: number, reason: FinishReason, _sequence: string): void {
    if (choice !== 0) return
    this.#begin()
    this.#close()
    this.#closeCalls()
    this.#reason = reason
  }

  usage(usage: Usage): void {
    this.#usage = usage
  }

  end(): void {
    this.#begin()
    this.#close()
    this.#closeCalls()
    const reason = finishReason(reasonWith(this.#reason, this.#calls.length > 0))
    const delta = { finish_reason: reason, usage: cohereUsage(this.#usage ?? NO_USAGE) }
    this.#event('message-end', `,"id":${quoted(this.#messageId)},"delta":${quoted(delta)}`)
  }

  /** Thoughts that cannot be told part passages all the same. */
  redacted(choice: number, _data: Opaque): void {
    if (choice === 0) this.#cited = true
  }

  signature(choice: number, _signature: Opaque, _id: string): void {
    if (choice === 0) this.#cited = true
  }

  toolSignature(_choice: number, _index: number, _signature: Opaque): void {}

  take(): string {
    const out = this.#out
    this.#out = ''
    return out
  }

  error(error: GatewayError): string {
    this.#flush()
    return `${this.take()}${cohereErrorEvent(error, this.#messageId)}`
  }
}
