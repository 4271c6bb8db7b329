import type { Discovery } from '../../contracts/cluster.ts'
import type { Clock, Random } from '../../core/clock.ts'
import { everyUnref } from '../../core/every.ts'

/** What sources are told with. */
export type Told = Parameters<Discovery['start']>[0]

export interface DiscoveryParts {
  readonly clock: Clock
  readonly random: Random
  /** Of Heddle, for registries that are told who asks. */
  readonly version: string
  /** Between attempts, ms: doubled from base to max, half of it random. */
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number }
  /** Runs the task after ms unless the returned function is called first. Replaced in tests. */
  readonly later?: (task: () => void, ms: number) => () => void
}

/** Why a registry could not be asked, or what it said is of no use; the hub counts by reason. */
export type FaultReason =
  | 'unreachable'
  | 'timeout'
  | 'tls'
  | 'denied'
  | 'not_found'
  | 'invalid'
  | 'too_large'
  | 'failed'

/** message: for the log; names hosts and causes, never credentials. */
export class DiscoveryFault extends Error {
  readonly reason: FaultReason
  constructor(reason: FaultReason, message: string) {
    super(message.slice(0, 300))
    this.reason = reason
  }
}

const TLS_CODE =
  /^(?:ERR_TLS|ERR_SSL|CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO|INVALID_CA|PATH_LENGTH)/

/** What Node says of a connection, in one of our words. */
export function faultOf(error: unknown): DiscoveryFault {
  if (error instanceof DiscoveryFault) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (typeof code !== 'string') return new DiscoveryFault('failed', message)
  if (TLS_CODE.test(code)) return new DiscoveryFault('tls', code)
  return new DiscoveryFault(code === 'ETIMEDOUT' ? 'timeout' : 'unreachable', code)
}

/** Runs the task once, after ms, unless the returned function is called first. Keeps no process alive. */
export const later = (task: () => void, ms: number): (() => void) => {
  const stop = everyUnref(() => {
    stop()
    task()
  }, ms)
  return stop
}

const BASE_MS = 500
const MAX_MS = 30_000
/** A connection that has held this long is not one of those that fail again and again. */
const SETTLED_MS = 10_000

/**
 * Does one step after another until it is closed. A step resolves with ms to wait before the next; when it throws, that
 * is told and the next one comes after a pause that grows.
 */
export class Loop {
  readonly #parts: DiscoveryParts
  readonly #step: (signal: AbortSignal) => Promise<number>
  readonly #on: Pick<Told, 'error'>
  /** Of the step that runs. Each has its own: what listens to it goes with it. */
  #current = new AbortController()
  #closed = false
  #failures = 0
  #wake: (() => void) | null = null

  constructor(parts: DiscoveryParts, on: Pick<Told, 'error'>, step: (signal: AbortSignal) => Promise<number>) {
    this.#parts = parts
    this.#on = on
    this.#step = step
    void this.#run()
  }

  close(): void {
    this.#closed = true
    this.#current.abort()
    this.#wake?.()
  }

  async #run(): Promise<void> {
    // Whoever begins it has to hold it first.
    await Promise.resolve()
    while (!this.#closed) {
      this.#current = new AbortController()
      const wait = await this.#once(this.#current.signal)
      if (!this.#closed && wait > 0) await this.#pause(wait)
    }
  }

  async #once(signal: AbortSignal): Promise<number> {
    const { clock } = this.#parts
    const began = clock.monotonic()
    try {
      const wait = await this.#step(signal)
      this.#failures = 0
      return wait
    } catch (error) {
      if (signal.aborted) return 0
      const { reason, message } = faultOf(error)
      if (clock.monotonic() - began >= SETTLED_MS) this.#failures = 0
      const wait = this.#backoff()
      this.#on.error(reason, message)
      return wait
    }
  }

  #backoff(): number {
    const { random, backoff = { baseMs: BASE_MS, maxMs: MAX_MS } } = this.#parts
    const full = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.min(this.#failures++, 20))
    return full / 2 + (random.next() * full) / 2
  }

  #pause(ms: number): Promise<void> {
    const wait = this.#parts.later ?? later
    return new Promise((resolve) => {
      const cancel = wait(resolve, ms)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }
}
