/** A simulated inference engine: continuous batching, one KV cache with the prefixes of earlier prompts in it. No sockets here. */

export interface PodOptions {
  /** Requests in a batch; more wait. Default 16. */
  readonly maxRunning?: number
  /** Blocks of 16 tokens that the KV cache holds. Default 4096. */
  readonly blocks?: number
  /** Tokens of prompts that are computed in a second. Default 20000. */
  readonly prefillRate?: number
  /** Ms of a step that makes one token for each request, and for each request in it. Default 15 and 0.5. */
  readonly stepMs?: number
  readonly stepMsEach?: number
  /** All times by this; 3 = a slow one. Default 1. */
  readonly slow?: number
  /** Times are divided by this: a faster clock. Default 1. */
  readonly timeScale?: number
  /** What answers depend on beside the prompt. Default 1. */
  readonly seed?: number
  /** Adapters that are loaded at a time; 0 = none. Default 0. */
  readonly maxLora?: number
}

/** A token is four characters: prompts are long, and nobody reads the answers. */
export const TOKEN_CHARS = 4
export const BLOCK_TOKENS = 16
const BLOCK_CHARS = BLOCK_TOKENS * TOKEN_CHARS
/** Prompt tokens that one step computes at most, so that answers under way go on (chunked prefill). */
const CHUNK_TOKENS = 2048
const WORDS = ['warp', 'weft', 'loom', 'reed', 'pick', 'bobbin', 'shed', 'twill', 'heddle', 'selvage']

export interface PodStats {
  readonly running: number
  readonly waiting: number
  /** Of the cache in use by requests under way, 0..1. */
  readonly kv: number
  readonly blocks: number
  /** Tokens of prompts that came, and of them those that were cached: as vLLM's prefix_cache_queries and prefix_cache_hits. */
  readonly queriedTokens: number
  readonly hitTokens: number
  readonly generatedTokens: number
  readonly finished: number
  /** The most that ran and waited at a time. */
  readonly peak: number
  readonly adapters: readonly string[]
}

interface Sequence {
  readonly prompt: string
  readonly answer: string
  readonly answerTokens: number
  readonly model: string
  readonly on: SequenceEvents
  hashes: readonly number[]
  /** Prompt tokens that are still to be computed. */
  uncached: number
  made: number
  over: boolean
}

export interface SequenceEvents {
  /** Its first token, with what of the prompt was cached. */
  first(cachedTokens: number): void
  /** made: tokens so far. */
  token(made: number, total: number): void
  end(): void
}

/** Chained: a block's hash stands for all before it as well. 53 bits. */
export function blocksOf(text: string): number[] {
  const hashes: number[] = []
  let low = 0x811c9dc5 | 0
  let high = 0x1b873593 | 0
  const whole = text.length - (text.length % BLOCK_CHARS)
  for (let at = 0; at < whole; at++) {
    const code = text.charCodeAt(at)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high ^ code, 0x5bd1e995)
    if ((at + 1) % BLOCK_CHARS === 0) hashes.push((high >>> 11) * 4294967296 + (low >>> 0))
  }
  return hashes
}

export class PodEngine {
  readonly #options: Required<PodOptions>
  readonly #after: (ms: number, run: () => void) => void
  readonly #running = new Set<Sequence>()
  readonly #waiting: Sequence[] = []
  /** Blocks in use by requests under way, by hash, with how many use them. */
  readonly #used = new Map<number, number>()
  /** Blocks that nobody uses, least recently used first. */
  readonly #idle = new Set<number>()
  readonly #adapters = new Set<string>()
  #private = 0
  #stepping = false
  #queried = 0
  #hit = 0
  #generated = 0
  #finished = 0
  #peak = 0

