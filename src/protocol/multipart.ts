const BOUNDARY = /boundary=(?:"([^"]{1,70})"|([^;\s]{1,70}))/i
const MAX_PARTS = 64
const MAX_FIELD_BYTES = 1024

interface Span {
  readonly start: number
  readonly end: number
}

/** Where a text field's value stands in the body. */
function findField(body: Buffer, contentType: string, name: string): Span | undefined {
  const match = BOUNDARY.exec(contentType)
  const boundary = match?.[1] ?? match?.[2]
  if (boundary === undefined) return undefined
  const delimiter = Buffer.from(`--${boundary}`)
  const isField = new RegExp(`;\\s*name="?${name}"?\\s*(?:;|\\r|$)`, 'i')
  let at = body.indexOf(delimiter)
  for (let part = 0; at >= 0 && part < MAX_PARTS; part++) {
    const from = at + delimiter.length
    const headEnd = body.indexOf('\r\n\r\n', from)
    if (headEnd < 0) return undefined
    const next = body.indexOf(delimiter, headEnd)
    if (next < 0) return undefined
    const head = body.toString('latin1', from, Math.min(headEnd, from + MAX_FIELD_BYTES))
    if (isField.test(head) && !/;\s*filename/i.test(head))
      return { start: headEnd + 4, end: Math.max(headEnd + 4, next - 2) }
    at = next
  }
  return undefined
}

/**
 * A short text field of a multipart/form-data body (RFC 7578), or undefined. Bounded: at most 64 parts are looked at,
 * and values up to 1 KiB.
 */
export function formField(body: Buffer, contentType: string, name: string): string | undefined {
  const span = findField(body, contentType, name)
  return span && body.toString('utf8', span.start, Math.min(span.end, span.start + MAX_FIELD_BYTES))
}

/** The body with another value in a field that formField() finds; all other bytes stay. */
export function replaceFormField(body: Buffer, contentType: string, name: string, value: string): Buffer {
  const span = findField(body, contentType, name)
  return span === undefined
    ? body
    : Buffer.concat([body.subarray(0, span.start), Buffer.from(value), body.subarray(span.end)])
}
