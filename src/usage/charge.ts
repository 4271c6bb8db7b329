import type { CallRates, Price, TokenRates } from '../contracts/config.ts'
import type { Charge, Usage } from '../contracts/usage.ts'

export interface ChargeOptions {
  /** Overrides the tier that the usage names: for requests whose answer does not say. */
  readonly tier?: string
  /** The cost that the provider reports is its bill: it goes before the price. */
  readonly preferReported?: boolean
  /** The tokens were estimated, or the price assumed. */
  readonly estimated?: boolean
}

/**
 * Trillionths of a dollar (pico-dollars) per token: a price of one millionth of a dollar per million tokens is the
 * least that fits, so sums are whole numbers and exact.
 */
interface Rates {
  readonly input: number
  readonly cached: number
  readonly write5m: number
  readonly write1h: number
  readonly audioInput: number
  readonly imageInput: number
  readonly output: number
  readonly reasoning: number
  readonly audioOutput: number
  readonly imageOutput: number
}

interface RateTable {
  readonly base: Rates
  /** Highest threshold first. */
  readonly long: readonly { readonly above: number; readonly rates: Rates }[]
}

interface Book {
  readonly list: RateTable
  readonly tiers: ReadonlyMap<string, RateTable>
  /** Pico-dollars each. */
  readonly request: number
  readonly search: number
  readonly rerankUnit: number
  readonly image: number
  readonly minute: number
  readonly character: number
}

const PICO_PER_NANO = 1000
const perToken = (usdPerMillion: number, factor: number): number => Math.round(usdPerMillion * factor * 1e6)
const each = (usd: number | undefined): number => Math.round((usd ?? 0) * 1e12)

/** Where a kind has no price of its own it costs what the kind it is counted in costs. */
function toRates(r: TokenRates, factor: number): Rates {
  const write5m = r.cacheWrite5m ?? r.input
  return {
    input: perToken(r.input, factor),
    cached: perToken(r.cachedInput ?? r.input, factor),
    write5m: perToken(write5m, factor),
    write1h: perToken(r.cacheWrite1h ?? write5m, factor),
    audioInput: perToken(r.audioInput ?? r.input, factor),
    imageInput: perToken(r.imageInput ?? r.input, factor),
    output: perToken(r.output, factor),
    reasoning: perToken(r.reasoning ?? r.output, factor),
    audioOutput: perToken(r.audioOutput ?? r.output, factor),
    imageOutput: perToken(r.imageOutput ?? r.output, factor),
  }
}

const toTable = (r: CallRates, factor: number): RateTable => ({
  base: toRates(r, factor),
  long: [...(r.longContext ?? [])]
    .sort((a, b) => b.above - a.above)
    .map((step) => ({ above: step.above, rates: toRates(step, factor) })),
})

const toBook = (price: Price): Book => ({
  list: toTable(price, 1),
  tiers: new Map(
    Object.entries(price.tiers ?? {}).map(([name, tier]) => [
      name,
      typeof tier === 'number' ? toTable(price, tier) : toTable(tier, 1),
    ]),
  ),
  request: each(price.perRequest),
  search: each(price.perSearch),
  rerankUnit: each(price.perRerankUnit),
  image: each(price.perImage),
  minute: each(price.perMinute),
  character: perToken(price.perMillionCharacters ?? 0, 1),
})

/** Prices are part of a configuration and go with it. */
const books = new WeakMap<Price, Book>()

function bookOf(price: Price): Book {
  const known = books.get(price)
  if (known !== undefined) return known
  const book = toBook(price)
  books.set(price, book)
  return book
}

function ratesFor(book: Book, inputTokens: number, tier: string): Rates {
  const table = tier === '' ? book.list : (book.tiers.get(tier) ?? book.list)
  for (const step of table.long) if (inputTokens > step.above) return step.rates
  return table.base
}

/** A sum of products, exact also where it no longer fits a double's whole numbers. */
class PicoSum {
  #sum = 0
  #big = 0n

  add(count: number, pico: number): void {
    if (count <= 0 || pico <= 0) return
    const part = count * pico
    if (part + this.#sum <= Number.MAX_SAFE_INTEGER) this.#sum += part
    else this.#big += BigInt(Math.ceil(count)) * BigInt(pico)
  }

  /** Rounded up to a whole nano-dollar. */
  nano(): number {
    if (this.#big === 0n) {
      const rest = this.#sum % PICO_PER_NANO
      return (this.#sum - rest) / PICO_PER_NANO + (rest > 0 ? 1 : 0)
    }
    const nano = (this.#big + BigInt(this.#sum) + 999n) / 1000n
    return nano > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(nano)
  }
}

const MS_PER_MINUTE = 60_000

/**
 * What a call cost at a price: the parts of its usage times their rates, added exactly, then rounded up once to a whole
 * nano-dollar (a billionth). Audio is charged by the millisecond. A price of null is no price: 0, `priced: false`,
 * unless the provider reports what it bills. An unknown tier costs the list price.
 */
export function chargeOf(price: Price | null, usage: Usage, options: ChargeOptions = {}): Charge {
  const estimated = options.estimated === true
  if (usage.reportedUsd >= 0 && options.preferReported === true)
    return { nanoUsd: Math.ceil(Number((usage.reportedUsd * 1e9).toFixed(3))), estimated: false, priced: true }
  if (price === null) return { nanoUsd: 0, estimated, priced: false }
  const book = bookOf(price)
  const rates = ratesFor(book, usage.inputTokens, options.tier ?? usage.tier)
  const sum = new PicoSum()
  let text = usage.inputTokens
  const take = (part: number): number => {
    const n = Math.min(part, text)
    text -= n
    return n
  }
  sum.add(take(usage.cachedInputTokens), rates.cached)
  sum.add(take(usage.cacheWrite1hTokens), rates.write1h)
  sum.add(take(usage.cacheWrite5mTokens), rates.write5m)
  sum.add(take(usage.audioInputTokens), rates.audioInput)
  sum.add(take(usage.imageInputTokens), rates.imageInput)
  sum.add(text, rates.input)
  text = usage.outputTokens
  sum.add(take(usage.audioOutputTokens), rates.audioOutput)
  sum.add(take(usage.imageOutputTokens), rates.imageOutput)
  sum.add(take(usage.reasoningTokens), rates.reasoning)
  sum.add(text, rates.output)
  sum.add(1, book.request)
  sum.add(usage.searches, book.search)
  sum.add(usage.rerankUnits, book.rerankUnit)
  sum.add(usage.images, book.image)
  sum.add(usage.characters, book.character)
  if (usage.audioSeconds > 0 && book.minute > 0)
    sum.add(1, Math.ceil((Math.ceil(usage.audioSeconds * 1000) * book.minute) / MS_PER_MINUTE))
  return { nanoUsd: sum.nano(), estimated, priced: true }
}
