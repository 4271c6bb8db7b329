import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { AnswerSink, StreamDecoder } from '../../contracts/dialect.ts'
import { fieldsOf, isFields, listOf, type Loose, parseEvent, textOf } from '../canonical/loose.ts'
import { type Choice, Teller } from '../canonical/telling.ts'
import { readAnswer, StreamUsage } from '../usage.ts'

/** Answers and lines of /api/chat, by ChatResponse of ollama 0.6: lines are answers, too. */

function tell(teller: Teller, choice: Choice, body: Loose): void {
  // Answers have no id; when they were made tells them apart, so that made-up ids of calls do not meet again.
  if (!teller.started) teller.start('', textOf(body['model']), textOf(body['created_at']))
  const { sink } = teller
  const message = fieldsOf(body['message'])
  if (textOf(message['thinking']) !== '') sink.reasoning(0, textOf(message['thinking']))
  if (textOf(message['content']) !== '') sink.text(0, textOf(message['content']))
  for (const one of listOf(message['tool_calls'])) {
    const call = fieldsOf(one)
    const called = fieldsOf(call['function'])
    const given = called['arguments']
    const written = typeof given === 'string' ? given : JSON.stringify(isFields(given) ? given : {})
    const index = teller.call(choice, textOf(call['id']), textOf(called['name']), false, written)
    if (written !== '') sink.toolArguments(0, index, written)
  }
  const entries = listOf(body['logprobs'])
  if (entries.length > 0) sink.logprobs(0, entries.map(entryOf))
  if (body['done'] === true) choice.reason = body['done_reason'] === 'length' ? 'length' : 'stop'
}

const entryOf = (value: unknown): JsonObject => ({
  ...tokenOf(value),
  top_logprobs: listOf(fieldsOf(value)['top_logprobs']).map(tokenOf),
})
function tokenOf(value: unknown): JsonObject {
  const { token, logprob, bytes } = fieldsOf(value)
  return {
    token: textOf(token),
    logprob: typeof logprob === 'number' ? logprob : 0,
    bytes: Array.isArray(bytes) ? (bytes as Json[]) : null,
  }
}

const failed = (body: Loose): boolean => body['error'] !== undefined && body['error'] !== null

export function ollamaAnswer(body: Loose, sink: AnswerSink): 'ok' | 'error' | 'invalid' {
  if (failed(body)) return 'error'
  if (!isFields(body['message'])) return 'invalid'
  const teller = new Teller(sink)
  tell(teller, teller.choice(0)!, body)
  teller.used(readAnswer(body))
  teller.complete()
  return 'ok'
}

export class OllamaDecoder implements StreamDecoder {
  readonly #teller: Teller
  readonly #choice: Choice
  readonly #usage = new StreamUsage()
  #ended = false
  #fault: Json = null

  constructor(sink: AnswerSink) {
    this.#teller = new Teller(sink)
    this.#choice = this.#teller.choice(0)!
  }

  get fault(): Json {
    return this.#fault
  }

  event(_name: string, data: string): 'go' | 'end' | 'error' {
    if (this.#ended) return 'end'
    const line = parseEvent(data)
    if (failed(line)) {
      this.#fault = { error: line['error'] as Json }
      return 'error'
    }
    if (!isFields(line['message']) && line['done'] !== true) return 'go'
    tell(this.#teller, this.#choice, line)
    if (line['done'] !== true) return 'go'
    this.#usage.feed(line)
    this.#ended = true
    this.#teller.used(this.#usage.usage)
    this.#teller.complete()
    return 'end'
  }

  /** Without its last line an answer is cut. */
  close(): boolean {
    return this.#ended
  }
}
