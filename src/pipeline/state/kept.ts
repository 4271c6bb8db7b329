import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { Keeps } from '../../contracts/dialect.ts'
import type { HeaderList, ReplyWriter } from '../../contracts/http.ts'
import type { Owner } from '../../store/blob-key.ts'
import type { KeptRecord } from './record.ts'
import type { Shelf } from './shelf.ts'

export interface KeptParts {
  readonly id: string
  readonly owner: Owner
  /** Of the answers that it goes on from, oldest first. */
  readonly before: readonly string[]
  /** What the request adds. */
  readonly input: readonly Json[]
  readonly background: boolean
  readonly stored: boolean
}

/** One answer on its way to the shelf. */
export class Kept implements Keeps {
  readonly id: string
  readonly owner: Owner
  readonly previousId: string | null
  readonly background: boolean
  readonly stored: boolean
  readonly #before: readonly string[]
  /** As text: an open stream should hold as little as can be of what was said. */
  readonly #input: string
  /** null = not whole yet, or made by a backend that speaks the API itself. */
  response: JsonObject | null = null

  constructor({ id, owner, before, input, background, stored }: KeptParts) {
    this.id = id
    this.owner = owner
    this.previousId = before.at(-1) ?? null
    this.background = background
    this.stored = stored
    this.#before = before
    this.#input = stored ? JSON.stringify(input) : '[]'
  }

  done(response: JsonObject): void {
    this.response = response
  }

  record(response: JsonObject, parts = -1): KeptRecord {
    return { response, input: JSON.parse(this.#input) as Json[], before: this.#before, parts }
  }
}

/**
 * Stands before the client's writer: the end of an answer leaves when the answer is kept, so that whoever has it can go
 * on from it, at any worker or replica. One that could not be kept says so (`store: false`).
 */
export class KeepingWriter implements ReplyWriter {
  readonly #inner: ReplyWriter
  readonly #kept: Kept
  readonly #shelf: Shelf
  #held: (Buffer | string)[] = []

  constructor(inner: ReplyWriter, kept: Kept, shelf: Shelf) {
    this.#inner = inner
    this.#kept = kept
    this.#shelf = shelf
  }

  get open(): boolean {
    return this.#inner.open
  }

  async #keep(response: JsonObject): Promise<boolean> {
    const { owner, id } = this.#kept
    return this.#shelf.put(owner, id, this.#kept.record(response))
  }

  send(status: number, headers: HeaderList, body: Buffer | string): void {
    const { response } = this.#kept
    if (response === null || status !== 200) {
      this.#inner.send(status, headers, body)
      return
    }
    void this.#keep(response).then((kept) => {
      const said = kept ? body : JSON.stringify({ ...response, store: false })
      this.#inner.send(status, headers, said)
    })
  }

  head(status: number, headers: HeaderList): void {
    this.#inner.head(status, headers)
  }

  flush(): void {
    this.#inner.flush()
  }

  write(chunk: Buffer | string): boolean {
    if (this.#kept.response === null) return this.#inner.write(chunk)
    this.#held.push(chunk)
    return true
  }

  end(chunk?: Buffer | string): void {
    const { response } = this.#kept
    if (chunk !== undefined) this.#held.push(chunk)
    const held = this.#held.splice(0)
    if (response === null) {
      for (const part of held) this.#inner.write(part)
      this.#inner.end()
      return
    }
    void this.#keep(response).then((kept) => {
      const text = held.map(String).join('')
      this.#inner.end(kept ? text : unkeptTail(text))
    })
  }

  destroy(): void {
    this.#inner.destroy()
  }
}

const DATA = '\ndata: '

/** The end of a stream whose answer could not be kept: its last event says so. */
function unkeptTail(text: string): string {
  const at = text.lastIndexOf(DATA)
  if (at < 0) return text
  const event = JSON.parse(text.slice(at + DATA.length)) as JsonObject
  const response = event['response'] as JsonObject
  return `${text.slice(0, at)}${DATA}${JSON.stringify({ ...event, response: { ...response, store: false } })}\n\n`
}
