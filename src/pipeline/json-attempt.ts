import type { AnswerReader } from './answer-reader.ts'
import type { AttemptOwner, AttemptPlan } from './attempt.ts'
import { invalidAnswer } from '../routing/failure.ts'
import { Attempt } from './attempt.ts'
import { decodeBody, encodingOf } from '../core/decode.ts'

/** The owner takes the whole answer. */
export interface JsonOwner extends AttemptOwner {
  onAnswer(attempt: JsonAttempt, body: Buffer): void
}

const BYTES_PER_TOKEN = 4

const first = (value: string | string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : value?.[0]

/** A call whose answer is one JSON object: held whole, judged by its shape, and only then the client's. */
export class JsonAttempt extends Attempt {
  declare readonly owner: JsonOwner
  readonly #reader: AnswerReader
  #chunks: Buffer[] = []
  #bytes = 0
  #begun = false

  constructor(plan: AttemptPlan & { readonly owner: JsonOwner; readonly reader: AnswerReader }) {
    super(plan)
    this.#reader = plan.reader
  }

  override answerTokens(): number {
    return Math.ceil(this.#bytes / BYTES_PER_TOKEN)
  }

  protected nextCheck(): number {
    const { attemptMs, idleMs } = this.rules.timeouts
    const left = attemptMs === 0 ? 0 : Math.max(1, attemptMs - this.elapsed())
    if (idleMs === 0) return left
    // Before the head nothing can be idle yet, but a timer that is due in time need not be moved when the head comes.
    const idle = this.#begun ? Math.max(1, idleMs - (this.owner.services.wheel.coarseNow - this.lastByteAt)) : idleMs
    return left === 0 ? idle : Math.min(left, idle)
  }

  protected onDue(): void {
    const { attemptMs, idleMs } = this.rules.timeouts
    if (attemptMs > 0 && this.elapsed() >= attemptMs) this.timeout('attempt')
    else if (this.#begun && idleMs > 0 && this.owner.services.wheel.coarseNow - this.lastByteAt >= idleMs)
      this.timeout('idle')
  }

  protected onAnswerHead(): void {
    this.noteFirstToken()
    this.#begun = true
    if (Number(first(this.headers['content-length']) ?? 0) > this.owner.services.limits.responseBody)
      this.fail(invalidAnswer('answer_too_large', this.target.name))
  }

  protected onAnswerData(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes > this.owner.services.limits.responseBody)
      this.fail(invalidAnswer('answer_too_large', this.target.name))
  }

  protected onAnswerEnd(): void {
    const body = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
    this.#chunks = []
    const encoding = encodingOf(first(this.headers['content-encoding']))
    if (encoding === null) {
      this.#judge(body)
      return
    }
    decodeBody(body, encoding, this.owner.services.limits.responseBody, (error, decoded) => {
      if (this.over) return
      if (error !== null) this.fail(invalidAnswer('bad_encoding', this.target.name, error))
      else this.#judge(decoded)
    })
  }

  #judge(body: Buffer): void {
    const { verdict, usage, body: answer } = this.#reader.read(body)
    // It may be no answer and be billed all the same.
    this.usage = usage
    if (verdict === 'invalid') this.fail(invalidAnswer('invalid_answer', this.target.name))
    else if (verdict === 'error') this.fail(this.classify(200, JSON.parse(body.toString())))
    else if (this.owner.claim(this)) {
      this.owner.onAnswer(this, answer)
      this.succeed(false)
    }
  }
}
