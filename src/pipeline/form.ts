import { GatewayError } from '../core/errors.ts'

const BOUNDARY = /;\s*boundary=(?:"([^"]{1,70})"|([^;\s"]{1,70}))/gi
const DASH = 45
const CR = 13
const LF = 10
const MAX_PARTS = 1000
/** What a part says of itself; none needs more. */
const MAX_HEAD_BYTES = 1024
const MODEL = /;\s*name\s*=\s*(?:"model"|model(?=[\s;]|$))/i
/** Other ways to write a name (RFC 2231, escapes): which of them a backend reads nobody knows. */
const ODD_NAME = /;\s*name(?:\*|\s*=\s*(?:'|"[^"]*[\\%]))/i

const refused = (why: string): GatewayError =>
  new GatewayError('invalid_request', `The multipart body is not clear: ${why}.`, { param: 'model' })

const lineBreakAt = (body: Buffer, at: number): boolean => body[at] === CR && body[at + 1] === LF

const delimiterOf = (contentType: string): Buffer => {
  const boundaries = [...contentType.matchAll(BOUNDARY)]
  const boundary = boundaries[0]?.[1] ?? boundaries[0]?.[2]
  if (boundary === undefined || boundaries.length > 1) throw refused('it has no one boundary')
  return Buffer.from(`--${boundary}`)
}

/** What the part says of itself whose delimiter ends at `from`. */
const headOf = (body: Buffer, from: number): string => {
  const end = body.indexOf('\r\n\r\n', from)
  if (end < 0 || end - from > MAX_HEAD_BYTES) throw refused('a part has no end of its head')
  const head = body.toString('latin1', from, end)
  if (ODD_NAME.test(head)) throw refused('a part has a name that can be read in two ways')
  if (/[^\r]\n|\r[^\n]/.test(head)) throw refused('a part has broken lines in its head')
  return head
}

/**
 * Throws for a multipart body of which two readers could take different models (RFC 7578, RFC 2046 section 5.1.1): what a
 * caller may use is decided by the one, and what is computed by the other.
 */
export function expectClearForm(body: Buffer, contentType: string): void {
  const delimiter = delimiterOf(contentType)
  let models = 0
  let parts = 0
  let ended = false
  for (let at = body.indexOf(delimiter); at >= 0; at = body.indexOf(delimiter, at + delimiter.length)) {
    const after = at + delimiter.length
    if (parts === 0 && at > 0) throw refused('something stands before its first part')
    // A boundary may not be in what it bounds.
    if ((at > 0 && !lineBreakAt(body, at - 2)) || ended) throw refused('its boundary stands within a part')
    ended = body[after] === DASH && body[after + 1] === DASH
    if (ended) continue
    if (!lineBreakAt(body, after)) throw refused('its boundary stands within a part')
    if (++parts > MAX_PARTS) throw refused(`it has more than ${MAX_PARTS} parts`)
    if (MODEL.test(headOf(body, after))) models++
  }
  if (models > 1) throw refused('`model` stands twice')
}
