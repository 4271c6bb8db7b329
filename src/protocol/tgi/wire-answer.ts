import type { FinishReason, Json } from '../../contracts/canonical.ts'
import type { AnswerSink, Asked, StreamDecoder } from '../../contracts/dialect.ts'
import { asObject, fieldsOf, isFields, type Loose, parseEvent, textOf } from '../canonical/loose.ts'
import { type Choice, Teller } from '../canonical/telling.ts'
import { Trimmer, UNTRIMMED } from '../templates/trim.ts'
import { readAnswer, StreamUsage } from '../usage.ts'

/** Answers and events of /generate and /generate_stream, by docs/openapi.json of text-generation-inference. */

const REASONS: Readonly<Record<string, FinishReason>> = {
  eos_token: 'stop',
  length: 'length',
  stop_sequence: 'stop_sequence',
}
const reasonOf = (details: unknown): FinishReason => REASONS[textOf(fieldsOf(details)['finish_reason'])] ?? 'stop'

const failed = (body: Loose): boolean => body['error'] !== undefined && body['error'] !== null

export function tgiAnswer(body: Loose, sink: AnswerSink, asked: Asked = UNTRIMMED): 'ok' | 'error' | 'invalid' {
  if (failed(body)) return 'error'
  const { generated_text: said } = body
  if (typeof said !== 'string') return 'invalid'
  const teller = new Teller(sink)
  teller.start('', '')
  const trimmer = new Trimmer(asked)
  const text = trimmer.push(said) + trimmer.end()
  if (text !== '') sink.text(0, text)
  end(teller.choice(0)!, body['details'], trimmer)
  teller.used(readAnswer(body))
  teller.complete()
  return 'ok'
}

/** What stopped the text stands at its end. */
function end(choice: Choice, details: unknown, { sequence }: Trimmer): void {
  choice.reason = sequence === '' ? reasonOf(details) : 'stop_sequence'
  choice.sequence = sequence
}

export class TgiDecoder implements StreamDecoder {
  readonly #teller: Teller
  readonly #choice: Choice
  readonly #trimmer: Trimmer
  readonly #usage = new StreamUsage()
  #ended = false
  #fault: Json = null

  constructor(sink: AnswerSink, asked: Asked = UNTRIMMED) {
    this.#teller = new Teller(sink)
    this.#choice = this.#teller.choice(0)!
    this.#trimmer = new Trimmer(asked)
  }

  get fault(): Json {
    return this.#fault
  }

  event(_name: string, data: string): 'go' | 'end' | 'error' {
    if (this.#ended) return 'end'
    const event = parseEvent(data)
    if (failed(event)) {
      this.#fault = { message: textOf(event['error']), type: textOf(event['error_type']), ...asObject(event) }
      return 'error'
    }
    const token = event['token']
    if (isFields(token)) {
      this.#teller.start('', '')
      // Marks of the end are tokens, too, but no text.
      if (token['special'] !== true) this.#say(this.#trimmer.push(textOf(token['text'])))
    }
    if (typeof event['generated_text'] !== 'string') return 'go'
    this.#teller.start('', '')
    this.#say(this.#trimmer.end())
    end(this.#choice, event['details'], this.#trimmer)
    this.#usage.feed(event)
    this.#ended = true
    this.#teller.used(this.#usage.usage)
    this.#teller.complete()
    return 'end'
  }

  #say(text: string): void {
    if (text !== '') this.#teller.sink.text(0, text)
  }

  /** Without its last event an answer is cut. */
  close(): boolean {
    return this.#ended
  }
}
