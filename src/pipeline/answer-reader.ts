import type { Operation } from '../contracts/config.ts'
import type { AnswerContext, Asked, ClientDialect, EmbedWire, Wire } from '../contracts/dialect.ts'
import type { Usage } from '../contracts/usage.ts'
import { embedAnswer, type EmbedAsked } from '../protocol/openai/embed.ts'
import { judgeAnswer, usageOf } from '../protocol/openai/answer.ts'
import type { AnswerVerdict } from '../protocol/openai/answer.ts'
import type { UsageHints } from '../protocol/usage.ts'
import { answerBody } from './answer-body.ts'
import { listenFor } from './listener.ts'

/** What a whole JSON answer turned out to be. */
export interface ReadAnswer {
  readonly verdict: AnswerVerdict
  /** May be billed although it is no answer. */
  readonly usage: Usage | null
  /** For the client. */
  readonly body: Buffer
}

/** Reads whole answers. Never throws. */
export interface AnswerReader {
  read(body: Buffer): ReadAnswer
}

/** The client speaks the backend's dialect: the bytes are judged by their shape. */
export class NativeReader implements AnswerReader {
  readonly #operation: Operation
  readonly #hints: UsageHints

  constructor(operation: Operation, hints: UsageHints) {
    this.#operation = operation
    this.#hints = hints
  }

  read(body: Buffer): ReadAnswer {
    const verdict = judgeAnswer(this.#operation, body)
    let usage: Usage | null = null
    try {
      usage = usageOf(body, this.#hints)
    } catch {
      // No answer, and no count either.
    }
    return { verdict, usage, body }
  }
}

/** The backend's answer is told to the writer of the client's dialect. */
export class TranslatedReader implements AnswerReader {
  readonly #wire: Wire
  readonly #client: ClientDialect
  readonly #context: AnswerContext
  readonly #asked: Asked | undefined

  /** asked: of the request, what the answer is read with. */
  constructor(wire: Wire, client: ClientDialect, context: AnswerContext, asked: Asked | undefined) {
    this.#wire = wire
    this.#client = client
    this.#context = context
    this.#asked = asked
  }

  read(body: Buffer): ReadAnswer {
    const encoder = this.#client.answer(this.#context)
    const listener = listenFor(encoder, this.#wire, this.#context.request)
    const answer = answerBody(this.#wire, body)
    const verdict = answer === null ? 'invalid' : this.#wire.answer(answer, listener, this.#asked)
    const written = verdict === 'ok' ? Buffer.from(encoder.body()) : body
    return { verdict, usage: listener.used, body: written }
  }
}

/** Vectors in another dialect, told in the one of OpenAI. */
export class EmbedReader implements AnswerReader {
  readonly #wire: EmbedWire
  readonly #asked: EmbedAsked

  constructor(wire: EmbedWire, asked: EmbedAsked) {
    this.#wire = wire
    this.#asked = asked
  }

  read(body: Buffer): ReadAnswer {
    const sent = answerBody(this.#wire, body)
    const answer = sent === null ? 'invalid' : this.#wire.answer(sent, this.#asked.count)
    if (typeof answer === 'string') return { verdict: answer, usage: null, body }
    return { verdict: 'ok', usage: answer.usage, body: Buffer.from(embedAnswer(answer, this.#asked)) }
  }
}
