import type { Amounts, Estimate, Lease } from '../contracts/admission.ts'
import type { Operation } from '../contracts/config.ts'
import type { RouteMatch, Target } from '../contracts/routing.ts'
import type { Usage } from '../contracts/usage.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import { upstreamModel } from '../routing/table.ts'
import { isRaw, mayPass } from '../protocol/operations.ts'
import { NO_USAGE } from '../protocol/usage.ts'

/** A JSON event of a stream is at most about this long without its text: OpenAI's have 230 to 400 bytes a token. */
const EVENT_OVERHEAD_BYTES = 400
const BYTES_PER_TOKEN = 4

/** A stream may be so many tokens beyond what it has taken: taking at every token would cost more than it is worth. */
const EXTEND_STEP = 32

/** Of recordings whose length nobody says: MP3 at 128 kbit/s. */
const AUDIO_BYTES_PER_SECOND = 16_000

/** Answered with numbers, not with tokens. */
const VECTORS: ReadonlySet<Operation> = new Set<Operation>(['embeddings', 'rerank'])

const NO_AMOUNTS: Amounts = { inputTokens: 0, outputTokens: 0, nanoUsd: 0 }

/** Passed-through event streams carry so many bytes a token, their frames included: rather too few than too many. */
const RAW_STREAM_BYTES_PER_TOKEN = 40

