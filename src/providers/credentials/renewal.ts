import type { Credential, Credentials } from '../../contracts/credentials.ts'
import { ONLY_THIS } from '../../contracts/credentials.ts'
import type { HeaderList } from '../../contracts/http.ts'
import { GatewayError } from '../../core/errors.ts'
import type { CredentialParts } from './share.ts'

/** What a source of credentials gives: signs like any credential, and is good for a while. */
export interface Obtained {
  readonly credential: Pick<Credential, 'secrets' | 'sign'>
  /** Epoch ms; Infinity = it does not end. */
  readonly expiresAt: number
  /** Asked for again after this at the latest, ms; for what may change although it does not end. */
  readonly refreshMs?: number
}

/** Asks for new credentials; rejects with an Error whose message holds no secret. */
export type Obtain = () => Promise<Obtained>

const CHECK_MS = 1000
const MAX_BACKOFF_MS = 60_000
/** Sources that hand out what they have cached give the same token until shortly before its end. */
const MIN_INTERVAL_MS = 5000
/** An answer to a source's first call should be there within this: what callers are told to wait. */
const FIRST_WAIT_MS = 500

/** One value of a credential that is replaced over time. */
class Renewed implements Credential {
  readonly id: string
  readonly secrets: readonly string[]
  /** Monotonic ms. */
  readonly expiresAt: number
  readonly #inner: Obtained['credential']
  /** The provider refused it until then; a new one begins without that. Monotonic ms. */
  refusedUntil = 0
  readonly #onRefused: () => void

  constructor(id: string, inner: Obtained['credential'], expiresAt: number, onRefused: () => void) {
    this.id = id
    this.#inner = inner
    this.secrets = inner.secrets
    this.expiresAt = expiresAt
    this.#onRefused = onRefused
  }

  sign(headers: HeaderList, method: string, path: string, body: Buffer | null): HeaderList {
    return this.#inner.sign(headers, method, path, body)
  }

  busy(until: number): number {
    return until
  }

  /** For one target: its permissions are at fault, and the target rests. For all: this value is, and a new one may do. */
  dead(until: number, _now: number, target: string): number {
    if (target !== '') return until
    this.refusedUntil = until
    this.#onRefused()
    return ONLY_THIS
  }
}

/**
 * Credentials that expire. Asked for as soon as they are configured and again long before their end, by one call at a
 * time, in the background: no request waits. While the source fails, the last good ones are used until they really
 * end. Each worker has its own.
 */
export class Renewal implements Credentials {
  readonly #name: string
  readonly #parts: CredentialParts
  readonly #obtain: Obtain
  readonly #stop: () => void
  /** Resolves when the source has answered for the first time, well or not. */
  readonly first: Promise<void>
  #onFirst: () => void = () => {}
  #current: Renewed | null = null
  /** Monotonic ms. */
  #nextAt = 0
  /** Monotonic ms; not before it, even for a value that was refused. */
  #notBefore = 0
  #failures = 0
  #asking = false
  #closed = false

  /** name: for logs, such as `aws credentials of provider bedrock`. */
  constructor(name: string, parts: CredentialParts, obtain: Obtain) {
    this.#name = name
    this.#parts = parts
    this.#obtain = obtain
    this.first = new Promise((resolve) => {
      this.#onFirst = resolve
    })
    this.#stop = parts.every(() => this.#check(), CHECK_MS)
    this.#check()
  }

  choose(_tenant: string, now: number, _target: string): Credential {
    const current = this.#current
    if (current === null || current.expiresAt <= now) throw this.#missing(now)
    if (current.refusedUntil > now)
      throw new GatewayError('upstream_auth', 'The provider refused the gateway.', {
        retryAfterMs: Math.min(current.refusedUntil, Math.max(this.#nextAt, now + FIRST_WAIT_MS)) - now,
        detail: `${this.#name} were refused`,
      })
    return current
  }

  #missing(now: number): GatewayError {
    return new GatewayError('upstream_unavailable', 'The gateway has no credentials for the provider at the moment.', {
      retryAfterMs: this.#asking ? FIRST_WAIT_MS : Math.max(FIRST_WAIT_MS, this.#nextAt - now),
      detail: `${this.#name}: ${this.#current === null ? 'none yet' : 'expired'}, ${this.#failures} failures in a row`,
    })
  }

  #check(): void {
    if (this.#asking || this.#closed || this.#parts.clock.monotonic() < this.#nextAt) return
    this.#asking = true
    // A source that throws is one that rejects.
    Promise.resolve()
      .then(this.#obtain)
      .then(
        (obtained) => this.#take(obtained),
        (error: unknown) => this.#fail(error),
      )
      .finally(this.#onFirst)
  }

  #take({ credential, expiresAt, refreshMs = Infinity }: Obtained): void {
    this.#asking = false
    if (this.#closed) return
    const { clock, random, log } = this.#parts
    const left = expiresAt - clock.now()
    if (left <= 0) {
      this.#fail(new Error('gave credentials that have expired'))
      return
    }
    const now = clock.monotonic()
    // Between 70 and 80 % of what is left, so that replicas that began together do not ask together.
    const pause = Math.min(left * (0.7 + 0.1 * random.next()), refreshMs)
    this.#nextAt = now + Math.max(Math.min(MIN_INTERVAL_MS, left / 2), pause)
    this.#notBefore = now + MIN_INTERVAL_MS
    if (this.#failures > 0) log('info', { credentials: this.#name }, 'credentials renewed after failures')
    this.#failures = 0
    // The same again, such as a file read anew: what is known of it stays.
    if (this.#current?.expiresAt === Infinity && sameSecrets(this.#current.secrets, credential.secrets)) return
    this.#current = new Renewed(this.#name, credential, now + left, () => this.#hurry())
  }

  /** What is there was refused: a new one is asked for, though not for each refusal. */
  #hurry(): void {
    this.#nextAt = Math.min(this.#nextAt, Math.max(this.#notBefore, this.#parts.clock.monotonic()))
  }

  #fail(error: unknown): void {
    this.#asking = false
    if (this.#closed) return
    const { clock, random, log } = this.#parts
    const now = clock.monotonic()
    const pause = Math.min(MAX_BACKOFF_MS, CHECK_MS * 2 ** Math.min(this.#failures, 10)) * (0.5 + 0.5 * random.next())
    this.#nextAt = now + pause
    this.#notBefore = this.#nextAt
    this.#failures++
    const usable = this.#current !== null && this.#current.expiresAt > now
    const cause = error instanceof Error ? error.message : 'unknown error'
    log(
      usable ? 'warn' : 'error',
      { credentials: this.#name, cause, retry_ms: Math.round(pause) },
      usable ? 'credentials could not be renewed; the last ones are still good' : 'no credentials for the provider',
    )
  }

  close(): void {
    this.#closed = true
    this.#stop()
    this.#onFirst()
  }
}

const sameSecrets = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((secret, i) => secret === b[i])
