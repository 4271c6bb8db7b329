import type { JsonObject } from '../../contracts/canonical.ts'
import type { HeaderList, ReplyWriter } from '../../contracts/http.ts'
import type { Exchange } from '../exchange.ts'
import type { Kept } from './kept.ts'
import type { Shelf } from './shelf.ts'
import { GatewayError } from '../../core/errors.ts'
import { everyUnref } from '../../core/every.ts'
import { sleep } from '../../core/sleep.ts'
import { failure, ResponseFrame } from '../../protocol/openai/client-responses-parts.ts'
import { ALIVE_EVERY_MS } from './shelf.ts'

/** How often it is looked whether somebody cancelled one, ms. */
const LOOK_MS = 1000
/** Events of a stream are put away this often, for those who come back for them, ms. */
const FLUSH_MS = 200

/** How often it is looked whether the last one is over, ms. */
const CLOSE_LOOK_MS = 50

const JSON_HEADERS = ['content-type', 'application/json']

/** The answer as it stands before it is made. */
export function queuedResponse(x: Exchange): JsonObject {
  const ending = { status: 'queued', incomplete: null, error: null } as const
  return new ResponseFrame(x.translation.context).json('', ending, [], null)
}

export const failedResponse = (queued: JsonObject, error: GatewayError): JsonObject => {
  const { status, error: said } = failure(error)
  return { ...queued, status, error: said }
}

/** An answer that is made although nobody may be waiting for it. Also what the request writes to. */
export class BackgroundRun implements ReplyWriter {
  readonly kept: Kept
  readonly queued: JsonObject
  readonly open = true
  readonly #x: Exchange
  readonly #shelf: Shelf
  readonly #onOver: (run: BackgroundRun) => void
  /** Of a streaming request, as long as it is there. */
  #client: ReplyWriter | null
  #part = 0
  #pending = ''
  #bytes = 0
  #logs: boolean
  #writing: Promise<void> = Promise.resolve()
  #over = false
  /** What is left to be written is written. */
  settled: Promise<void> = Promise.resolve()

  constructor(x: Exchange, kept: Kept, shelf: Shelf, onOver: (run: BackgroundRun) => void) {
    this.kept = kept
    this.#x = x
    this.#shelf = shelf
    this.#onOver = onOver
    this.queued = queuedResponse(x)
    this.#logs = x.stream
    this.#client = x.ownWriter
  }

  /** The client is told; from now on it may leave. Throws GatewayError when the answer could not be kept. */
  async begin(): Promise<void> {
    const { owner, id } = this.kept
    await this.#shelf.alive(owner, id)
    const stored = await this.#shelf.put(
      owner,
      id,
      this.kept.record({ ...this.queued, status: 'in_progress' }, this.#logs ? 0 : -1),
    )
    if (!stored)
      throw new GatewayError('overloaded', 'The response cannot be kept, and could not be asked for later.', {
        retryAfterMs: 1000,
      })
    const x = this.#x
    x.writer = x.ownWriter = this
    x.detached = this
    // The patience of the client says nothing any more.
    x.budgetMs = Infinity
    if (x.stream) return
    const headers: HeaderList = [...JSON_HEADERS, 'x-request-id', x.id]
    this.#client?.send(200, headers, JSON.stringify(this.queued))
    this.#client = null
  }

  /** The client has left. */
  onClientGone(): void {
    this.#client = null
    this.#x.onDrain()
  }

  // ── what the request writes ───────────────────────────────────────────────
  send(status: number, headers: HeaderList, body: Buffer | string): void {
    // Of a stream that could not begin its client is told as ever.
    this.#client?.send(status, headers, body)
    this.#client = null
    this.#finish(this.kept.response ?? failedResponse(this.queued, this.#error))
  }

