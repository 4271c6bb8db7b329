import type { Services } from '../../services.ts'
import type { Callers } from './callers.ts'
import type { Vault } from './vault.ts'
import type { GatewayError } from '../../../core/errors.ts'
import type { Matcher } from '../../../core/glob.ts'
import { sleep } from '../../../core/sleep.ts'
import { newId } from '../ids.ts'
import { callLine, type LineAnswer, type LineCall } from './call.ts'
import { answeredLine, isFault, linesIn, readLine, unansweredLine, type Line } from './lines.ts'
import { isFinal, withStatus, type BatchError, type BatchRecord, type BatchStatus } from './records.ts'

/** What is done is put away after so many lines, or so long, ms: that much is done again when the process dies. */
const CHECK_LINES = 16
const CHECK_MS = 2000
/** Lines that may be done before an earlier one that takes long. */
const MAX_AHEAD = 1000
const MAX_ERRORS = 100
/** Between tries of a line that limits or backends refuse for now, ms. */
const WAIT_MS = 1000
const MAX_WAIT_MS = 60_000
/** How often a line that waits looks whether it still should, ms. */
const LOOK_MS = 250

/** Why a run ends before its last line. away: another process, or a later one, goes on with it. */
export type Stop = 'cancelled' | 'expired' | 'away'

/** Places for lines, of all batches of a worker. */
export class Slots {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  async take(): Promise<void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  give(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}

export interface RunParts {
  readonly vault: Vault
  readonly services: () => Services
  readonly callers: Callers
  readonly slots: Slots
  readonly runs: Matcher
  readonly onLine: (result: 'completed' | 'failed' | 'expired') => void
}

const seconds = ({ clock }: Services): number => Math.floor(clock.now() / 1000)

/** Works on one batch, from where it stands to its end. */
export class BatchRun {
  #batch: BatchRecord
  readonly #parts: RunParts
  #stop: Stop | null = null
  readonly #calls = new Set<LineCall>()
  readonly #done = new Set<number>()
  #output = ''
  #error = ''
  #pending = 0
  #completed = 0
  #failed = 0
  #checkedAt = 0
  #checking: Promise<void> = Promise.resolve()
  /** The store has not taken what was done: nothing of it may be lost. */
  #broken: Error | null = null
  /** What the batch fails by after it has begun. */
  #errors: readonly BatchError[] = []

  constructor(batch: BatchRecord, parts: RunParts) {
    this.#batch = batch
    this.#parts = parts
    for (const index of batch.ahead) this.#done.add(index)
  }

  get id(): string {
    return this.#batch.id
  }

  get batch(): BatchRecord {
    return this.#batch
  }

  /** Lines under way end; no more are begun. */
  stop(why: Stop): void {
    this.#stop ??= why
  }

