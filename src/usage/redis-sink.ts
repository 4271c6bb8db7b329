import type { StreamStore } from '../contracts/usage.ts'

const MAX_QUEUED = 10_000
/** Commands under way at a time. */
const BATCH = 100
const RETRY_MS = 1000

export interface RedisSinkOptions {
  readonly store: StreamStore
  readonly stream: string
  readonly maxLength: number
  readonly sleep: (ms: number) => Promise<void>
}

/**
 * A line a record, field `record`. While Redis is away up to 10,000 lines wait, further ones are dropped and counted. A
 * line whose answer got lost is sent again: each arrives at least once, and readers know doubles by `request_id`.
 */
export class RedisSink {
  readonly #options: RedisSinkOptions
  #queue: string[] = []
  #running: Promise<void> | null = null
  /** Somebody waits for the end: what fails now is given up. */
  #flushing = 0
  dropped = 0

  constructor(options: RedisSinkOptions) {
    this.#options = options
  }

  write(line: string): void {
    if (this.#queue.length >= MAX_QUEUED) this.dropped++
    else this.#queue.push(line)
    this.#running ??= this.#drain().finally(() => {
      this.#running = null
    })
  }

  async flush(): Promise<void> {
    this.#flushing++
    while (this.#running !== null) await this.#running
    this.#flushing--
  }

  async #drain(): Promise<void> {
    const { store, stream, maxLength, sleep } = this.#options
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, BATCH)
      this.#queue = this.#queue.slice(BATCH)
      const results = await Promise.allSettled(batch.map(async (line) => store.xadd(stream, maxLength, 'record', line)))
      const failed = batch.filter((_, i) => results[i]!.status === 'rejected')
      if (failed.length === 0) continue
      if (this.#flushing > 0) this.dropped += failed.length
      else {
        this.#queue = [...failed, ...this.#queue]
        await sleep(RETRY_MS)
      }
    }
  }
}
