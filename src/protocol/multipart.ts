const BOUNDARY = /boundary=(?:"([^"]{1,70})"|([^;\s]{1,70}))/i
const MAX_PARTS = 64
const MAX_FIELD_BYTES = 1024

/**
 * A short text field of a multipart/form-data body (RFC 7578), or undefined. Only reads: the body goes on as it came.
 * Bounded: at most 64 parts are looked at, and values up to 1 KiB.
 */
export function formField(body: Buffer, contentType: string, name: string): string | undefined {
  const match = BOUNDARY.exec(contentType)
  const boundary = match?.[1] ?? match?.[2]
  if (boundary === undefined) return undefined
  const delimiter = Buffer.from(`--${boundary}`)
  let at = body.indexOf(delimiter)
  for (let part = 0; at >= 0 && part < MAX_PARTS; part++) {
    const from = at + delimiter.length
    const headEnd = body.indexOf('\r\n\r\n', from)
    if (headEnd < 0) return undefined
    const next = body.indexOf(delimiter, headEnd)
    if (next < 0) return undefined
    const head = body.toString('latin1', from, Math.min(headEnd, from + MAX_FIELD_BYTES))
    if (new RegExp(`;\\s*name="?${name}"?\\s*(?:;|\\r|$)`, 'i').test(head) && !/;\s*filename/i.test(head)) {
      return body.toString('utf8', headEnd + 4, Math.min(next - 2, headEnd + 4 + MAX_FIELD_BYTES))
    }
    at = next
  }
  return undefined
}