  /** Cuts the lines under way. */
  fail(error: GatewayError): void {
    this.stop('away')
    for (const call of this.#calls) call.fail(error)
  }

  /** Rejects when the store cannot be asked: the batch stays as it was last put away. */
  async run(): Promise<void> {
    if (this.#batch.status === 'validating' && !(await this.#validate())) return
    if (isFinal(this.#batch)) return
    if (this.#batch.status === 'in_progress') await this.#runLines()
    else if (this.#batch.status === 'cancelling') this.stop('cancelled')
    if (this.#broken !== null) throw this.#broken
    await this.#end()
  }

  async #save(batch: BatchRecord): Promise<void> {
    await this.#parts.vault.put(batch)
    this.#batch = batch
  }

  /** Calls back with each line; false = no more are wanted. Returns false when a part of the file is missing. */
  async #eachLine(take: (text: string, index: number) => boolean | Promise<boolean>): Promise<boolean> {
    const { vault } = this.#parts
    const { caller, inputFileId } = this.#batch
    const file = await vault.file(caller, inputFileId)
    if (file === null) return false
    let index = 0
    for (let number = 0; number < file.parts; number++) {
      const part = await vault.getPart(caller, inputFileId, number)
      if (part === null) return false
      for (const text of linesIn(part)) if (!(await take(text, index++))) return true
    }
    return true
  }

  async #failWith(errors: readonly BatchError[]): Promise<void> {
    await this.#save({ ...withStatus(this.#batch, 'failed', seconds(this.#parts.services())), errors })
  }

  /** All lines before the first one is made (openai-openapi `Batch.errors`). False = it has failed, or is to end. */
  async #validate(): Promise<boolean> {
    const { runs, vault, services } = this.#parts
    const { endpoint } = this.#batch
    const errors: BatchError[] = []
    const seen = new Set<string>()
    let total = 0
    const whole = await this.#eachLine((text, index) => {
      total++
      const line = readLine(text, index + 1, endpoint, runs)
      if (isFault(line)) errors.push(line)
      else if (seen.has(line.customId))
        errors.push(problem('duplicate_custom_id', 'The custom_id stands in an earlier line, too.', index + 1))
      else seen.add(line.customId)
      return errors.length < MAX_ERRORS && total <= vault.config.maxLines
    })
    if (!whole) errors.push(problem('input_file_missing', 'The input file is not there any more.'))
    else if (total === 0) errors.push(problem('empty_file', 'The input file holds no lines.'))
    else if (total > vault.config.maxLines)
      errors.push(problem('too_many_lines', `A batch may have ${vault.config.maxLines} lines at most.`))
    if (errors.length > 0) {
      await this.#failWith(errors)
      return false
    }
    await this.#save({ ...withStatus(this.#batch, 'in_progress', seconds(services())), total })
    return true
  }

  // ── lines ─────────────────────────────────────────────────────────────────
  get #isOver(): boolean {
    if (this.#parts.services().clock.now() >= this.#batch.expiresAt * 1000) this.stop('expired')
    return this.#stop !== null || this.#broken !== null
  }

  async #runLines(): Promise<void> {
    const { slots, runs, services } = this.#parts
    const under = new Set<Promise<void>>()
    this.#checkedAt = services().clock.monotonic()
    const whole = await this.#eachLine(async (text, index) => {
      if (index < this.#batch.done || this.#done.has(index)) return true
      while (!this.#isOver && this.#done.size > MAX_AHEAD) await sleep(LOOK_MS, false)
      await slots.take()
      if (this.#isOver) {
        slots.give()
        return false
      }
      const line = readLine(text, index + 1, this.#batch.endpoint, runs) as Line
      const made = this.#line(line, index).finally(() => {
        slots.give()
        under.delete(made)
      })
      under.add(made)
      return true
    })
    await Promise.all(under)
    await this.#check()
    if (!whole) this.#errors = [problem('input_file_missing', 'The input file is not there any more.')]
  }

