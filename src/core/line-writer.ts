import { write, writeSync } from 'node:fs'

/** Pipes take writes up to PIPE_BUF (4096 on Linux) whole: lines of several writers then never mix. */
const SHARED_PIPE_BATCH = 4096
const OWN_BATCH = 65536
const FLUSH_MS = 100
/** The reader's buffer is full: look again after this. */
const RETRY_MS = 10
/** When the reader is this far behind, lines are dropped and counted rather than memory filled. */
const MAX_QUEUED_BYTES = 8 << 20

export interface LineTarget {
  readonly fd: number
  /** A write returns at once whatever the reader does: then no second thread is needed for it. */
  readonly nonBlocking: boolean
  /** Other threads write to the same descriptor. */
  readonly shared: boolean
}

/**
 * Writes whole lines to a file descriptor without ever blocking the event loop. Lines are batched; a batch goes out
 * when full or after 100 ms. Not for lines whose loss matters: under back-pressure they are dropped and counted.
 */
export class LineWriter {
  readonly #fd: number
  readonly #nonBlocking: boolean
  readonly #batchBytes: number
  #batch = ''
  readonly #queue: string[] = []
  #queuedBytes = 0
  #writing = false
  #timer: NodeJS.Timeout | null = null
  readonly #idle: (() => void)[] = []
  dropped = 0

  constructor({ fd, nonBlocking, shared }: LineTarget) {
    this.#fd = fd
    this.#nonBlocking = nonBlocking
    this.#batchBytes = shared ? SHARED_PIPE_BATCH : OWN_BATCH
  }

  /** line ends with its newline. */
  write(line: string): void {
    if (this.#queuedBytes > MAX_QUEUED_BYTES) {
      this.dropped++
      return
    }
    if (this.#batch.length > 0 && this.#batch.length + line.length > this.#batchBytes) this.#push()
    this.#batch += line
    if (this.#batch.length >= this.#batchBytes) this.#push()
    else if (this.#timer === null) {
      this.#timer = setTimeout(() => {
        this.#timer = null
        this.#push()
      }, FLUSH_MS)
      this.#timer.unref()
    }
  }

  #push(): void {
    if (this.#batch === '') return
    this.#queue.push(this.#batch)
    this.#queuedBytes += this.#batch.length
    this.#batch = ''
    if (!this.#writing) this.#next()
  }

  #next(): void {
    const text = this.#queue.shift()
    if (text === undefined) {
      this.#writing = false
      for (const done of this.#idle.splice(0)) done()
      return
    }
    this.#writing = true
    this.#queuedBytes -= text.length
    this.#writeAll(Buffer.from(text), 0)
  }

  #writeAll(bytes: Buffer, from: number): void {
    if (!this.#nonBlocking) {
      write(this.#fd, bytes, from, bytes.length - from, null, (error, written) =>
        this.#wrote(bytes, from, error, written),
      )
      return
    }
    let written = 0
    let failure: NodeJS.ErrnoException | null = null
    try {
      written = writeSync(this.#fd, bytes, from, bytes.length - from)
    } catch (error) {
      failure = error as NodeJS.ErrnoException
    }
    this.#wrote(bytes, from, failure, written)
  }

  #wrote(bytes: Buffer, from: number, error: NodeJS.ErrnoException | null, written: number): void {
    if (error?.code === 'EAGAIN') setTimeout(() => this.#writeAll(bytes, from), RETRY_MS)
    else if (error === null && from + written < bytes.length) this.#writeAll(bytes, from + written)
    else {
      if (error !== null) this.dropped++
      this.#next()
    }
  }

  /** Resolves when everything written so far is out. */
  flush(): Promise<void> {
    this.#push()
    if (!this.#writing) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }
}
