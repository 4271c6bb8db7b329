import type { Citation, FinishReason, Json, JsonObject, Opaque } from '../../contracts/canonical.ts'
import type { AnswerContext, AnswerEncoder, StreamEncoder } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { GatewayError } from '../../core/errors.ts'
import { CollectedAnswer, isWhole } from '../canonical/collect.ts'
import type { CallBlock, CollectedChoice } from '../canonical/collect.ts'
import { argumentsObject, errorText } from '../canonical/say.ts'
import { ollamaUsage } from '../canonical/usage-out.ts'
import { NO_USAGE } from '../usage.ts'

const quote = JSON.stringify

export const ollamaError = (error: GatewayError): string => quote({ error: errorText(error) })

const doneReason = (reason: FinishReason | ''): string => (reason === 'length' ? 'length' : 'stop')

const createdAt = (context: AnswerContext): string => new Date(context.created * 1000).toISOString()

const callJson = (call: CallBlock): JsonObject => ({
  id: call.id,
  function: {
    index: call.index,
    name: call.name,
    arguments: call.custom ? { raw_arguments: call.arguments } : argumentsObject(call.arguments),
  },
})

/**
 * What an answer ends with. The durations are those of a model's runs on Ollama's own hardware, which nobody here knows:
 * 0, as Ollama itself says of what took no time.
 */
const closing = (reason: FinishReason | '', usage: Usage | null): JsonObject => ({
  done: true,
  done_reason: doneReason(reason),
  total_duration: 0,
  load_duration: 0,
  prompt_eval_duration: 0,
  eval_duration: 0,
  ...ollamaUsage(usage ?? NO_USAGE),
})

const textOf = (choice: CollectedChoice): string => {
  let text = ''
  for (const block of choice.blocks) if (block.type === 'text' || block.type === 'refusal') text += block.text
  return text
}

/** A whole answer of /api/chat (ollama docs/api.md). The dialect has one choice; others are not told. */
export class OllamaAnswer extends CollectedAnswer implements AnswerEncoder {
  readonly #context: AnswerContext

  constructor(context: AnswerContext) {
    super()
    this.#context = context
  }

  body(): string {
    const choice = this.at(0)
    const thinking = choice.joined('reasoning')
    const calls = choice.blocks.filter((block) => block.type === 'tool_call')
    return quote({
      model: this.#context.model,
      created_at: createdAt(this.#context),
      message: {
        role: 'assistant',
        content: textOf(choice),
        ...(thinking === '' ? {} : { thinking }),
        ...(calls.length === 0 ? {} : { tool_calls: calls.map(callJson) }),
      },
      ...(choice.logprobs.length === 0 ? {} : { logprobs: choice.logprobs }),
      ...closing(choice.finish, this.used),
    })
  }
}

/** A stream of /api/chat: lines of JSON, each with what is new; calls are told whole. */
export class OllamaStream implements StreamEncoder {
  /** Ollama's clients parse every line. */
  readonly heartbeat = ''
  readonly #holds: boolean
  readonly #head: string
  readonly #calls: CallBlock[] = []
  /** Calls that are not told of yet. */
  readonly #waiting: CallBlock[] = []
  #held = ''
  #out = ''
  #reason: FinishReason | '' = ''
  #usage: Usage | null = null

  constructor(context: AnswerContext) {
    this.#holds = context.request.logprobs === true
    this.#head = `{"model":${quote(context.model)},"created_at":${quote(createdAt(context))},`
  }

  #line(message: string, rest: string): void {
    this.#out += `${this.#head}"message":{"role":"assistant",${message}}${rest},"done":false}\n`
  }

  #ready(all: boolean): void {
    if (this.#held !== '') {
      this.#line(`"content":${quote(this.#held)}`, '')
      this.#held = ''
    }
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!all && !isWhole(next)) return
      this.#waiting.shift()
      this.#line(`"content":"","tool_calls":[${quote(callJson(next))}]`, '')
    }
  }

  start(_id: string, _model: string): void {
    // Answers have no ids here.
  }

  text(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#ready(true)
    if (this.#holds) this.#held = text
    else this.#line(`"content":${quote(text)}`, '')
  }

  refusal(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#ready(true)
    this.#line(`"content":${quote(text)}`, '')
  }

  reasoning(choice: number, text: string): void {
    if (text === '' || choice !== 0) return
    this.#ready(true)
    this.#line(`"content":"","thinking":${quote(text)}`, '')
  }

  logprobs(choice: number, entries: readonly Json[]): void {
    if (choice !== 0) return
    this.#line(`"content":${quote(this.#held)}`, `,"logprobs":${quote(entries)}`)
    this.#held = ''
  }

  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    if (choice !== 0) return
    this.#ready(false)
    const call: CallBlock = { type: 'tool_call', index, id, name, custom, arguments: '', signature: null }
    this.#calls[index] = call
    this.#waiting.push(call)
  }

  toolArguments(choice: number, index: number, piece: string): void {
    const call = choice === 0 ? this.#calls[index] : undefined
    if (call !== undefined) call.arguments += piece
  }

  finish(choice: number, reason: FinishReason, _sequence: string): void {
    if (choice !== 0) return
    this.#ready(true)
    this.#reason = reason
  }

  usage(usage: Usage): void {
    this.#usage = usage
  }

  end(): void {
    this.#ready(true)
    const rest = quote(closing(this.#reason, this.#usage)).slice(1)
    this.#out += `${this.#head}"message":{"role":"assistant","content":""},${rest}\n`
  }

  signature(_choice: number, _signature: Opaque, _id: string): void {}
  redacted(_choice: number, _data: Opaque): void {}
  toolSignature(_choice: number, _index: number, _signature: Opaque): void {}
  citation(_choice: number, _citation: Citation): void {}

  take(): string {
    const out = this.#out
    this.#out = ''
    return out
  }

  error(error: GatewayError): string {
    if (this.#held !== '') this.#ready(false)
    return `${this.take()}${ollamaError(error)}\n`
  }
}
