const LINE_FEED = 10
const CARRIAGE_RETURN = 13

/** Lines of a body that comes in pieces (NDJSON: https://github.com/ndjson/ndjson-spec). A line's bytes are looked at once. */
export class LineReader {
  readonly #bound: number
  #open: Buffer[] = []
  #openBytes = 0
  #bytes: Buffer | null = null
  #at = 0

  /** bound: longest line, bytes. */
  constructor(bound: number) {
    this.#bound = bound
  }

  /** False = a line is longer than it may be. Ask next() until it is null before the next push. */
  push(chunk: Buffer): boolean {
    this.#bytes = chunk
    this.#at = 0
    return this.#openBytes + (chunk.includes(LINE_FEED) ? chunk.indexOf(LINE_FEED) : chunk.length) <= this.#bound
  }

  /** The next whole line without its end; null = it has not come yet. */
  next(): string | null {
    const bytes = this.#bytes
    if (bytes === null) return null
    const end = bytes.indexOf(LINE_FEED, this.#at)
    if (end < 0) {
      if (this.#at < bytes.length) {
        this.#open.push(bytes.subarray(this.#at))
        this.#openBytes += bytes.length - this.#at
      }
      this.#bytes = null
      return null
    }
    let line = bytes.subarray(this.#at, end)
    if (this.#open.length > 0) {
      this.#open.push(line)
      line = Buffer.concat(this.#open)
      this.#open = []
      this.#openBytes = 0
    }
    this.#at = end + 1
    return line.toString('utf8', 0, line.at(-1) === CARRIAGE_RETURN ? line.length - 1 : line.length)
  }

  /** A line has begun and not ended. */
  get waits(): boolean {
    return this.#openBytes > 0
  }

  /** What stands after the last line's end: a body need not end with one. */
  rest(): string {
    const text = Buffer.concat(this.#open).toString()
    this.#open = []
    this.#openBytes = 0
    return text
  }
}
