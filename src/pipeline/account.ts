import type { Amounts, Lease } from '../contracts/admission.ts'
import type { Target } from '../contracts/routing.ts'
import type { Usage } from '../contracts/usage.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import { upstreamModel } from '../routing/table.ts'
import { NO_USAGE } from '../protocol/usage.ts'

/** A JSON event of a stream is about this long without its text. */
const EVENT_OVERHEAD_BYTES = 180
const BYTES_PER_TOKEN = 4
/** As planning counts (protocol/openai/request.ts). */
const PROMPT_BYTES_PER_TOKEN = 4

/** A stream may be so many tokens beyond what it has taken: taking at every token would cost more than it is worth. */
const EXTEND_STEP = 32

const NO_AMOUNTS: Amounts = { inputTokens: 0, outputTokens: 0, nanoUsd: 0 }

/**
 * What one request owes: what was reserved for it when it was admitted, and what each of its calls has cost. Calls
 * that failed over, were hedged or broke off count as well: the provider bills them.
 */
export class Account {
  readonly #x: Exchange
  lease: Lease | null = null
  inputTokens = 0
  outputTokens = 0
  /** Billionths of a US dollar. */
  nanoUsd = 0
  /** Some of it was not counted by a backend, or has an assumed price. */
  estimated = false
  /** A target without a known price was called. */
  unpriced = false
  /** Output tokens above which more must be taken; -1 = not asked yet. */
  #toExtend = -1
  /** Tokens that the request is expected to use, before it is admitted. */
  #expected: Amounts | null = null

  constructor(x: Exchange) {
    this.#x = x
  }

  /** What is to be known of the cost; '' = it is all counted and priced. */
  get note(): 'unpriced' | 'estimated' | '' {
    return this.unpriced ? 'unpriced' : this.estimated ? 'estimated' : ''
  }

  get #promptBytes(): number {
    return this.#x.needs.promptTokens * PROMPT_BYTES_PER_TOKEN
  }

  /** What a call is expected to use at most: at the dearest of the targets it may reach. */
  get expected(): Amounts {
    this.#expected ??= this.#expect()
    return this.#expected
  }

  #expect(): Amounts {
    const { match, needs, snapshot } = this.#x
    if (match === null) return NO_AMOUNTS
    const { pricing } = snapshot.policies
    const one = pricing.estimate(match.route.name, this.#promptBytes, needs.maxTokens)
    const tokens = { inputTokens: one.inputTokens, outputTokens: one.outputTokens * needs.choices }
    let nanoUsd = 0
    for (const target of match.route.targets)
      nanoUsd = Math.max(nanoUsd, this.#priceOf(target, upstreamModel(target, match), tokens))
    for (const name of match.route.fallbacks.any) {
      const other = snapshot.table.match(name)
      if (other === null) continue
      for (const target of other.route.targets)
        nanoUsd = Math.max(nanoUsd, this.#priceOf(target, upstreamModel(target, other), tokens))
    }
    return { ...tokens, nanoUsd }
  }

  #priceOf(target: Target, model: string, tokens: { inputTokens: number; outputTokens: number }): number {
    return this.#x.snapshot.policies.pricing.charge(target, model, { ...NO_USAGE, ...tokens }, true).nanoUsd
  }

  /** What a call of one target is expected to use. */
  expectedAt(target: Target, model: string): Amounts {
    const { inputTokens, outputTokens } = this.expected
    return { inputTokens, outputTokens, nanoUsd: this.#priceOf(target, model, { inputTokens, outputTokens }) }
  }

  /** Takes what the request needs from its limits. Throws or rejects with GatewayError when one has no more. */
  admit(): void | Promise<void> {
    const { limiter } = this.#x.snapshot.policies
    if (limiter === null) return undefined
    const { match } = this.#x
    const lease = limiter.admit({
      facts: this.#x,
      model: match?.route.name ?? '',
      target: null,
      estimate: this.expected,
    })
    if (lease instanceof Promise) return this.#whenAdmitted(lease)
    this.lease = lease
    return undefined
  }

  async #whenAdmitted(lease: Promise<Lease | null>): Promise<void> {
    this.lease = await lease
    // The client left meanwhile: nobody else would give it back.
    if (this.#x.over) this.settle()
  }

  /** Counts what a call has cost. Once for each call, however often asked. */
  charge(attempt: Attempt): void {
    const { record } = attempt
    if (record.nanoUsd >= 0) return
    record.nanoUsd = 0
    const counted = attempt.usage
    const usage = counted ?? this.#guess(attempt)
    if (usage === null) return
    const { pricing } = this.#x.snapshot.policies
    const charge = pricing.charge(attempt.target, attempt.model, usage, counted === null)
    record.nanoUsd = charge.nanoUsd
    record.usage = usage
    record.estimated = charge.estimated
    record.unpriced = !charge.priced
    this.nanoUsd += charge.nanoUsd
    this.inputTokens += usage.inputTokens
    this.outputTokens += usage.outputTokens
    if (charge.estimated) this.estimated = true
    if (!charge.priced) this.unpriced = true
    if (counted !== null && this.#x.match !== null) pricing.learn(this.#x.match.route.name, this.#promptBytes, counted)
  }

  /** Tokens of a call whose backend did not say them; null = it cannot have used any. */
  #guess(attempt: Attempt): Usage | null {
    // Refused, or never reached: nobody bills that. What is passed through unread has no tokens that could be guessed.
    if (!attempt.mayHaveUsed || this.#x.operation === 'passthrough') return null
    const { inputTokens } = this.expected
    return { ...NO_USAGE, inputTokens, outputTokens: this.#x.operation === 'embeddings' ? 0 : attempt.answerTokens() }
  }

  /** A stream goes on: takes what it has used beyond its reserve. False = a limit that stops streams has no more. */
  keepUp(attempt: Attempt): boolean {
    if (this.lease === null) return true
    const outputTokens = attempt.answerTokens()
    if (this.#toExtend < 0) this.#toExtend = this.expected.outputTokens
    if (outputTokens <= this.#toExtend) return true
    this.#toExtend = outputTokens + EXTEND_STEP
    const { inputTokens } = this.expected
    const nanoUsd = this.#priceOf(attempt.target, attempt.model, { inputTokens, outputTokens })
    return this.lease.extend({ inputTokens, outputTokens, nanoUsd })
  }

  /** Replaces what was reserved by what was used. Once. */
  settle(): void {
    const { lease } = this
    if (lease === null) return
    lease.settle({ inputTokens: this.inputTokens, outputTokens: this.outputTokens, nanoUsd: this.nanoUsd })
  }
}

/** Tokens of an answer of which so many events with so many bytes have come: one an event, or more where they are long. */
export const tokensOfEvents = (events: number, bytes: number): number =>
  Math.max(events, Math.ceil((bytes - events * EVENT_OVERHEAD_BYTES) / BYTES_PER_TOKEN))
