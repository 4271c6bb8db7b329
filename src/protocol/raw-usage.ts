import type { Usage } from '../contracts/usage.ts'
import type { UsageHints } from './usage.ts'
import { readAnswer, readUsage, StreamUsage, withImages } from './usage.ts'

/** A JSON answer up to this is kept whole, bytes; of a longer one its end: the usage stands there. */
const WHOLE_BYTES = 256 * 1024
/** Beginning and end of a stream that are kept, bytes. */
const EDGE_BYTES = 16 * 1024
/** Names each image of a JSON answer that holds them; nothing else is so long. */
const IMAGE = Buffer.from('"b64_json"')
const IMAGE_EVENT = /"type": ?"image_(?:generation|edit)\./
/** JSON, lines of it, and frames of AWS, in which events stand as JSON. */
const READABLE = /^application\/(?:json|x-ndjson|vnd\.amazon\.eventstream)\b/
const EVENT = /\r\n\r\n|\n\n|\r\r/
const DATA = /^data: ?/

/**
 * Finds the usage in an answer that is passed on unread. Sees every chunk, copies little, and keeps no more than its
 * bounds however long the answer is.
 */
export class RawUsage {
  readonly #stream: boolean
  readonly #hints: UsageHints
  #head: Buffer[] = []
  #headBytes = 0
  #tail: Buffer[] = []
  #tailBytes = 0
  /** In what is not kept. */
  #images = 0
  /** Last bytes of what has come. */
  #seam: Buffer | null = null

  /** null when nothing in an answer of that type says what it used. */
  static of(contentType: string | undefined, hints: UsageHints): RawUsage | null {
    if (contentType === undefined) return null
    const stream = contentType.startsWith('text/event-stream')
    return stream || READABLE.test(contentType) ? new RawUsage(stream, hints) : null
  }

  constructor(stream: boolean, hints: UsageHints) {
    this.#stream = stream
    this.#hints = hints
  }

  add(chunk: Buffer): void {
    const room = (this.#stream ? EDGE_BYTES : WHOLE_BYTES) - this.#headBytes
    if (room > 0) {
      const part = chunk.subarray(0, room)
      this.#head.push(part)
      this.#headBytes += part.length
      if (part.length === chunk.length) return
    }
    const rest = room > 0 ? chunk.subarray(room) : chunk
    if (!this.#stream) this.#countImages(rest)
    // Once more than two edges are there, the older one goes.
    const kept = Buffer.from(rest.subarray(-EDGE_BYTES))
    this.#tail.push(kept)
    this.#tailBytes += kept.length
    while (this.#tail.length > 1 && this.#tailBytes - this.#tail[0]!.length >= EDGE_BYTES)
      this.#tailBytes -= this.#tail.shift()!.length
  }

  /** Of an answer that is too long to be kept: images are what makes it so. */
  #countImages(rest: Buffer): void {
    this.#seam ??= Buffer.concat(this.#head).subarray(1 - IMAGE.length)
    // A name may stand in two chunks, or in many.
    if (Buffer.concat([this.#seam, rest.subarray(0, IMAGE.length - 1)]).includes(IMAGE)) this.#images++
    this.#seam = Buffer.concat([this.#seam, rest.subarray(1 - IMAGE.length)]).subarray(1 - IMAGE.length)
    for (let at = rest.indexOf(IMAGE); at >= 0; at = rest.indexOf(IMAGE, at + IMAGE.length)) this.#images++
  }

  #imagesIn(head: string): number {
    return this.#images + head.split(IMAGE.toString()).length - 1
  }

  /** Null = it does not say. */
  get usage(): Usage | null {
    const head = Buffer.concat(this.#head).toString()
    const tail = Buffer.concat(this.#tail).toString()
    if (this.#stream) return this.#ofEvents(head, tail)
    if (tail !== '') return withImages(readUsage(lastUsage(tail), this.#hints), this.#imagesIn(head))
    const whole = parse(head) ?? lastLine(head)
    if (whole === undefined) return readUsage(lastUsage(head), this.#hints)
    // Gemini streams a list of its answers where nobody asks for events: the last one has all.
    return readAnswer(Array.isArray(whole) ? whole.at(-1) : whole, this.#hints)
  }

  #ofEvents(head: string, tail: string): Usage | null {
    const reader = new StreamUsage(this.#hints)
    // Where head and tail do not meet their last and first events are torn: they do not parse.
    for (const text of tail === '' ? [head] : [head, tail])
      for (const event of text.split(EVENT)) {
        const data = event.split(/\r\n|\n|\r/).filter((line) => line.startsWith('data:'))
        const value = data.length === 0 ? undefined : parse(data.map((line) => line.replace(DATA, '')).join('\n'))
        if (value !== undefined) reader.feed(value)
      }
    // An event that is longer than what is kept (a whole image) is torn, and the usage stands at its end.
    const usage = reader.usage === null && tail !== '' ? lastUsage(tail) : undefined
    if (usage === undefined) return reader.usage
    reader.feed({ type: IMAGE_EVENT.test(head) ? 'image_generation.completed' : '', usage })
    return reader.usage
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Of lines of JSON (Ollama) the last one has the counts; undefined = it is none. */
const lastLine = (text: string): unknown => parse(text.trimEnd().split('\n').at(-1)!)

/** The last object named `usage` in the end of a JSON text. */
function lastUsage(text: string): unknown {
  const name = text.lastIndexOf('"usage"')
  const start = name < 0 ? -1 : text.indexOf('{', name)
  if (start < 0) return undefined
  let depth = 0
  // Usage objects hold numbers and names: a brace in a string would make this miss it, never misread it.
  for (let i = start; i < text.length; i++) {
    if (text[i] === '{') depth++
    else if (text[i] === '}' && --depth === 0) return parse(text.slice(start, i + 1))
  }
  return undefined
}
