import type { HeaderList, ReplyWriter } from '../contracts/http.ts'

/** One answer to several clients that asked the same. Writes go to all that are still there; the slowest sets the pace. */
export class TeeWriter implements ReplyWriter {
  readonly #writers: ReplyWriter[]
  /** Clients that do not read at the moment. */
  readonly #slow = new Set<ReplyWriter>()

  constructor(...writers: ReplyWriter[]) {
    this.#writers = writers
  }

  add(writer: ReplyWriter): void {
    this.#writers.push(writer)
  }

  /** That client is gone. True while others are there. */
  drop(writer: ReplyWriter): boolean {
    const at = this.#writers.indexOf(writer)
    if (at >= 0) this.#writers.splice(at, 1)
    this.#slow.delete(writer)
    return this.#writers.length > 0
  }

  /** That client reads again. True when nobody is waited for any more. */
  drained(writer: ReplyWriter): boolean {
    this.#slow.delete(writer)
    return this.#slow.size === 0
  }

  get open(): boolean {
    return this.#writers.some((writer) => writer.open)
  }

  // Each adds headers of its own connection to the list that it gets.
  send(status: number, headers: HeaderList, body: Buffer | string): void {
    for (const writer of this.#writers) writer.send(status, [...headers], body)
  }

  head(status: number, headers: HeaderList): void {
    for (const writer of this.#writers) writer.head(status, [...headers])
  }

  flush(): void {
    for (const writer of this.#writers) writer.flush()
  }

  write(chunk: Buffer | string): boolean {
    for (const writer of this.#writers) if (!writer.write(chunk)) this.#slow.add(writer)
    return this.#slow.size === 0
  }

  end(chunk?: Buffer | string): void {
    for (const writer of this.#writers) writer.end(chunk)
  }

  /** Drops the clients that do not read: their connections' ends say so to their requests. */
  destroySlow(): void {
    for (const writer of this.#slow) writer.destroy()
  }

  destroy(): void {
    for (const writer of this.#writers) writer.destroy()
  }
}