  /** after: calls once when so many ms have passed. */
  constructor(options: PodOptions, after: (ms: number, run: () => void) => void) {
    this.#after = after
    this.#options = {
      maxRunning: 16,
      blocks: 4096,
      prefillRate: 20_000,
      stepMs: 15,
      stepMsEach: 0.5,
      slow: 1,
      timeScale: 1,
      seed: 1,
      maxLora: 0,
      ...options,
    }
  }

  /** The answer's text is known at once, its tokens come with time. Returns what ends it early. */
  submit(
    model: string,
    prompt: string,
    tokens: number,
    on: SequenceEvents,
  ): { readonly answer: string; cancel(): void } {
    const answer = this.#answer(prompt, tokens)
    const sequence: Sequence = {
      prompt,
      answer,
      answerTokens: tokens,
      model,
      on,
      hashes: [],
      uncached: 0,
      made: 0,
      over: false,
    }
    this.#waiting.push(sequence)
    this.#peak = Math.max(this.#peak, this.#running.size + this.#waiting.length)
    this.#step()
    return { answer, cancel: () => this.#end(sequence) }
  }

  stats(): PodStats {
    return {
      running: this.#running.size,
      waiting: this.#waiting.length,
      kv: Math.min(1, (this.#used.size + this.#private) / this.#options.blocks),
      blocks: this.#options.blocks,
      queriedTokens: this.#queried,
      hitTokens: this.#hit,
      generatedTokens: this.#generated,
      finished: this.#finished,
      peak: this.#peak,
      adapters: [...this.#adapters],
    }
  }

  /** An empty cache and counters from zero; what is under way goes on. */
  reset(): void {
    this.#idle.clear()
    this.#queried = this.#hit = this.#generated = this.#finished = this.#peak = 0
  }

  #answer(prompt: string, tokens: number): string {
    let state = this.#options.seed | 0
    for (let at = Math.max(0, prompt.length - 256); at < prompt.length; at++)
      state = Math.imul(state ^ prompt.charCodeAt(at), 0x01000193)
    let text = ''
    while (text.length < tokens * TOKEN_CHARS) {
      state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5
      text += `${WORDS[(state >>> 8) % WORDS.length]!} `
    }
    return text.slice(0, tokens * TOKEN_CHARS)
  }

  // ── steps ─────────────────────────────────────────────────────────────────
  #step(): void {
    if (this.#stepping) return
    this.#admit()
    if (this.#running.size === 0) return
    this.#stepping = true
    const { stepMs, stepMsEach, prefillRate, slow, timeScale } = this.#options
    let budget = CHUNK_TOKENS
    let computed = 0
    const done: Sequence[] = []
    for (const sequence of this.#running) {
      if (sequence.uncached > 0) {
        const part = Math.min(budget, sequence.uncached)
        sequence.uncached -= part
        budget -= part
        computed += part
        if (sequence.uncached > 0) continue
      }
      done.push(sequence)
    }
    const ms = stepMs + stepMsEach * this.#running.size + (computed / prefillRate) * 1000
    this.#after((ms * slow) / timeScale, () => {
      this.#stepping = false
      for (const sequence of done) this.#make(sequence)
      this.#step()
    })
  }

  #make(sequence: Sequence): void {
    if (sequence.over) return
    if (sequence.made === 0) {
      // Computed now: from here on others can use it.
      this.#share(sequence)
      sequence.on.first(Math.max(0, this.#cachedOf.get(sequence) ?? 0))
    }
    sequence.made++
    this.#generated++
    sequence.on.token(sequence.made, sequence.answerTokens)
    if (sequence.made < sequence.answerTokens) return
    this.#finished++
    this.#end(sequence)
    sequence.on.end()
  }

  // ── the cache ─────────────────────────────────────────────────────────────
  readonly #cachedOf = new WeakMap<Sequence, number>()

  /** First come, first served: one that finds no room lets nobody pass. */
  #admit(): void {
    const { maxRunning, blocks, maxLora } = this.#options
    while (this.#waiting.length > 0 && this.#running.size < maxRunning) {
      const sequence = this.#waiting[0]!
      const hashes = blocksOf(sequence.prompt)
      const total = Math.ceil((sequence.prompt.length / TOKEN_CHARS + sequence.answerTokens) / BLOCK_TOKENS)
      let cached = 0
      while (cached < hashes.length && (this.#used.has(hashes[cached]!) || this.#idle.has(hashes[cached]!))) cached++
      const alone = this.#running.size === 0
      if (this.#used.size + this.#private + (total - cached) > blocks && !alone) return
      this.#waiting.shift()
      this.#private += total - cached
      sequence.hashes = hashes.slice(0, cached)
      for (const hash of sequence.hashes) this.#use(hash)
      this.#evict()
      const tokens = Math.ceil(sequence.prompt.length / TOKEN_CHARS)
      const hit = Math.min(cached * BLOCK_TOKENS, tokens - 1)
      this.#queried += tokens
      this.#hit += hit
      this.#cachedOf.set(sequence, hit)
      sequence.uncached = tokens - hit
      if (maxLora > 0) this.#load(sequence.model, maxLora)
      this.#running.add(sequence)
    }
  }

  #load(model: string, most: number): void {
    this.#adapters.delete(model)
    this.#adapters.add(model)
    for (const oldest of this.#adapters) if (this.#adapters.size > most) this.#adapters.delete(oldest)
  }

  #use(hash: number): void {
    this.#idle.delete(hash)
    this.#used.set(hash, (this.#used.get(hash) ?? 0) + 1)
  }

  #evict(): void {
    for (const oldest of this.#idle) {
      if (this.#used.size + this.#private + this.#idle.size <= this.#options.blocks) return
      this.#idle.delete(oldest)
    }
  }

  /** Its own blocks become blocks that others can find. */
  #share(sequence: Sequence): void {
    const all = blocksOf(sequence.prompt)
    const own = all.slice(sequence.hashes.length)
    this.#private -= own.length
    for (const hash of own) this.#use(hash)
    sequence.hashes = all
  }

  #end(sequence: Sequence): void {
    if (sequence.over) return
    sequence.over = true
    const at = this.#waiting.indexOf(sequence)
    if (at >= 0) {
      this.#waiting.splice(at, 1)
      return
    }
    this.#running.delete(sequence)
    const total = Math.ceil((sequence.prompt.length / TOKEN_CHARS + sequence.answerTokens) / BLOCK_TOKENS)
    this.#private -= total - sequence.hashes.length
    // Ends go before beginnings: nobody can use an end whose beginning is gone.
    for (const hash of sequence.hashes.toReversed()) {
      const users = this.#used.get(hash)! - 1
      if (users > 0) this.#used.set(hash, users)
      else {
        this.#used.delete(hash)
        this.#idle.add(hash)
      }
    }
    this.#evict()
  }
}
