import type { HeaderList, ReplyWriter } from '../contracts/http.ts'

/** A client that is so far behind the others holds up nobody: it is dropped. Bytes. */
const MAX_LAG = 4 * 1024 * 1024

/** What a client other than the first gets of the answer's head. */
export type Dress = (headers: HeaderList) => HeaderList

interface Reader {
  readonly writer: ReplyWriter
  readonly dress: Dress | null
  /** All of the answer is with it, or it is gone. */
  readonly onDone: (() => void) | null
  /** Number of the next chunk that it gets, counted from the answer's first. */
  at: number
  /** Bytes that it has not been given yet. */
  lag: number
  headed: boolean
  /** It does not read at the moment. */
  slow: boolean
  /** Where it was when it was last looked at. */
  seenAt: number
}

/** A complete answer. chunks: its body. */
export interface Kept {
  readonly status: number
  readonly headers: HeaderList
  readonly chunks: readonly Buffer[]
  readonly bytes: number
}

/**
 * One answer to several clients, each at its own pace: what a slow one has not read yet waits here, and who comes late
 * gets what came before. Only when none of them reads the backend is held up.
 */
export class FanOut implements ReplyWriter {
  readonly #readers: Reader[] = []
  /** Bytes from the answer's beginning that are kept for those who come late, and for who wants the whole. */
  readonly #keep: number
  #status = 0
  #headers: HeaderList = []
  #flushed = false
  #chunks: Buffer[] = []
  /** Number of the first chunk that is still here. */
  #first = 0
  #bytes = 0
  #ended = false
  /** Head and body in one go. */
  #sent = false

  /** keep: bytes; 0 = nothing is kept beyond what somebody still has to get. */
  constructor(keep: number) {
    this.#keep = keep
  }

