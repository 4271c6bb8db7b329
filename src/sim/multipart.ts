/** `multipart/form-data` (RFC 7578), whole in memory: enough for uploads to a simulator. */
import { badRequest } from './errors.ts'

export interface FormPart {
  readonly name: string
  readonly filename: string | undefined
  readonly contentType: string
  readonly bytes: Buffer
}

const parameter = (header: string, name: string): string | undefined =>
  new RegExp(`(?:^|[;\\s])${name}="((?:[^"\\\\]|\\\\.)*)"`, 'i').exec(header)?.[1]?.replaceAll(/\\(.)/g, '$1')

const readHeaders = (text: string): Map<string, string> =>
  new Map(
    text.split('\r\n').map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )

/** @throws ApiError 400 if the body is not what the content type says. */
export const parseMultipart = (contentType: string, body: Buffer): FormPart[] => {
  const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType)
  const name = boundary?.[1] ?? boundary?.[2]
  if (!/^multipart\/form-data/i.test(contentType) || name === undefined) {
    throw badRequest('Expected a multipart/form-data body with a boundary.', null, 'invalid_content_type')
  }
  const delimiter = Buffer.from(`--${name}`)
  const parts: FormPart[] = []
  let at = body.indexOf(delimiter)
  while (at >= 0) {
    const start = at + delimiter.length
    if (body.subarray(start, start + 2).toString('latin1') === '--') return parts
    const end = body.indexOf(Buffer.from(`\r\n--${name}`), start)
    const split = body.indexOf('\r\n\r\n', start)
    if (end < 0 || split < 0 || split > end) break
    const headers = readHeaders(body.subarray(start + 2, split).toString('utf8'))
    const disposition = headers.get('content-disposition') ?? ''
    parts.push({
      name: parameter(disposition, 'name') ?? '',
      filename: parameter(disposition, 'filename'),
      contentType: headers.get('content-type') ?? 'text/plain',
      bytes: body.subarray(Math.min(split + 4, end), end),
    })
    at = end + 2
  }
  throw badRequest('The multipart body ends before its last boundary.', null, 'invalid_multipart')
}

export const fieldText = (parts: readonly FormPart[], name: string): string | undefined =>
  parts.find((part) => part.name === name && part.filename === undefined)?.bytes.toString('utf8')
