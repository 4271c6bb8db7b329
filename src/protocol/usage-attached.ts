/** Files, images and recordings that a JSON body holds in base64. */
export interface Attached {
  /** Of the body, taken by them. */
  readonly bytes: number
  /** What models usually count for them, rather more than less. */
  readonly tokens: number
}

const NOTHING: Attached = { bytes: 0, tokens: 0 }

/** Less than this is counted as text: as wrong as an estimate by size may be. */
const WORTH_A_LOOK = 8192
/** An image in full detail (OpenAI, Anthropic: up to about 1600). */
const TOKENS_EACH = 1600
/** Recordings and documents go on as long as they like: MP3 has about 2000 bytes for a second, which is 10 tokens. */
const BYTES_PER_TOKEN = 200

const QUOTE = 34
const PROBE = 128
/** Equal signs at the end. */
const PADDING = 2
/** A data URL (RFC 2397), and the field that holds a recording in the chat API. */
const MARKS = [Buffer.from(';base64,'), Buffer.from('"data"')] as const

const isBase64 = (byte: number): boolean =>
  (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || (byte >= 47 && byte <= 57) || byte === 43

/** Finds what a body carries beside text. One pass over it for each way to write that; small bodies are not looked at. */
export function attachedIn(body: Buffer): Attached {
  if (body.length < WORTH_A_LOOK) return NOTHING
  let bytes = 0
  let tokens = 0
  const next = MARKS.map((mark) => body.indexOf(mark))
  for (;;) {
    const [url, field] = next as [number, number]
    if (url < 0 && field < 0) break
    const which = field < 0 || (url >= 0 && url < field) ? 0 : 1
    const at = next[which]!
    const packed = packedText(body, at, which)
    let done = at + MARKS[which].length
    if (packed !== null) {
      bytes += packed.size
      // Images are scaled down before they are counted: their size says nothing.
      const counted = isImage(body, at) ? 0 : Math.ceil((packed.size * 3) / 4 / BYTES_PER_TOKEN)
      tokens += TOKENS_EACH + counted
      // A mark inside of what has been counted names nothing new: it would be taken off twice.
      done = packed.end
    }
    for (const [i, mark] of MARKS.entries()) if (next[i]! >= 0 && next[i]! < done) next[i] = body.indexOf(mark, done)
  }
  return bytes === 0 ? NOTHING : { bytes, tokens }
}

/** The text that a mark names, when it is long and looks like base64; else null. */
function packedText(body: Buffer, at: number, which: number): { readonly size: number; readonly end: number } | null {
  let from = at + MARKS[which]!.length
  if (which === 1) {
    const quote = body.indexOf(QUOTE, from)
    // Only spaces and a colon may stand between a name and its text.
    if (quote < 0 || quote - from > 8) return null
    from = quote + 1
  }
  const quote = body.indexOf(QUOTE, from)
  const end = quote < 0 ? body.length : quote
  return end - from < WORTH_A_LOOK / 2 || !looksPacked(body, from, end) ? null : { size: end - from, end }
}

const isImage = (body: Buffer, mark: number): boolean =>
  body.toString('latin1', Math.max(0, mark - 40), mark).includes('data:image/')

/** Long text without a space is base64: a look at its beginning, middle and end tells. */
function looksPacked(body: Buffer, from: number, to: number): boolean {
  const last = to - PADDING - PROBE
  for (const at of [from, Math.floor((from + last) / 2), last])
    for (let i = at; i < at + PROBE; i++) if (!isBase64(body[i]!)) return false
  return true
}