  /** From the answer's beginning, if that is still here: check canJoin. */
  add(writer: ReplyWriter, dress: Dress | null = null, onDone: (() => void) | null = null): void {
    const reader: Reader = {
      writer,
      dress,
      onDone,
      at: this.#first,
      lag: this.#bytes,
      headed: false,
      slow: false,
      seenAt: -1,
    }
    this.#readers.push(reader)
    if (this.#status === 0) return
    this.#head(reader)
    if (this.#flushed) writer.flush()
    this.#pump(reader)
  }

  /** Nothing of the answer's beginning is lost yet. */
  get canJoin(): boolean {
    return this.#first === 0 && !this.#ended && !this.#sent
  }

  /** That client has got the answer's head. */
  hasHead(writer: ReplyWriter): boolean {
    return this.#readers.some((reader) => reader.writer === writer && reader.headed)
  }

  /** The answer has begun. */
  get begun(): boolean {
    return this.#status !== 0
  }

  /** Some of the answer still has to reach that client. */
  waitsFor(writer: ReplyWriter): boolean {
    return this.#readers.some((reader) => reader.writer === writer)
  }

  /** That client is gone, or is told something else. True while others are there. */
  drop(writer: ReplyWriter): boolean {
    const at = this.#readers.findIndex((reader) => reader.writer === writer)
    if (at >= 0) this.#readers.splice(at, 1)
    this.#prune()
    return this.#readers.length > 0
  }

  /** That client reads again. True when the backend need not be held up. */
  drained(writer: ReplyWriter): boolean {
    const reader = this.#readers.find((one) => one.writer === writer)
    if (reader !== undefined) {
      reader.slow = false
      this.#pump(reader)
      this.#prune()
    }
    return this.#reads
  }

  get #reads(): boolean {
    return this.#readers.length === 0 || this.#readers.some(({ slow }) => !slow)
  }

  /** The whole answer, if it is complete and was kept. */
  get whole(): Kept | null {
    if (this.#first > 0 || !(this.#ended || this.#sent)) return null
    return { status: this.#status, headers: this.#headers, chunks: this.#chunks, bytes: this.#bytes }
  }

  get open(): boolean {
    return this.#readers.some(({ writer }) => writer.open)
  }

  /** As they are now: whoever is done leaves the list while it is gone through. */
  #all(): readonly Reader[] {
    return this.#readers.length === 1 ? this.#readers : this.#readers.slice()
  }

  #head(reader: Reader): void {
    reader.headed = true
    // Each connection adds headers of its own to the list that it gets.
    if (!this.#sent) reader.writer.head(this.#status, this.#headersFor(reader))
  }

  #headersFor({ dress }: Reader): HeaderList {
    const headers = [...this.#headers]
    return dress === null ? headers : dress(headers)
  }

  send(status: number, headers: HeaderList, body: Buffer | string): void {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    this.#status = status
    this.#headers = headers
    this.#sent = true
    if (bytes.length <= this.#keep) {
      this.#chunks = [bytes]
      this.#bytes = bytes.length
    } else this.#first = 1
    for (const reader of this.#all()) {
      reader.headed = true
      reader.writer.send(status, this.#headersFor(reader), bytes)
      this.#done(reader)
    }
  }

  head(status: number, headers: HeaderList): void {
    this.#status = status
    this.#headers = headers
    for (const reader of this.#readers) this.#head(reader)
  }

  flush(): void {
    this.#flushed = true
    for (const { writer } of this.#readers) writer.flush()
  }

  write(chunk: Buffer | string): boolean {
    this.#push(chunk)
    for (const reader of this.#all()) {
      if (!reader.slow) this.#pump(reader)
      else if (reader.lag > MAX_LAG && this.#readers.length > 1) this.#cut(reader)
    }
    this.#prune()
    return this.#reads
  }

  #push(chunk: Buffer | string): void {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    this.#chunks.push(bytes)
    this.#bytes += bytes.length
    for (const reader of this.#readers) reader.lag += bytes.length
  }

  #pump(reader: Reader): void {
    const end = this.#first + this.#chunks.length
    while (reader.at < end && !reader.slow) {
      const chunk = this.#chunks[reader.at - this.#first]!
      reader.at++
      reader.lag -= chunk.length
      if (this.#ended && reader.at === end) {
        reader.writer.end(chunk)
        this.#done(reader)
        return
      }
      if (!reader.writer.write(chunk)) reader.slow = true
    }
    if (this.#ended && reader.at === end) {
      reader.writer.end()
      this.#done(reader)
    }
  }

  #done(reader: Reader): void {
    const at = this.#readers.indexOf(reader)
    if (at >= 0) this.#readers.splice(at, 1)
    reader.onDone?.()
  }

  #cut(reader: Reader): void {
    reader.writer.destroy()
    this.#done(reader)
  }

  /** What nobody waits for goes, unless it is to be kept. */
  #prune(): void {
    if (this.#first === 0 && this.#bytes <= this.#keep) return
    let least = this.#first + this.#chunks.length
    for (const { at } of this.#readers) least = Math.min(least, at)
    const gone = least - this.#first
    if (gone <= 0) return
    for (const chunk of this.#chunks.splice(0, gone)) this.#bytes -= chunk.length
    this.#first = least
  }

  end(chunk?: Buffer | string): void {
    if (chunk !== undefined) this.#push(chunk)
    this.#ended = true
    for (const reader of this.#all()) if (!reader.slow) this.#pump(reader)
    this.#prune()
  }

  /** Drops the clients that do not read: their connections' ends say so to their requests. */
  destroySlow(): void {
    for (const { slow, writer } of this.#all()) if (slow) writer.destroy()
  }

  /** Drops the clients that have taken nothing since they were last looked at. False = nobody is left to be looked at. */
  dropStalled(): boolean {
    for (const reader of this.#all()) {
      if (reader.at === reader.seenAt) this.#cut(reader)
      else reader.seenAt = reader.at
    }
    return this.#readers.length > 0
  }

  destroy(): void {
    for (const reader of this.#all()) this.#cut(reader)
  }
}