  get #error(): GatewayError {
    return this.#x.error ?? new GatewayError('internal', 'The response could not be made.')
  }

  head(status: number, headers: HeaderList): void {
    this.#client?.head(status, headers)
  }

  flush(): void {
    this.#client?.flush()
  }

  write(chunk: Buffer | string): boolean {
    this.#note(String(chunk))
    return this.#client?.write(chunk) ?? true
  }

  end(chunk?: Buffer | string): void {
    if (chunk !== undefined) this.#note(String(chunk))
    this.#client?.end(chunk)
    this.#client = null
    this.#finish(this.kept.response ?? failedResponse(this.queued, this.#error))
  }

  destroy(): void {
    this.#client?.destroy()
    this.#client = null
    if (this.#x.error !== null) this.#finish(failedResponse(this.queued, this.#error))
  }

  // ── its events ────────────────────────────────────────────────────────────
  #note(text: string): void {
    if (!this.#logs) return
    this.#bytes += text.length
    if (this.#bytes > this.#shelf.config.maxItemBytes) this.#logs = false
    else this.#pending += text
  }

  /** Puts away what has come since. */
  flushEvents(): void {
    if (!this.#logs || this.#pending === '') return
    const text = this.#pending
    this.#pending = ''
    const { owner, id } = this.kept
    const part = this.#part++
    this.#writing = this.#writing
      .then(() => this.#shelf.putPart(owner, id, part, text))
      .catch(() => {
        this.#logs = false
      })
  }

  #finish(response: JsonObject): void {
    if (this.#over) return
    this.#over = true
    this.#onOver(this)
    this.flushEvents()
    this.settled = this.#settle(response).catch(() => undefined)
  }

  async #settle(response: JsonObject): Promise<void> {
    const { owner, id } = this.kept
    await this.#writing
    // Somebody has cancelled it: what they said stands.
    if (!(await this.#shelf.end(owner, id))) return
    const parts = this.#logs ? this.#part : -1
    if (await this.#shelf.put(owner, id, this.kept.record(response, parts))) return
    const lost = new GatewayError('internal', 'The response was made, and could not be kept.')
    await this.#shelf.put(owner, id, this.kept.record(failedResponse(this.queued, lost)))
  }

  /** Nobody wants it any more. */
  cancel(): void {
    if (!this.#over) this.#x.fail(new GatewayError('client_closed', 'The response was cancelled.'))
  }

  fail(error: GatewayError): void {
    if (!this.#over) this.#x.fail(error)
  }
}

/** All answers that a worker makes in the background. */
export class Background {
  readonly #shelf: Shelf
  readonly #runs = new Map<string, BackgroundRun>()
  readonly #inflight: (change: number) => void
  readonly #stop: (() => void)[]
  readonly #settling = new Set<Promise<void>>()

  /** inflight: such an answer is a request under way, although its connection may be gone. */
  constructor(shelf: Shelf, inflight: (change: number) => void) {
    this.#shelf = shelf
    this.#inflight = inflight
    this.#stop = [
      everyUnref(() => void this.#look(), LOOK_MS),
      everyUnref(() => this.#stayAlive(), ALIVE_EVERY_MS),
      everyUnref(() => this.#flush(), FLUSH_MS),
    ]
  }

  get size(): number {
    return this.#runs.size
  }

  /** Throws GatewayError when there are too many, or the answer cannot be kept. */
  async begin(x: Exchange, kept: Kept): Promise<void> {
    if (this.#runs.size >= this.#shelf.config.background)
      throw new GatewayError('overloaded', 'There are too many responses under way in the background.', {
        retryAfterMs: 5000,
      })
    const run = new BackgroundRun(x, kept, this.#shelf, (over) => this.#over(over))
    this.#runs.set(kept.id, run)
    this.#inflight(1)
    try {
      await run.begin()
    } catch (error) {
      this.#runs.delete(kept.id)
      this.#inflight(-1)
      throw error
    }
  }

  #over(run: BackgroundRun): void {
    if (!this.#runs.delete(run.kept.id)) return
    // Until its end is written the process must not go.
    queueMicrotask(() => {
      const settled = run.settled.finally(() => {
        this.#settling.delete(settled)
        this.#inflight(-1)
      })
      this.#settling.add(settled)
    })
  }

  /** Ends it, when it is made here. */
  cancel(id: string): void {
    this.#runs.get(id)?.cancel()
  }

  async #look(): Promise<void> {
    for (const [id, run] of this.#runs)
      if (await this.#shelf.hasEnded(run.kept.owner, id).catch(() => false)) run.cancel()
  }

  #stayAlive(): void {
    for (const [id, { kept }] of this.#runs) this.#shelf.alive(kept.owner, id).catch(() => undefined)
  }

  #flush(): void {
    for (const run of this.#runs.values()) run.flushEvents()
  }

  /** Ends all that is under way. */
  failAll(error: GatewayError): void {
    for (const run of this.#runs.values()) run.fail(error)
  }

  /** Resolves when all that is under way is over and kept; until then it is looked after. */
  async close(): Promise<void> {
    while (this.#runs.size + this.#settling.size > 0) {
      await Promise.allSettled(this.#settling)
      if (this.#runs.size > 0) await sleep(CLOSE_LOOK_MS, false)
    }
    for (const stop of this.#stop) stop()
  }
}
