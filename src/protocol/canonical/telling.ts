import { hash } from 'node:crypto'
import type { FinishReason } from '../../contracts/canonical.ts'
import type { AnswerSink } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'

/** Most answers a backend may give at once (OpenAI's own limit): a greater index is a fault, not an answer. */
const MAX_CHOICES = 128

/** What has been told of one of the answers. */
export interface Choice {
  readonly index: number
  /** Calls told so far: the index of the next. */
  calls: number
  /** What the backend says; null = nothing yet. */
  reason: FinishReason | null
  sequence: string
}

/**
 * Keeps the order of an AnswerSink for what reads backends: start first and once, finish, usage and end last and
 * together, whatever order the backend has. Finishes wait for the end because some backends repeat theirs in every event.
 */
export class Teller {
  readonly sink: AnswerSink
  readonly #choices: (Choice | undefined)[] = []
  #id = ''
  #usage: Usage | null = null
  #started = false

  constructor(sink: AnswerSink) {
    this.sink = sink
  }

  get started(): boolean {
    return this.#started
  }

  /** Only the first counts. seed: of the call ids that must be made up, where the backend gives its answers no id. */
  start(id: string, model: string, seed = id): void {
    if (this.#started) return
    this.#started = true
    this.#id = seed
    this.sink.start(id, model)
  }

  /** By what the backend says is its index, nothing said = the first; null = not one of ours, to be ignored. */
  choice(index: unknown): Choice | null {
    const at = index === undefined || index === null ? 0 : index
    if (typeof at !== 'number' || !Number.isInteger(at) || at < 0 || at >= MAX_CHOICES) return null
    return (this.#choices[at] ??= { index: at, calls: 0, reason: null, sequence: '' })
  }

  /** Begins a call and returns its index. id: the backend's, '' = to be made. about: what tells it from its neighbours. */
  call(choice: Choice, id: string, name: string, custom = false, about = ''): number {
    const index = choice.calls++
    this.sink.toolCall(choice.index, index, id || this.#callId(choice.index, index, name, about), name, custom)
    return index
  }

  /** What is to be told at the end; null changes nothing. */
  used(usage: Usage | null): void {
    if (usage !== null) this.#usage = usage
  }

  /** Whether every answer that has begun has said why it ended. */
  get finished(): boolean {
    let any = false
    for (const choice of this.#choices) {
      if (choice === undefined) continue
      if (choice.reason === null) return false
      any = true
    }
    return any
  }

  /** Ends the answer: finishes (of the first one at least), usage, end. */
  complete(): void {
    this.start('', '')
    if (this.#choices.length === 0) this.choice(0)
    for (const choice of this.#choices)
      if (choice !== undefined) this.sink.finish(choice.index, repaired(choice), choice.sequence)
    if (this.#usage !== null) this.sink.usage(this.#usage)
    this.sink.end()
  }

  /** Short enough for all (OpenAI takes 40 characters), and of the letters that all take. */
  #callId(choice: number, index: number, name: string, about: string): string {
    return `call_${hash('sha256', `${this.#id}\n${choice}\n${index}\n${name}\n${about}`, 'hex').slice(0, 24)}`
  }
}

/** Some backends say `stop` although the model called tools, others the reverse. */
function repaired({ reason, calls }: Choice): FinishReason {
  if (calls > 0) return reason === null || reason === 'stop' ? 'tool_calls' : reason
  return reason === null || reason === 'tool_calls' ? 'stop' : reason
}
