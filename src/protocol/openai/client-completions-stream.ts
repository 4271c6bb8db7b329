import type { FinishReason, Json } from '../../contracts/canonical.ts'
import type { AnswerContext, StreamEncoder } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { GatewayError } from '../../core/errors.ts'
import { prefixed } from '../canonical/say.ts'
import { chatUsage } from '../canonical/usage-out.ts'
import { completionReason, legacyLogprobs } from './client-completions-parts.ts'
import { errorEvent } from './errors.ts'

const quote = JSON.stringify

interface OpenChoice {
  /** Text that waits for its probabilities. */
  held: string
  /** Characters that have probabilities. */
  counted: number
}

/** A legacy completion's stream. What has no place in it (calls, reasoning) is left out. */
export class CompletionsStream implements StreamEncoder {
  readonly heartbeat = ': heartbeat\n\n'
  readonly #context: AnswerContext
  readonly #holds: boolean
  readonly #tail: string
  readonly #choices: OpenChoice[] = []
  #head = ''
  #out = ''
  #usage: Usage | null = null

  constructor(context: AnswerContext) {
    this.#context = context
    this.#holds = context.request.logprobs === true
    this.#tail = context.includeUsage ? '}],"usage":null}\n\n' : '}]}\n\n'
    this.start('', '')
  }

  #at(choice: number): OpenChoice {
    return (this.#choices[choice] ??= { held: '', counted: 0 })
  }

  start(id: string, _model: string): void {
    const { requestId, created, model } = this.#context
    const name = quote(prefixed('cmpl-', id, requestId))
    this.#head = `data: {"id":${name},"object":"text_completion","created":${created},"model":${quote(model)},"choices":[`
  }

  #chunk(choice: number, text: string, logprobs: string, reason: string): void {
    this.#out += `${this.#head}{"index":${choice},"text":${quote(text)},"logprobs":${logprobs},"finish_reason":${reason}${this.#tail}`
  }

  #release(choice: number): OpenChoice {
    const open = this.#at(choice)
    if (open.held !== '') this.#chunk(choice, open.held, 'null', 'null')
    open.held = ''
    return open
  }

  text(choice: number, text: string): void {
    if (text === '') return
    const open = this.#release(choice)
    if (this.#holds) open.held = text
    else this.#chunk(choice, text, 'null', 'null')
  }

  refusal(choice: number, text: string): void {
    if (text === '') return
    this.#release(choice)
    this.#chunk(choice, text, 'null', 'null')
  }

  logprobs(choice: number, entries: readonly Json[]): void {
    const open = this.#at(choice)
    const told = legacyLogprobs(entries, open.counted)
    for (const token of told['tokens'] as string[]) open.counted += token.length
    this.#chunk(choice, open.held, quote(told), 'null')
    open.held = ''
  }

  finish(choice: number, reason: FinishReason, _sequence: string): void {
    this.#release(choice)
    this.#chunk(choice, '', 'null', quote(completionReason(reason)))
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

  reasoning(): void {}
  signature(): void {}
  redacted(): void {}
  toolCall(): void {}
  toolArguments(): void {}
  toolSignature(): void {}
  citation(): void {}

  take(): string {
    const out = this.#out
    this.#out = ''
    return out
  }

  error(error: GatewayError): string {
    for (const [i, open] of this.#choices.entries()) if (open !== undefined) this.#release(i)
    return this.take() + errorEvent(error, this.#context.requestId)
  }
}
