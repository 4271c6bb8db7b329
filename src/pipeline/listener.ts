import type { ChatRequest, Citation, FinishReason, Json, Opaque } from '../contracts/canonical.ts'
import type { AnswerSink, Wire } from '../contracts/dialect.ts'
import type { Usage } from '../contracts/usage.ts'
import { unfoldCustom } from '../protocol/canonical/custom-tools.ts'

/** Stands between what reads a backend's answer and what writes the client's: notes what Heddle itself must know of it. */
export class Listener implements AnswerSink {
  readonly #to: AnswerSink
  readonly #calls: number
  used: Usage | null = null
  /** Something of an answer has been told, even if nothing that a user sees. */
  opened = false
  /** Something that a user sees has been told since it was last set to false. */
  content = false

  /** calls: most of one choice that go on; the client has asked for no more, and the backend could not be told. */
  constructor(to: AnswerSink, calls = Infinity) {
    this.#to = to
    this.#calls = calls
  }

  start(id: string, model: string): void {
    this.opened = true
    this.#to.start(id, model)
  }
  text(choice: number, text: string): void {
    if (text === '') return
    this.content = true
    this.#to.text(choice, text)
  }
  reasoning(choice: number, text: string): void {
    if (text === '') return
    this.content = true
    this.#to.reasoning(choice, text)
  }
  signature(choice: number, signature: Opaque, id: string): void {
    this.#to.signature(choice, signature, id)
  }
  redacted(choice: number, data: Opaque): void {
    this.content = true
    this.#to.redacted(choice, data)
  }
  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    if (index >= this.#calls) return
    this.content = true
    this.#to.toolCall(choice, index, id, name, custom)
  }
  toolArguments(choice: number, index: number, piece: string): void {
    if (piece !== '' && index < this.#calls) this.#to.toolArguments(choice, index, piece)
  }
  toolSignature(choice: number, index: number, signature: Opaque): void {
    if (index < this.#calls) this.#to.toolSignature(choice, index, signature)
  }
  refusal(choice: number, text: string): void {
    this.content = true
    this.#to.refusal(choice, text)
  }
  citation(choice: number, citation: Citation): void {
    this.#to.citation(choice, citation)
  }
  logprobs(choice: number, entries: readonly Json[]): void {
    this.#to.logprobs(choice, entries)
  }
  finish(choice: number, reason: FinishReason, sequence: string): void {
    this.opened = true
    this.#to.finish(choice, reason, sequence)
  }
  usage(usage: Usage): void {
    this.used = usage
    this.#to.usage(usage)
  }
  end(): void {
    this.#to.end()
  }
}

/** What hears an answer of a wire for a client: tools that take free text, and limits that the wire has no word for, as asked. */
export const listenFor = (to: AnswerSink, wire: Wire, request: ChatRequest): Listener =>
  new Listener(unfoldCustom(to, wire, request), callsAllowed(wire, request))

/** Most calls of one answer that a client gets: some wires have no word for "one at a time". */
export const callsAllowed = (wire: Wire, request: ChatRequest): number =>
  request.parallelTools === false && wire.carries.single_tool_call === 'no' ? 1 : Infinity
