import type { SpanBatchConfig } from '../../contracts/config-tracing.ts'
import type { Counts, SpanChunk } from './link.ts'
import type { Origin } from './span-proto.ts'
import type { Transport } from './transport.ts'
import { ProtoWriter } from './proto-writer.ts'
import { requestJson } from './span-json.ts'
import { writeRequest } from './span-proto.ts'
import { CONCURRENCY } from './transport.ts'

export interface SpanExportParts {
  readonly transport: Transport
  readonly counts: Counts
  readonly batch: SpanBatchConfig
  readonly origin: Origin
  /** Told of each batch: what went wrong; null = it arrived. */
  readonly onResult: (error: string | null, lost: number) => void
}

/** Collects the parts that all threads hand over and sends them on in batches. Lives in the telemetry thread. */
export class SpanExport {
  readonly #parts: SpanExportParts
  readonly #writer = new ProtoWriter()
  #waiting: SpanChunk[] = []
  #spans = 0
  #sending = 0
  #idle: (() => void)[] = []

  constructor(parts: SpanExportParts) {
    this.#parts = parts
  }

  add(chunk: SpanChunk): void {
    this.#waiting.push(chunk)
    this.#spans += chunk.spans
    if (this.#spans >= this.#parts.batch.maxBatch) this.send()
  }

  /** Sends what waits, as far as not too much is under way already. */
  send(): void {
    while (this.#waiting.length > 0 && this.#sending < CONCURRENCY) {
      const batch = this.#take()
      this.#sending++
      void this.#export(batch).finally(() => {
        this.#sending--
        if (this.#waiting.length === 0 && this.#sending === 0) for (const done of this.#idle.splice(0)) done()
        // What came meanwhile and is a batch, or was left over by a flush.
        else if (this.#spans >= this.#parts.batch.maxBatch || this.#idle.length > 0) this.send()
      })
    }
  }

  #take(): SpanChunk[] {
    let spans = 0
    let n = 0
    // At least one part, and then no more than fit.
    while (n < this.#waiting.length && (n === 0 || spans + this.#waiting[n]!.spans <= this.#parts.batch.maxBatch))
      spans += this.#waiting[n++]!.spans
    this.#spans -= spans
    return this.#waiting.splice(0, n)
  }

  async #export(batch: readonly SpanChunk[]): Promise<void> {
    const { transport, counts, onResult } = this.#parts
    const spans = batch.reduce((sum, chunk) => sum + chunk.spans, 0)
    const bytes = batch.reduce((sum, { data }) => sum + data.length, 0)
    const { error, rejected } = await transport.send(this.#request(batch))
    const lost = error === null ? Math.min(spans, rejected) : spans
    counts.done(spans, lost, bytes)
    onResult(error, lost)
  }

  #request(batch: readonly SpanChunk[]): Uint8Array {
    const { origin } = this.#parts
    const texts = batch.map(({ data }) => data).filter((data) => typeof data === 'string')
    if (texts.length > 0) return requestJson(origin, texts)
    return writeRequest(
      this.#writer,
      origin,
      batch.map(({ data }) => data as Uint8Array),
    )
  }

  /** Resolves when everything handed over so far is out or lost. */
  flush(): Promise<void> {
    this.send()
    if (this.#waiting.length === 0 && this.#sending === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#idle.push(resolve)
    })
  }
}
