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

/**
 * Throws for a multipart body of which two readers could take different models (RFC 7578, RFC 2046 section 5.1.1): what a
 * caller may use is decided by the one, and what is computed by the other.
 */
export function expectClearForm(body: Buffer, contentType: string): void {
  const boundaries = [...contentType.matchAll(BOUNDARY)]
  const boundary = boundaries[0]?.[1] ?? boundaries[0]?.[2]
  if (boundary === undefined || boundaries.length > 1) throw refused('it has no one boundary')
  const delimiter = Buffer.from(`--${boundary}`)
  let models = 0
  let parts = 0
  let ended = false
  for (let at = body.indexOf(delimiter); at >= 0; at = body.indexOf(delimiter, at + delimiter.length)) {
    const after = at + delimiter.length
    const begins = at === 0 || (at >= 2 && lineBreakAt(body, at - 2))
    const last = body[after] === DASH && body[after + 1] === DASH
    // A boundary may not be in what it bounds.
    if (!begins || ended || (!last && !lineBreakAt(body, after))) throw refused('its boundary stands within a part')
    if (parts === 0 && at > 0) throw refused('something stands before its first part')
    if (last) {
      ended = true
      continue
    }
    if (++parts > MAX_PARTS) throw refused(`it has more than ${MAX_PARTS} parts`)
    const headEnd = body.indexOf('\r\n\r\n', after)
    if (headEnd < 0 || headEnd - after > MAX_HEAD_BYTES) throw refused('a part has no end of its head')
    // The line break after the delimiter may be the one that ends an empty head.
    const head = body.toString('latin1', after, headEnd)
    if (ODD_NAME.test(head)) throw refused('a part has a name that can be read in two ways')
    if (/[^\r]\n|\r[^\n]/.test(head)) throw refused('a part has broken lines in its head')
    if (MODEL.test(head)) models++
  }
  if (models > 1) throw refused('`model` stands twice')
}