  async #line(line: Line, index: number): Promise<void> {
    const answer = await this.#answer(line, index)
    if (answer === null) return
    const id = newId('batch_req_')
    const good = answer.status >= 200 && answer.status < 300
    const text = answeredLine(id, line.customId, { ...answer, requestId: this.#requestId(index) })
    if (good) this.#output += text
    else this.#error += text
    if (good) this.#completed++
    else this.#failed++
    this.#parts.onLine(good ? 'completed' : 'failed')
    this.#done.add(index)
    this.#pending++
    const now = this.#parts.services().clock.monotonic()
    if (this.#pending >= CHECK_LINES || now - this.#checkedAt > CHECK_MS) await this.#check()
  }

  #requestId(index: number): string {
    return `${this.#batch.id}-${index + 1}`
  }

  /** Tries until limits and backends let the line through; null = it is not to be made any more. */
  async #answer({ body }: Line, index: number): Promise<LineAnswer | null> {
    const { vault, callers, services } = this.#parts
    const { caller, endpoint, id } = this.#batch
    for (let tries = 0; !this.#isOver; tries++) {
      const now = services()
      if (now.loop.draining) {
        this.stop('away')
        return null
      }
      if (now.loop.overload?.() != null) {
        await this.#pause(WAIT_MS)
        continue
      }
      const principal = callers.find(now.current(), id, caller)
      if (principal === null) return { status: 401, body: NOBODY, retryAfterMs: 0 }
      const call = callLine(now, principal, {
        path: endpoint,
        id: this.#requestId(index),
        priority: vault.config.priority,
        body: Buffer.from(JSON.stringify(body)),
      })
      this.#calls.add(call)
      const answer = await call.answer.finally(() => this.#calls.delete(call))
      // Cut by the end of this process: it was no answer.
      if (this.#stop === 'away' && answer.status >= 500) return null
      if ((answer.status !== 429 && answer.status !== 503) || answer.body === '')
        return { ...answer, body: isJson(answer.body) ? answer.body : 'null' }
      await this.#pause(answer.retryAfterMs || Math.min(MAX_WAIT_MS, WAIT_MS * 2 ** Math.min(tries, 6)))
    }
    return null
  }

  async #pause(ms: number): Promise<void> {
    const { clock } = this.#parts.services()
    const until = clock.monotonic() + ms
    while (!this.#isOver && clock.monotonic() < until)
      await sleep(Math.max(1, Math.min(LOOK_MS, until - clock.monotonic())), false)
  }

  /** Puts away what is done. */
  #check(): Promise<void> {
    this.#checking = this.#checking
      .then(() => this.#checkNow())
      .catch((error: unknown) => {
        this.#broken ??= error instanceof Error ? error : new Error(String(error))
      })
    return this.#checking
  }

  async #checkNow(): Promise<void> {
    if (this.#pending === 0 || this.#broken !== null) return
    const { vault, services } = this.#parts
    this.#checkedAt = services().clock.monotonic()
    const [output, error] = [this.#output, this.#error]
    this.#output = this.#error = ''
    this.#pending = 0
    let { done } = this.#batch
    while (this.#done.delete(done)) done++
    const counts = { completed: this.#completed, failed: this.#failed }
    this.#completed = this.#failed = 0
    const { caller } = this.#batch
    const next = {
      ...this.#batch,
      done,
      ahead: [...this.#done],
      completed: this.#batch.completed + counts.completed,
      failed: this.#batch.failed + counts.failed,
    }
    await this.#save({
      ...next,
      output: await vault.append(caller, this.#batch.output, output),
      error: await vault.append(caller, this.#batch.error, error),
    })
  }

  // ── the end ───────────────────────────────────────────────────────────────
  async #end(): Promise<void> {
    const { vault, services } = this.#parts
    if (this.#stop === 'away') return
    if (this.#stop === 'expired') await this.#expireRest()
    const now = seconds(services())
    if (this.#stop !== 'expired')
      await this.#save(withStatus(this.#batch, this.#stop === null ? 'finalizing' : 'cancelling', now))
    const { caller, output, error, createdAt } = this.#batch
    const expiresAt = now + Math.floor(vault.config.ttlMs / 1000)
    for (const [name, { id, parts, bytes }] of [
      ['output', output],
      ['error', error],
    ] as const) {
      if (parts === 0) continue
      const filename = `${this.#batch.id}_${name}.jsonl`
      await vault.putFile(caller, { id, parts, bytes, filename, purpose: 'batch_output', createdAt, expiresAt })
    }
    const status: BatchStatus = this.#errors.length > 0 ? 'failed' : (this.#stop ?? 'completed')
    await this.#save({ ...withStatus(this.#batch, status, now), errors: this.#errors })
  }

  /** Lines that the window was too short for stand in the file of errors. */
  async #expireRest(): Promise<void> {
    const { runs, onLine } = this.#parts
    await this.#eachLine(async (text, index) => {
      if (index < this.#batch.done || this.#done.has(index)) return true
      const { customId } = readLine(text, index + 1, this.#batch.endpoint, runs) as Line
      const why = 'This request was not made before the completion window ended.'
      this.#error += unansweredLine(newId('batch_req_'), customId, 'batch_expired', why)
      this.#failed++
      this.#done.add(index)
      this.#pending++
      onLine('expired')
      if (this.#pending >= MAX_AHEAD) await this.#check()
      return true
    })
    await this.#check()
    if (this.#broken !== null) throw this.#broken
  }
}

const problem = (code: string, message: string, line: number | null = null): BatchError => ({
  code,
  message,
  line,
  param: null,
})

const NOBODY = JSON.stringify({
  error: {
    message: 'The caller of this batch may not call any more, or is not known here since its process has ended.',
    type: 'authentication_error',
    param: null,
    code: 'unauthenticated',
  },
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