/** Ends of a call after a good status with which the answer was lost on its way, or dropped here: it was made. */
const LOST: ReadonlySet<string> = new Set([
  'reset',
  'protocol',
  'aborted',
  'stream_cut',
  'event_cut',
  'invalid_event',
  'invalid_utf8',
  'answer_too_large',
  'event_too_large',
  'bad_encoding',
])

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
  #expected: Estimate | null = null

  constructor(x: Exchange) {
    this.#x = x
  }

  /** What is to be known of the cost; '' = it is all counted and priced. */
  get note(): 'unpriced' | 'estimated' | '' {
    return this.unpriced ? 'unpriced' : this.estimated ? 'estimated' : ''
  }

  /** Of text: what it holds of files, images and recordings is not counted by its bytes. */
  get #promptBytes(): number {
    const { needs, operation, formModel, bytesIn } = this.#x
    // Which fields of another API hold the prompt nobody here knows: all of the body is taken for it.
    return (operation === 'passthrough' || operation === 'rerank') && formModel === '' && bytesIn > 0
      ? Math.max(0, bytesIn - needs.attachedBytes)
      : needs.textBytes
  }

  /** Requests for files, batches and the like: no model is asked, so there are no tokens. */
  get #asksNoModel(): boolean {
    const { operation, model, mayCost, counting, upgrade } = this.#x
    return counting || (isRaw(operation) && upgrade === null && (model === '' || !mayCost))
  }

  /** What estimates are learned by: models that share a pattern differ as models do. */
  #learnedAs({ route, wildcard }: RouteMatch): string {
    const name = wildcard === '' ? route.name : this.#x.model
    const { operation } = this.#x
    return mayPass(operation) || operation === 'embeddings' ? `${name} ${operation}` : name
  }

  /** What a call is expected to use at most: at the dearest of the targets it may reach. */
  get expected(): Estimate {
    this.#expected ??= this.#expect()
    return this.#expected
  }

  /** Tokens of the prompt, estimated also where none are used. */
  get promptTokens(): number {
    const { match, needs, snapshot, fields } = this.#x
    if (match === null) return 0
    const bytes = this.#promptBytes || (fields?.body.length ?? 0)
    return snapshot.policies.pricing.estimate(this.#learnedAs(match), bytes, 0).inputTokens + needs.attachedTokens
  }

  #expect(): Estimate {
    const { match, needs, snapshot, operation } = this.#x
    if (match === null || this.#asksNoModel) return NO_AMOUNTS
    const { fallbacks } = match.route
    const one = snapshot.policies.pricing.estimate(this.#learnedAs(match), this.#promptBytes, needs.maxTokens)
    const tokens = {
      inputTokens: one.inputTokens + needs.attachedTokens,
      // Fractions are for the backend to refuse; what is counted is whole.
      outputTokens: VECTORS.has(operation) ? 0 : Math.ceil(one.outputTokens * needs.choices),
    }
    let nanoUsd = this.#dearest(match, tokens)
    for (const names of [fallbacks.any, fallbacks.contextWindow, fallbacks.contentPolicy])
      for (const name of names) {
        const other = snapshot.table.match(name)
        if (other !== null) nanoUsd = Math.max(nanoUsd, this.#dearest(other, tokens))
      }
    return { ...tokens, nanoUsd, guessed: needs.maxTokens === 0 }
  }

  #dearest(match: RouteMatch, tokens: { inputTokens: number; outputTokens: number }): number {
    let nanoUsd = 0
    for (const target of match.route.targets)
      nanoUsd = Math.max(nanoUsd, this.#priceOf(target, upstreamModel(target, match), tokens))
    return nanoUsd
  }

  #priceOf(target: Target, model: string, tokens: { inputTokens: number; outputTokens: number }): number {
    return this.#x.snapshot.policies.pricing.charge(target, model, { ...NO_USAGE, ...tokens }, true).nanoUsd
  }

  /** What a call of one target is expected to use. */
  expectedAt(target: Target, model: string): Estimate {
    const { expected } = this
    return expected === NO_AMOUNTS ? expected : { ...expected, nanoUsd: this.#priceOf(target, model, expected) }
  }

  /** Takes what the request needs from its limits. Throws or rejects with GatewayError when one has no more. */
  admit(): void | Promise<void> {
    const { limiter } = this.#x
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
    const usage = counted === null ? this.#guess(attempt) : this.#completed(attempt, counted)
    if (usage === null) return
    const { pricing } = this.#x.snapshot.policies
    const charge = pricing.charge(attempt.target, attempt.model, usage, usage !== counted)
    record.nanoUsd = charge.nanoUsd
    record.usage = usage
    record.estimated = charge.estimated
    record.unpriced = !charge.priced
    this.nanoUsd += charge.nanoUsd
    this.inputTokens += usage.inputTokens
    this.outputTokens += usage.outputTokens
    if (charge.estimated) this.estimated = true
    if (!charge.priced) this.unpriced = true
    if (counted !== null) this.#learn(attempt, counted)
  }

  /** Only of a whole answer to the request as it came: what broke off, or goes on with another's text, says less. */
  #learn({ record: { result } }: Attempt, counted: Usage): void {
    const { match, continued, snapshot } = this.#x
    // An answer in one piece is charged before it is sent, while its call is still open.
    if (match === null || continued > 0 || (result !== 'ok' && result !== 'open')) return
    const { name, bytes } = this.lesson(match)
    snapshot.policies.pricing.learn(name, bytes, counted)
  }

  /** By what estimates learn from a call: its name, and the bytes of its prompt's text; 0 = they do not tell. */
  lesson(match: RouteMatch): { readonly name: string; readonly bytes: number } {
    return { name: this.#learnedAs(match), bytes: this.#x.needs.attachedTokens > 0 ? 0 : this.#promptBytes }
  }

  /** Tokens of a call whose backend did not say them; null = it cannot have used any. */
  #guess(attempt: Attempt): Usage | null {
    // Refused, or never reached: nobody bills that. Neither are files and the like.
    if (!hasWorked(attempt) || this.#asksNoModel) return null
    const { inputTokens } = this.expected
    const { operation, bytesIn, characters } = this.#x
    // The form is mostly the recording.
    const audioSeconds = operation === 'transcriptions' ? Math.ceil(bytesIn / AUDIO_BYTES_PER_SECOND) : 0
    return { ...NO_USAGE, inputTokens, outputTokens: this.#answerTokens(attempt), characters, audioSeconds }
  }

  /** A count that came early is not the end of an answer that broke off later. */
  #completed(attempt: Attempt, counted: Usage): Usage {
    const { result } = attempt.record
    if (result === 'ok' || result === 'open' || !attempt.committed) return counted
    const outputTokens = this.#answerTokens(attempt)
    return outputTokens > counted.outputTokens ? { ...counted, outputTokens } : counted
  }

  #answerTokens(attempt: Attempt): number {
    const { operation, bytesOut } = this.#x
    if (VECTORS.has(operation)) return 0
    if (!isRaw(operation)) return attempt.answerTokens()
    const type = String(attempt.headers['content-type'] ?? '')
    // Sound and images have no tokens that their size would tell.
    if (!attempt.committed || !/json|event-stream/.test(type)) return 0
    return Math.ceil(bytesOut / (type.includes('json') ? BYTES_PER_TOKEN : RAW_STREAM_BYTES_PER_TOKEN))
  }

  /** A stream goes on: takes what it has used beyond its reserve. False = a limit that stops streams has no more. */
  keepUp(attempt: Attempt): boolean {
    // One that broke off is charged already: while another goes on for it, nothing is used that is not counted.
    if ((this.lease === null && !attempt.limited) || attempt.record.nanoUsd >= 0) return true
    // With what calls before this one have cost: those that broke off, or lost.
    const outputTokens = this.outputTokens + attempt.answerTokens()
    // Of a guess limits may have taken less than was asked for.
    if (this.#toExtend < 0) this.#toExtend = this.expected.guessed === true ? 0 : this.expected.outputTokens
    if (outputTokens <= this.#toExtend) return true
    this.#toExtend = outputTokens + EXTEND_STEP
    const tokens = { inputTokens: this.expected.inputTokens, outputTokens: outputTokens - this.outputTokens }
    const nanoUsd = this.#priceOf(attempt.target, attempt.model, tokens)
    // Both are told, whatever the first says: what is used is used.
    const here = attempt.extendPermit({ ...tokens, nanoUsd })
    const inputTokens = this.inputTokens + tokens.inputTokens
    const all = this.lease?.extend({ inputTokens, outputTokens, nanoUsd: this.nanoUsd + nanoUsd }) ?? true
    return here && all
  }

  /** Replaces what was reserved by what was used. Once. */
  settle(): void {
    const { lease } = this
    if (lease === null) return
    lease.settle({ inputTokens: this.inputTokens, outputTokens: this.outputTokens, nanoUsd: this.nanoUsd })
  }
}

/** The backend has made an answer, or at least read the prompt. */
const hasWorked = (attempt: Attempt): boolean => {
  const { result, status } = attempt.record
  // Open: a whole answer that is about to be sent.
  return attempt.mayHaveUsed || result === 'open' || (status >= 200 && status < 300 && LOST.has(result))
}

/**
 * Tokens of an answer of which so many events with so many bytes have come: one an event, or more where they are long.
 * least: bytes of its shortest event, which shows what is around the text.
 */
export const tokensOfEvents = (events: number, bytes: number, least = EVENT_OVERHEAD_BYTES): number =>
  Math.max(events, Math.ceil((bytes - events * Math.min(least, EVENT_OVERHEAD_BYTES)) / BYTES_PER_TOKEN))
