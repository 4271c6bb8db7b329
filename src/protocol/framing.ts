import type { Wire } from '../contracts/dialect.ts'
import { EventStreamReader } from './bedrock/event-stream.ts'
import { LineReader } from './lines.ts'

/** One event of a stream that is no SSE. name: '' = it has none. */
export interface FramedEvent {
  readonly name: string
  readonly data: string
}

/** Finds events in a body that comes in pieces. After each push, ask next() until it is null. */
export interface Framer {
  /** Why no more can be read after what next() still gives, such as `event_too_large`; null = all is well. */
  push(chunk: Buffer): string | null
  next(): FramedEvent | null
  /** The body has ended: what stands after the last event's end; null = nothing. */
  rest(): FramedEvent | null
  /** An event has begun and not ended. */
  readonly waits: boolean
}

class LineFramer implements Framer {
  readonly #lines: LineReader

  constructor(bound: number) {
    this.#lines = new LineReader(bound)
  }
  push(chunk: Buffer): string | null {
    return this.#lines.push(chunk) ? null : 'event_too_large'
  }
  next(): FramedEvent | null {
    for (let line = this.#lines.next(); line !== null; line = this.#lines.next())
      if (line.trim() !== '') return { name: '', data: line }
    return null
  }
  /** A body need not end with a line feed. */
  rest(): FramedEvent | null {
    const data = this.#lines.rest()
    return data.trim() === '' ? null : { name: '', data }
  }
  get waits(): boolean {
    return this.#lines.waits
  }
}

class MessageFramer implements Framer {
  readonly #messages: EventStreamReader

  constructor(bound: number) {
    this.#messages = new EventStreamReader(bound)
  }
  push(chunk: Buffer): string | null {
    return this.#messages.push(chunk)
  }
  next(): FramedEvent | null {
    return this.#messages.next()
  }
  rest(): null {
    return null
  }
  get waits(): boolean {
    return this.#messages.waits
  }
}

/** bound: longest event, bytes. null = server-sent events, which the pipeline reads itself. */
export function framerOf(framing: Wire['framing'], bound: number): Framer | null {
  if (framing === 'sse') return null
  return framing === 'ndjson' ? new LineFramer(bound) : new MessageFramer(bound)
}
