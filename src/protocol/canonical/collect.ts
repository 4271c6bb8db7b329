import type { Citation, FinishReason, Json, Opaque } from '../../contracts/canonical.ts'
import type { AnswerSink } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import { parsed } from './say.ts'

export interface TextBlock {
  readonly type: 'text'
  text: string
  /** Characters of the choice's text before it. */
  readonly from: number
  readonly citations: Citation[]
}
export interface ReasoningBlock {
  readonly type: 'reasoning'
  text: string
  signature: Opaque | null
  redacted: Opaque | null
  /** Item id of the Responses API, '' = none. */
  id: string
  /** Nothing more belongs to it. */
  closed: boolean
}
export interface CallBlock {
  readonly type: 'tool_call'
  readonly index: number
  readonly id: string
  readonly name: string
  readonly custom: boolean
  arguments: string
  signature: Opaque | null
}
export interface RefusalBlock {
  readonly type: 'refusal'
  text: string
}
export type Block = TextBlock | ReasoningBlock | CallBlock | RefusalBlock

/** One choice, its blocks in the order they were told. */
export class CollectedChoice {
  readonly blocks: Block[] = []
  readonly calls: CallBlock[] = []
  readonly logprobs: Json[] = []
  /** '' = the answer broke off. */
  finish: FinishReason | '' = ''
  sequence = ''
  length = 0

  text(text: string): void {
    const last = this.blocks.at(-1)
    // What follows a citation is another passage: which words rest on the source would be lost otherwise.
    if (last?.type === 'text' && last.citations.length === 0) last.text += text
    else this.blocks.push({ type: 'text', text, from: this.length, citations: [] })
    this.length += text.length
  }

  citation(citation: Citation): void {
    let last = this.blocks.findLast((block) => block.type === 'text')
    if (last === undefined) {
      last = { type: 'text', text: '', from: 0, citations: [] }
      this.blocks.push(last)
    }
    last.citations.push(citation)
  }

  /** The reasoning that is open, or a new one. */
  reasoning(): ReasoningBlock {
    const last = this.blocks.at(-1)
    if (last?.type === 'reasoning' && !last.closed) return last
    const block: ReasoningBlock = {
      type: 'reasoning',
      text: '',
      signature: null,
      redacted: null,
      id: '',
      closed: false,
    }
    this.blocks.push(block)
    return block
  }

  refusal(text: string): void {
    const last = this.blocks.at(-1)
    if (last?.type === 'refusal') last.text += text
    else this.blocks.push({ type: 'refusal', text })
  }

  /** All texts of one kind, joined. */
  joined(type: 'text' | 'reasoning' | 'refusal'): string {
    let all = ''
    for (const block of this.blocks) if (block.type === type) all += block.text
    return all
  }

  /** Calls were made though the backend says it simply stopped: some never say otherwise. */
  get reason(): FinishReason | '' {
    return reasonWith(this.finish, this.calls.length > 0)
  }
}

export const reasonWith = <T extends FinishReason | ''>(reason: T, called: boolean): T | 'tool_calls' =>
  reason === 'stop' && called ? 'tool_calls' : reason

/** No piece of its arguments can follow. Of free text nobody knows before all is told. */
export const isWhole = (call: CallBlock): boolean => !call.custom && parsed(call.arguments) !== undefined

/** An answer in memory, for what writes it whole. Empty pieces leave no trace, so that streams and whole answers agree. */
export class CollectedAnswer implements AnswerSink {
  id = ''
  readonly choices: CollectedChoice[] = []
  used: Usage | null = null
  ended = false

  /** Choices that nobody told of, below one that was, are empty. */
  at(choice: number): CollectedChoice {
    while (this.choices.length <= choice) this.choices.push(new CollectedChoice())
    return this.choices[choice]!
  }

  start(id: string, _model: string): void {
    this.id = id
  }

  text(choice: number, text: string): void {
    if (text !== '') this.at(choice).text(text)
  }

  reasoning(choice: number, text: string): void {
    if (text !== '') this.at(choice).reasoning().text += text
  }

  signature(choice: number, signature: Opaque, id: string): void {
    const block = this.at(choice).reasoning()
    block.signature = signature
    block.id = id
    block.closed = true
  }

  redacted(choice: number, data: Opaque): void {
    const block: Block = { type: 'reasoning', text: '', signature: null, redacted: data, id: '', closed: true }
    this.at(choice).blocks.push(block)
  }

  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    const block: CallBlock = { type: 'tool_call', index, id, name, custom, arguments: '', signature: null }
    this.at(choice).blocks.push(block)
    this.at(choice).calls[index] = block
  }

  toolArguments(choice: number, index: number, piece: string): void {
    const call = this.at(choice).calls[index]
    if (call !== undefined) call.arguments += piece
  }

  toolSignature(choice: number, index: number, signature: Opaque): void {
    const call = this.at(choice).calls[index]
    if (call !== undefined) call.signature = signature
  }

  refusal(choice: number, text: string): void {
    if (text !== '') this.at(choice).refusal(text)
  }

  citation(choice: number, citation: Citation): void {
    this.at(choice).citation(citation)
  }

  logprobs(choice: number, entries: readonly Json[]): void {
    this.at(choice).logprobs.push(...entries)
  }

  finish(choice: number, reason: FinishReason, sequence: string): void {
    const found = this.at(choice)
    found.finish = reason
    found.sequence = sequence
  }

  usage(usage: Usage): void {
    this.used = usage
  }

  end(): void {
    this.ended = true
  }
}
