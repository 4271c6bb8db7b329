import { StringDecoder } from 'node:string_decoder'

export interface SseEvent {
  readonly data: string
  /** '' = none was said. */
  readonly id: string
}

/**
 * Events of a stream (WHATWG HTML 9.2.6). Only those of the type `message` are told: there are no others in MCP. Bounded:
 * a line or event that is larger than max bytes ends it.
 */
export class SseReader {
  readonly #decoder = new StringDecoder('utf8')
  readonly #max: number
  readonly #onEvent: (event: SseEvent) => void
  /** Of the line that is not complete. */
  #parts: string[] = []
  #data: string[] = []
  #size = 0
  #type = ''
  #afterCr = false
  #first = true
  /** The last that was said, over events. */
  lastId = ''
  /** Ms that the server wants a client to wait before it asks again; -1 = not said. */
  retryMs = -1

  constructor(max: number, onEvent: (event: SseEvent) => void) {
    this.#max = max
    this.#onEvent = onEvent
  }

  /** False = an event is too large: nothing more is read. */
  push(chunk: Buffer): boolean {
    let text = this.#decoder.write(chunk)
    if (this.#first && text !== '') {
      this.#first = false
      if (text.startsWith('\uFEFF')) text = text.slice(1)
    }
    let from = 0
    if (this.#afterCr && text.startsWith('\n')) from = 1
    if (text !== '') this.#afterCr = false
    const mayReturn = text.includes('\r')
    for (;;) {
      const end = mayReturn ? lineEnd(text, from) : text.indexOf('\n', from)
      if (end < 0) break
      this.#parts.push(text.slice(from, end))
      this.#size += end - from
      from = end + 1
      if (text[end] === '\r') {
        if (from === text.length) this.#afterCr = true
        else if (text[from] === '\n') from++
      }
      if (this.#size > this.#max) return false
      const line = this.#parts.length === 1 ? this.#parts[0]! : this.#parts.join('')
      this.#parts = []
      this.#line(line)
    }
    if (from < text.length) {
      this.#parts.push(text.slice(from))
      this.#size += text.length - from
    }
    return this.#size <= this.#max
  }

  #line(line: string): void {
    if (line === '') {
      const data = this.#data.join('\n')
      const type = this.#type
      this.#data = []
      this.#type = ''
      this.#size = 0
      if (data !== '' && (type === '' || type === 'message')) this.#onEvent({ data, id: this.lastId })
      return
    }
    const colon = line.indexOf(':')
    if (colon === 0) {
      this.#size -= line.length
      return
    }
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'data') this.#data.push(value)
    else if (name === 'event') this.#type = value
    else if (name === 'id') {
      if (!value.includes('\0')) this.lastId = value
    } else if (name === 'retry' && /^\d{1,9}$/.test(value)) this.retryMs = Number(value)
  }
}

function lineEnd(text: string, from: number): number {
  const feed = text.indexOf('\n', from)
  const cr = text.indexOf('\r', from)
  if (cr < 0 || (feed >= 0 && feed < cr)) return feed
  return cr
}

/** One message as an event. JSON written by JSON.stringify holds no line break. */
export const sseEvent = (message: string): string => `event: message\ndata: ${message}\n\n`

export const SSE_COMMENT = ':\n\n'
