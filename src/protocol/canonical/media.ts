import type { Media } from '../../contracts/canonical.ts'
import { badField } from './read.ts'

/** Attachments as clients write them: data URLs (RFC 2397), plain base64 (RFC 4648), URLs. */

const CLEAN = /^[A-Za-z0-9+/]*={0,2}$/
const SPACE = /\s+/g

/** Padded, without line breaks, in the standard alphabet. Throws GatewayError when it is not base64. */
export function base64At(text: string, param: string): string {
  let data = text
  if (!CLEAN.test(data)) {
    data = data.replace(SPACE, '').replaceAll('-', '+').replaceAll('_', '/')
    if (!CLEAN.test(data)) throw badField(param, 'base64')
  }
  const bare = data.endsWith('=') ? data.replace(/=+$/, '') : data
  if (bare.length === 0 || bare.length % 4 === 1) throw badField(param, 'base64')
  return bare.padEnd(Math.ceil(bare.length / 4) * 4, '=')
}

/** A `data:` URL, or any other. mime: for a data URL that says none. */
export function urlMedia(url: string, mime: string, param: string): Media {
  if (!/^data:/i.test(url)) {
    if (!/^(https?|gs|s3):\/\/./i.test(url)) throw badField(param, 'an http(s) or data URL')
    return { kind: 'url', url, mime: null }
  }
  const comma = url.indexOf(',')
  if (comma < 0) throw badField(param, 'a data URL with a comma before its data')
  const head = url.slice(5, comma).split(';')
  const type = head[0]!.trim().toLowerCase() || mime
  const body = url.slice(comma + 1)
  if (head.some((word, i) => i > 0 && word.trim().toLowerCase() === 'base64'))
    return { kind: 'base64', mime: type, data: base64At(body, param) }
  return { kind: 'base64', mime: type, data: base64At(percentDecoded(body, param), param) }
}

function percentDecoded(text: string, param: string): string {
  try {
    return Buffer.from(decodeURIComponent(text)).toString('base64')
  } catch {
    throw badField(param, 'a data URL with valid escapes')
  }
}

/** The first bytes tell: PNG, JPEG, GIF, WebP, in base64. */
const IMAGE_STARTS: readonly (readonly [start: string, mime: string])[] = [
  ['iVBORw0KGgo', 'image/png'],
  ['/9j/', 'image/jpeg'],
  ['R0lGOD', 'image/gif'],
  ['UklGR', 'image/webp'],
]

/** Type of an image that comes without one. */
export const imageMime = (base64: string): string =>
  IMAGE_STARTS.find(([start]) => base64.startsWith(start))?.[1] ?? 'image/png'

const FILE_TYPES: ReadonlyMap<string, string> = new Map([
  ['pdf', 'application/pdf'],
  ['txt', 'text/plain'],
  ['md', 'text/markdown'],
  ['csv', 'text/csv'],
  ['html', 'text/html'],
  ['json', 'application/json'],
  ['docx', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'],
  ['xlsx', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'],
])

/** Type of a document that comes without one, by its name; PDF is what nearly all of them are. */
export const fileMime = (name: string | undefined): string =>
  FILE_TYPES.get((name ?? '').slice((name ?? '').lastIndexOf('.') + 1).toLowerCase()) ?? 'application/pdf'

/** `wav` and `mp3` are what the chat API names; others are sent on under their own name. */
export const audioMime = (format: string): string =>
  format === 'mp3' ? 'audio/mpeg' : format === 'pcm16' ? 'audio/pcm' : `audio/${format}`
