import type { FinishReason, Json, JsonObject, Opaque } from '../../contracts/canonical.ts'
import type { AnswerSink, StreamDecoder } from '../../contracts/dialect.ts'
import { asJson, asObject, fieldsOf, isFields, listOf, type Loose, parseEvent, textOf } from '../canonical/loose.ts'
import { type Choice, Teller } from '../canonical/telling.ts'
import { readAnswer, StreamUsage } from '../usage.ts'

/** Answers and events of generateContent, by GenerateContentResponse of @google/genai 3.1: events are answers, too. */

const REASONS: Readonly<Record<string, FinishReason>> = {
  STOP: 'stop',
  MAX_TOKENS: 'length',
  SAFETY: 'content_filter',
  RECITATION: 'content_filter',
  LANGUAGE: 'content_filter',
  BLOCKLIST: 'content_filter',
  PROHIBITED_CONTENT: 'content_filter',
  SPII: 'content_filter',
  IMAGE_SAFETY: 'content_filter',
  IMAGE_PROHIBITED_CONTENT: 'content_filter',
  IMAGE_RECITATION: 'content_filter',
  CONTINUATION: 'pause',
  MALFORMED_FUNCTION_CALL: 'error',
  MALFORMED_RESPONSE: 'error',
  UNEXPECTED_TOOL_CALL: 'error',
  TOO_MANY_TOOL_CALLS: 'error',
  NO_IMAGE: 'error',
  IMAGE_OTHER: 'error',
  OTHER: 'error',
}

const opaque = (value: string): Opaque => ({ by: 'gemini.generate', value })

class GeminiTeller {
  readonly teller: Teller
  /** Sources of each answer, which come again with each event. */
  readonly #grounding = new Map<number, Loose>()

  constructor(sink: AnswerSink) {
    this.teller = new Teller(sink)
  }

  body(body: Loose): void {
    const { teller } = this
    const candidates = listOf(body['candidates'])
    for (const one of candidates) if (isFields(one)) this.#candidate(body, one)
    // The prompt was refused: there will be no candidates.
    if (candidates.length === 0 && textOf(fieldsOf(body['promptFeedback'])['blockReason']) !== '') {
      teller.start(textOf(body['responseId']), textOf(body['modelVersion']))
      teller.choice(0)!.reason = 'content_filter'
    }
  }

  complete(): void {
    for (const [at, grounding] of this.#grounding) this.#cite(at, grounding)
    this.teller.complete()
  }

  #candidate(body: Loose, candidate: Loose): void {
    const choice = this.teller.choice(candidate['index'])
    if (choice === null) return
    if (!this.teller.started) this.teller.start(textOf(body['responseId']), textOf(body['modelVersion']))
    for (const part of listOf(fieldsOf(candidate['content'])['parts'])) if (isFields(part)) this.#part(choice, part)
    if (isFields(candidate['logprobsResult'])) this.#logprobs(choice.index, candidate['logprobsResult'])
    if (isFields(candidate['groundingMetadata'])) this.#grounding.set(choice.index, candidate['groundingMetadata'])
    const reason = textOf(candidate['finishReason'])
    if (reason !== '' && reason !== 'FINISH_REASON_UNSPECIFIED') choice.reason = REASONS[reason] ?? 'stop'
  }

  #part(choice: Choice, part: Loose): void {
    const { sink } = this.teller
    const signature = textOf(part['thoughtSignature'])
    if (isFields(part['functionCall'])) {
      const call = part['functionCall']
      const written = call['args'] === undefined || call['args'] === null ? '{}' : JSON.stringify(call['args'])
      const index = this.teller.call(choice, textOf(call['id']), textOf(call['name']), false, written)
      if (signature !== '') sink.toolSignature(choice.index, index, opaque(signature))
      sink.toolArguments(choice.index, index, written)
      return
    }
    const text = textOf(part['text'])
    if (text !== '' && part['thought'] === true) sink.reasoning(choice.index, text)
    else if (text !== '') sink.text(choice.index, text)
    if (signature !== '') sink.signature(choice.index, opaque(signature), '')
  }

  #logprobs(at: number, result: Loose): void {
    const top = listOf(result['topCandidates'])
    const entries = listOf(result['chosenCandidates']).map((chosen, i): JsonObject => ({
      ...entryOf(fieldsOf(chosen)),
      top_logprobs: listOf(fieldsOf(top[i])['candidates']).map((one) => entryOf(fieldsOf(one))),
    }))
    if (entries.length > 0) this.teller.sink.logprobs(at, entries)
  }

  #cite(at: number, grounding: Loose): void {
    for (const one of listOf(grounding['groundingChunks'])) {
      const chunk = fieldsOf(one)
      const source = fieldsOf(chunk['web'] ?? chunk['retrievedContext'] ?? chunk['maps'])
      const url = textOf(source['uri'])
      const title = textOf(source['title'])
      if (url === '' && title === '') continue
      this.teller.sink.citation(at, {
        ...(url === '' ? {} : { url }),
        ...(title === '' ? {} : { title }),
        native: { by: 'gemini.generate', value: asObject(chunk) },
      })
    }
  }
}

const entryOf = (candidate: Loose): JsonObject => ({
  token: textOf(candidate['token']),
  logprob: typeof candidate['logProbability'] === 'number' ? candidate['logProbability'] : 0,
  bytes: null,
})

const failed = (body: Loose): boolean => body['error'] !== undefined && body['error'] !== null

export function geminiAnswer(body: Loose, sink: AnswerSink): 'ok' | 'error' | 'invalid' {
  if (failed(body)) return 'error'
  const told = new GeminiTeller(sink)
  told.body(body)
  if (!told.teller.started) return 'invalid'
  told.teller.used(readAnswer(body))
  told.complete()
  return 'ok'
}

export class GeminiDecoder implements StreamDecoder {
  readonly #told: GeminiTeller
  readonly #usage = new StreamUsage()
  #ended = false
  #fault: Json = null

  constructor(sink: AnswerSink) {
    this.#told = new GeminiTeller(sink)
  }

  get fault(): Json {
    return this.#fault
  }

  event(_name: string, data: string): 'go' | 'end' | 'error' {
    if (this.#ended) return 'end'
    const event = parseEvent(data)
    if (failed(event)) {
      this.#fault = asJson(event['error'])
      return 'error'
    }
    if (isFields(event['usageMetadata'])) this.#usage.feed(event)
    this.#told.body(event)
    return 'go'
  }

  /** There is no last event: a reason for each answer is what makes the end a proper one. */
  close(): boolean {
    if (this.#ended) return true
    if (!this.#told.teller.finished) return false
    this.#ended = true
    this.#told.teller.used(this.#usage.usage)
    this.#told.complete()
    return true
  }
}
