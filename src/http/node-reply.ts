import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { ClientSide, HeaderList, ReplyWriter } from '../contracts/http.ts'
import { endHeaders, type Ending } from './drain-headers.ts'

/** The answer's side of one request of node:http, or of node:http2 through its compatible interface. */
export class NodeReply implements ReplyWriter {
  readonly #res: ServerResponse
  readonly #ending: Ending
  readonly #last: boolean
  readonly #stallMs: number
  #ended = false
  #listening = false
  /** Who is told when the client reads again. */
  client: ClientSide | null = null
  /** The body is read while it is answered: if it is not wanted to its end, nor is the connection. */
  uploading = false

  /**
   * ending: asked when the head leaves. last: the connection ends with this answer in any case (HTTP/1.1 only).
   * stallMs: a client that takes nothing of a finished answer for this long is dropped.
   */
  constructor(res: ServerResponse, ending: Ending, last: boolean, stallMs: number) {
    this.#res = res
    this.#ending = ending
    this.#last = last
    this.#stallMs = stallMs
  }

  get open(): boolean {
    return !this.#ended && !this.#res.destroyed
  }

  send(status: number, headers: HeaderList, body: Buffer | string): void {
    if (!this.open) return
    this.#ended = true
    headers.push('content-length', String(typeof body === 'string' ? Buffer.byteLength(body) : body.length))
    this.#writeHead(status, headers)
    this.#res.end(body)
    dropStalled(this.#res, this.#stallMs)
  }

  head(status: number, headers: HeaderList): void {
    if (!this.open) return
    this.#writeHead(status, headers)
    flatten(this.#res)
  }

  flush(): void {
    if (this.open) this.#res.flushHeaders()
  }

  #writeHead(status: number, headers: HeaderList): void {
    const last = this.#last || (this.uploading && !this.#res.req.complete)
    if (last || this.#ending.draining) headers.push(...endHeaders(this.#ending, this.#res.req, last))
    this.#res.writeHead(status, headers)
  }

  write(chunk: Buffer | string): boolean {
    if (!this.open || this.#res.write(chunk)) return true
    // Most answers never wait for their client: only those that do pay for a listener.
    if (!this.#listening) {
      this.#listening = true
      this.#res.on('drain', () => this.client?.onDrain())
    }
    return false
  }

  end(chunk?: Buffer | string): void {
    if (!this.open) return
    this.#ended = true
    if (chunk === undefined) this.#res.end()
    else this.#res.end(chunk)
    dropStalled(this.#res, this.#stallMs)
  }

  destroy(): void {
    this.#ended = true
    this.#res.destroy()
  }
}

/**
 * The answer is complete, but may still lie here: nobody else would notice a client that never reads it. Node counts
 * bytes that leave as activity. What comes next on the connection has limits of its own.
 */
export function dropStalled(res: ServerResponse | Http2ServerResponse, stallMs: number): void {
  const out = 'stream' in res ? res.stream : res.socket
  if (out === null || out === undefined || out.writableLength === 0) return
  const drop = (): void => void out.destroy()
  out.setTimeout(stallMs, drop)
  // Before Node's own, which may set the time until the next request.
  res.prependOnceListener('finish', () => {
    out.off('timeout', drop)
    out.setTimeout(0)
  })
}

/**
 * Node keeps the head that it wrote for as long as the answer is open, as a tree of some fifty small strings: 2 KB a
 * stream. Reading a character makes V8 put one flat string in their place. Nothing happens where Node names it otherwise.
 */
function flatten(res: ServerResponse): void {
  const { _header: head } = res as ServerResponse & { readonly _header?: unknown }
  if (typeof head === 'string') head.charCodeAt(0)
}
