import type { Asked } from '../contracts/dialect.ts'
import type { TranslatedPlan } from './translated-stream.ts'
import { decodeBody, encodingOf } from '../core/decode.ts'
import { invalidAnswer } from '../routing/failure.ts'
import { answerBody } from './answer-body.ts'
import { HeldStream } from './held-stream.ts'
import { Listener } from './listener.ts'

export interface WholePlan extends TranslatedPlan {
  /** Of the request, for the reading of the answer. */
  readonly asked: Asked | undefined
}

/**
 * A stream to the client out of a whole answer: the backend has no streams. It goes out in one piece when it is there; until
 * then nothing has been sent, and another target can take over.
 */
export class WholeStream extends HeldStream {
  override readonly contentType: string
  readonly #plan: WholePlan
  #chunks: Buffer[] = []
  #bytes = 0

  constructor(plan: WholePlan) {
    super({ ...plan, heartbeat: null })
    this.contentType = plan.client.streamType
    this.#plan = plan
  }

  protected onAnswerHead(): void {
    if (Number(this.headers['content-length'] ?? 0) > this.owner.services.limits.responseBody) this.#tooLarge()
  }

  #tooLarge(): void {
    this.fail(invalidAnswer('answer_too_large', this.target.name))
  }

  protected onAnswerData(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes > this.owner.services.limits.responseBody) this.#tooLarge()
  }

  protected onAnswerEnd(): void {
    const body = Buffer.concat(this.#chunks)
    this.#chunks = []
    const label = this.headers['content-encoding']
    const encoding = encodingOf(typeof label === 'string' ? label : undefined)
    if (encoding === null) {
      this.#tell(body)
      return
    }
    decodeBody(body, encoding, this.owner.services.limits.responseBody, (error, decoded) => {
      if (this.over) return
      if (error !== null) this.fail(invalidAnswer('bad_encoding', this.target.name, error))
      else this.#tell(decoded)
    })
  }

  #tell(bytes: Buffer): void {
    const { wire, client, context, asked } = this.#plan
    const encoder = client.stream(context)
    const listener = new Listener(encoder)
    const body = answerBody(wire, bytes)
    const verdict = body === null ? 'invalid' : wire.answer(body, listener, asked)
    // It may be no answer and be billed all the same.
    this.usage = listener.used
    if (verdict === 'invalid') this.fail(invalidAnswer('invalid_answer', this.target.name))
    else if (verdict === 'error') this.fail(this.classify(200, body))
    else {
      if (listener.content) this.noteContent(bytes.length)
      const taken = encoder.take()
      this.finishWith(typeof taken === 'string' ? Buffer.from(taken) : taken)
    }
  }
}
