import type { SpanData, SpanSink } from '../../contracts/trace.ts'
import type { SpanChunk, TelemetryLink } from './link.ts'
import { everyUnref } from '../../core/every.ts'
import { Counts } from './link.ts'
import { ProtoWriter } from './proto-writer.ts'
import { spanJson } from './span-json.ts'
import { writeSpan } from './span-proto.ts'

/**
 * Spans go to the telemetry thread in parts of about so many, or so many bytes, whichever comes first. A message wakes that
 * thread and takes a tenth of a millisecond here, so they are not sent singly; they are encoded long before.
 */
export const CHUNK_SPANS = 256
const CHUNK_BYTES = 256 * 1024
/** And at the latest after this, ms. */
const CHUNK_MS = 1000
/** Of all threads, handed over and not yet exported: with content a span has tens of kilobytes. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024
/** One request gives no more: what it encodes at once is bounded, however often it was retried. */
export const MAX_SPANS_A_REQUEST = 48

interface Options {
  /** Runs a task again and again until told to stop; default: a timer that does not hold up the process. */
  readonly every?: (task: () => void, ms: number) => () => void
}

/**
 * Turns finished spans into bytes at once, in the thread that made them, and hands the bytes to the telemetry thread.
 * That is far cheaper than handing over objects, and spread over the requests: no batch is ever encoded here, which is
 * what stalls event loops (512 spans take more than 15 ms).
 */
export class SpanQueue implements SpanSink {
  readonly #link: TelemetryLink
  readonly #counts: Counts
  readonly #stop: () => void
  readonly #writer = new ProtoWriter()
  #texts: string[] = []
  #textBytes = 0
  readonly #chunkSpans: number
  #spans = 0
  #closed = false

  constructor(link: TelemetryLink, { every = everyUnref }: Options = {}) {
    this.#link = link
    this.#counts = new Counts(link.counts)
    this.#chunkSpans = Math.min(CHUNK_SPANS, link.batch.maxBatch)
    this.#stop = every(() => this.flush(), Math.min(CHUNK_MS, link.batch.delayMs))
  }

  write(spans: readonly SpanData[]): void {
    const wanted = Math.min(spans.length, MAX_SPANS_A_REQUEST)
    const { queued, queuedBytes } = this.#counts
    const room =
      !this.#closed && queued + this.#spans + wanted <= this.#link.batch.maxQueue && queuedBytes < MAX_QUEUED_BYTES
    let written = 0
    if (room) for (let i = 0; i < wanted; i++) if (this.#encode(spans[i]!)) written++
    this.#spans += written
    if (written < spans.length) this.#counts.drop(spans.length - written)
    if (this.#spans >= this.#chunkSpans || this.#writer.length + this.#textBytes >= CHUNK_BYTES) this.flush()
  }

  #encode(span: SpanData): boolean {
    const before = this.#writer.length
    try {
      if (this.#link.json) {
        const text = spanJson(span)
        this.#texts.push(text)
        this.#textBytes += text.length
      } else writeSpan(this.#writer, span)
      return true
    } catch {
      // A span that cannot be written must not take the request with it, nor the spans before it.
      this.#writer.truncate(before)
      return false
    }
  }

  /** Hands over what is there. */
  flush(): void {
    const spans = this.#spans
    if (spans === 0) return
    this.#spans = 0
    if (this.#link.json) {
      const data = this.#texts.join(',')
      this.#counts.handOver(spans, data.length)
      this.#texts = []
      this.#textBytes = 0
      this.#link.port.postMessage({ spans, data } satisfies SpanChunk)
    } else {
      const data = this.#writer.take()
      this.#counts.handOver(spans, data.length)
      this.#link.port.postMessage({ spans, data } satisfies SpanChunk, [data.buffer])
    }
  }

  /** flush(), then frees its timer and its port. */
  close(): void {
    this.flush()
    this.#closed = true
    this.#stop()
    this.#link.port.close()
  }
}
