import type { AttemptOwner } from './attempt.ts'
import { RawUsage } from '../protocol/raw-usage.ts'
import { usageHints } from '../protocol/usage.ts'
import { Attempt } from './attempt.ts'

/** The owner passes the bytes on. */
export interface RawOwner extends AttemptOwner {
  /** The request is one that a backend may bill: not a list, not a look at a file. */
  readonly mayCost: boolean
  onRawHead(attempt: RawAttempt): void
  /** False = the client is slow. */
  onRawData(chunk: Buffer): boolean
}

/** A call whose answer nobody here understands: its bytes go on as they come, committed by a good status. */
export class RawAttempt extends Attempt {
  declare readonly owner: RawOwner

  #reader: RawUsage | null = null

  get answerStatus(): number {
    return this.status
  }

  protected nextCheck(): number {
    const { attemptMs, idleMs } = this.rules.timeouts
    if (!this.committed) return attemptMs === 0 ? 0 : Math.max(1, attemptMs - this.elapsed())
    if (this.paused) return this.stallLeft()
    return idleMs === 0 ? 0 : Math.max(1, idleMs - (this.owner.services.wheel.coarseNow - this.lastByteAt))
  }

  protected onDue(): void {
    const { attemptMs, idleMs } = this.rules.timeouts
    if (!this.committed) {
      if (attemptMs > 0 && this.elapsed() >= attemptMs) this.timeout('attempt')
    } else if (this.paused) this.dropStalled()
    else if (idleMs > 0 && this.owner.services.wheel.coarseNow - this.lastByteAt >= idleMs) this.timeout('idle')
  }

  protected onAnswerHead(): void {
    this.noteFirstToken()
    if (!this.owner.claim(this)) return
    this.committed = true
    const type = this.headers['content-type']
    const { config } = this.target.provider
    if (this.owner.mayCost)
      this.#reader = RawUsage.of(typeof type === 'string' ? type : undefined, usageHints(config.type))
    const ms = this.nextCheck()
    if (ms > 0) this.owner.services.wheel.arm(this, ms)
    else this.owner.services.wheel.disarm(this)
    this.owner.onRawHead(this)
  }

  protected onAnswerData(chunk: Buffer): void {
    this.#reader?.add(chunk)
    if (!this.owner.onRawData(chunk)) this.pause()
  }

  protected onAnswerEnd(): void {
    this.succeed(false)
  }

  /** Also of what broke off: some backends say at the beginning what the prompt had. */
  protected override readUsage(): void {
    this.usage ??= this.#reader?.usage ?? null
  }
}
