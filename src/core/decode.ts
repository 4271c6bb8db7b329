import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'

/** Codings that Heddle reads (RFC 9110 8.4.1; br: RFC 7932; zstd: RFC 8878). */
export type Encoding = 'gzip' | 'deflate' | 'br' | 'zstd' | 'unknown'

/** null = identity or absent. A chain of codings is unknown: nobody sends one for a good reason. */
export function encodingOf(header: string | undefined): Encoding | null {
  if (header === undefined) return null
  const name = header.trim().toLowerCase()
  if (name === '' || name === 'identity') return null
  if (name === 'gzip' || name === 'x-gzip') return 'gzip'
  if (name === 'deflate' || name === 'br' || name === 'zstd') return name
  return 'unknown'
}

/**
 * Decompresses a whole body, off the event loop, into at most maxBytes: what would be larger is refused while it
 * unpacks, so a bomb costs maxBytes and no more. done gets a reason, or null and the body.
 */
export function decodeBody(
  body: Buffer,
  encoding: Encoding,
  maxBytes: number,
  done: (error: 'too_large' | 'corrupt' | null, body: Buffer) => void,
): void {
  const finish = (error: NodeJS.ErrnoException | null, result: Buffer): void => {
    if (error === null) done(null, result)
    else done(error.code === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'corrupt', body)
  }
  const options = { maxOutputLength: maxBytes }
  if (encoding === 'gzip') gunzip(body, options, finish)
  else if (encoding === 'deflate') inflate(body, options, finish)
  else if (encoding === 'br') brotliDecompress(body, options, finish)
  else if (encoding === 'zstd') zstdDecompress(body, options, finish)
  else done('corrupt', body)
}
