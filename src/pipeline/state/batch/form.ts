import { GatewayError } from '../../../core/errors.ts'

const BOUNDARY = /;\s*boundary=(?:"([^"]{1,70})"|([^;\s"]{1,70}))/i
const NAME = /;\s*name="([^"]*)"/i
const FILENAME = /;\s*filename="([^"]*)"/i
const MAX_PARTS = 20
const MAX_HEAD_BYTES = 2048

export interface Form {
  /** Short text fields. */
  readonly fields: ReadonlyMap<string, string>
  readonly file: { readonly name: string; readonly content: Buffer } | null
}

const broken = (why: string): GatewayError =>
  new GatewayError('invalid_request', `The multipart body cannot be read: ${why}.`, { param: 'file' })

/** A multipart/form-data body (RFC 7578, RFC 2046 section 5.1.1) with one file. Throws GatewayError. The file is a view of the body. */
export function readForm(body: Buffer, contentType: string): Form {
  const found = BOUNDARY.exec(contentType)
  const boundary = found?.[1] ?? found?.[2]
  if (boundary === undefined) throw broken('it has no boundary')
  const delimiter = Buffer.from(`--${boundary}`)
  const between = Buffer.from(`\r\n--${boundary}`)
  const fields = new Map<string, string>()
  let file: Form['file'] = null
  let at = body.indexOf(delimiter)
  if (at < 0) throw broken('its boundary does not stand in it')
  for (let part = 0; ; part++) {
    const from = at + (part === 0 ? delimiter.length : between.length)
    if (body.toString('latin1', from, from + 2) === '--') return { fields, file }
    if (part >= MAX_PARTS) throw broken(`it has more than ${MAX_PARTS} parts`)
    const end = body.indexOf(between, from)
    if (end < 0) throw broken('a part is cut off')
    const { name, filename, content } = partIn(body, from, end)
    if (name === 'file') {
      if (file !== null) throw broken('it has several files')
      file = { name: filename, content }
    } else {
      if (fields.has(name)) throw broken(`it has \`${name.slice(0, 50)}\` twice`)
      fields.set(name, content.toString('utf8', 0, MAX_HEAD_BYTES))
    }
    at = end
  }
}

function partIn(body: Buffer, from: number, end: number): { name: string; filename: string; content: Buffer } {
  const headEnd = body.indexOf('\r\n\r\n', from)
  if (headEnd < 0 || headEnd > end || headEnd - from > MAX_HEAD_BYTES) throw broken('a part has no end of its head')
  const head = body.toString('utf8', from, headEnd)
  const name = NAME.exec(head)?.[1]
  if (name === undefined) throw broken('a part has no name')
  const content = body.subarray(Math.min(headEnd + 4, end), end)
  return { name, filename: FILENAME.exec(head)?.[1] ?? 'file', content }
}
