/** Content parts of chat messages and of Responses items: text, images, audio, files; by URL, base64 or data URL. */
import { badRequest } from './errors.ts'
import type { Json, JsonObject } from './json.ts'
import { asArray, asObject, asString } from './json.ts'

export interface Content {
  readonly text: string
  readonly media: readonly string[]
}

const IMAGE_TYPES = new Set(['image/png', 'image/jpeg', 'image/jpg', 'image/gif', 'image/webp'])
const AUDIO_FORMATS = new Set(['wav', 'mp3', 'flac', 'opus', 'pcm16', 'aac', 'm4a', 'ogg', 'webm'])
const FILE_TYPES =
  /^(?:text\/[\w.+-]+|image\/(?:png|jpe?g|gif|webp)|application\/(?:pdf|json|xml|rtf|msword|vnd\.[\w.+-]+|x-[\w.+-]+|javascript|typescript|yaml))$/
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** @returns decoded length in bytes. @throws ApiError 400 */
export const base64Length = (data: string, param: string): number => {
  if (data === '' || !BASE64.test(data)) throw badRequest('Invalid base64 data.', param, 'invalid_base64')
  const padding = data.endsWith('==') ? 2 : data.endsWith('=') ? 1 : 0
  return (data.length / 4) * 3 - padding
}

const DATA_URL = /^data:([^;,]*)((?:;[^;,]*)*),/

const dataUrl = (url: string, param: string): { type: string; length: number } => {
  const head = DATA_URL.exec(url)
  if (head === null || !(head[2] ?? '').endsWith(';base64')) {
    throw badRequest('Expected a base64-encoded data URL with a MIME type.', param, 'invalid_value')
  }
  return { type: (head[1] ?? '').toLowerCase(), length: base64Length(url.slice(head[0].length), param) }
}

const imageMedia = (url: string | undefined, param: string): string => {
  if (url === undefined)
    throw badRequest(`Missing required parameter: '${param}'.`, param, 'missing_required_parameter')
  if (/^https?:\/\/\S+$/i.test(url)) return 'an image by URL'
  if (!url.startsWith('data:')) {
    throw badRequest(`Invalid '${param}': expected a URL or a base64-encoded data URL.`, param, 'invalid_image_url')
  }
  const { type, length } = dataUrl(url, param)
  if (!IMAGE_TYPES.has(type)) {
    const message = `Invalid MIME type '${type}'. Only image types png, jpeg, gif and webp are supported.`
    throw badRequest(message, param, 'invalid_image_format')
  }
  return `${type} (${length} bytes)`
}

const audioMedia = (audio: JsonObject | undefined, param: string): string => {
  const format = asString(audio?.['format']) ?? ''
  if (!AUDIO_FORMATS.has(format)) {
    throw badRequest(
      `Invalid value: '${format}'. Supported audio formats are 'wav' and 'mp3'.`,
      `${param}.format`,
      'invalid_value',
    )
  }
  return `audio/${format} (${base64Length(asString(audio?.['data']) ?? '', `${param}.data`)} bytes)`
}

/** Whether an uploaded file is there. */
export type FileLookup = (id: string) => boolean

const fileMedia = (file: JsonObject | undefined, param: string, known: FileLookup): string => {
  const id = asString(file?.['file_id'])
  if (id !== undefined) {
    if (!known(id)) throw badRequest(`No file found with id '${id}'.`, `${param}.file_id`, 'file_not_found')
    return `the file ${id}`
  }
  const url = asString(file?.['file_url'])
  if (url !== undefined && /^https?:\/\/\S+$/i.test(url)) return 'a file by URL'
  const data = asString(file?.['file_data'])
  if (data === undefined)
    throw badRequest(
      `Missing required parameter: '${param}.file_data'.`,
      `${param}.file_data`,
      'missing_required_parameter',
    )
  if (!data.startsWith('data:')) return `a file (${base64Length(data, `${param}.file_data`)} bytes)`
  const { type, length } = dataUrl(data, `${param}.file_data`)
  if (!FILE_TYPES.test(type)) {
    const message = `Invalid file data: unsupported MIME type '${type}'.`
    throw badRequest(message, `${param}.file_data`, 'unsupported_file')
  }
  return `${type} (${length} bytes)`
}

const readPart = (part: JsonObject, param: string, known: FileLookup): { text?: string; media?: string } => {
  const type = asString(part['type'])
  switch (type) {
    case 'text':
    case 'input_text':
    case 'output_text':
    case 'summary_text': {
      const text = asString(part['text'])
      if (text === undefined)
        throw badRequest(`Missing required parameter: '${param}.text'.`, `${param}.text`, 'missing_required_parameter')
      return { text }
    }
    case 'refusal':
      return { text: asString(part['refusal']) ?? '' }
    case 'image_url':
      return { media: imageMedia(asString(asObject(part['image_url'])?.['url']), `${param}.image_url`) }
    case 'input_image':
      return part['file_id'] === undefined || part['file_id'] === null
        ? { media: imageMedia(asString(part['image_url']), `${param}.image_url`) }
        : { media: fileMedia(part, param, known) }
    case 'input_audio':
      return { media: audioMedia(asObject(part['input_audio']) ?? part, `${param}.input_audio`) }
    case 'file':
      return { media: fileMedia(asObject(part['file']), `${param}.file`, known) }
    case 'input_file':
      return { media: fileMedia(part, param, known) }
    default: {
      const message = `Invalid value: '${type ?? ''}'. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', and 'file'.`
      throw badRequest(message, `${param}.type`, 'invalid_value')
    }
  }
}

/** @param content a string, null or a list of parts. @throws ApiError 400 */
export const readContent = (content: Json | undefined, param: string, known: FileLookup): Content => {
  if (typeof content === 'string') return { text: content, media: [] }
  if (content === null || content === undefined) return { text: '', media: [] }
  const parts = asArray(content)
  if (parts === undefined) {
    throw badRequest(
      `Invalid type for '${param}': expected one of a string or array of objects.`,
      param,
      'invalid_type',
    )
  }
  const texts: string[] = []
  const media: string[] = []
  for (const [index, part] of parts.entries()) {
    const at = `${param}[${index}]`
    const object = asObject(part)
    if (object === undefined) throw badRequest(`Invalid type for '${at}': expected an object.`, at, 'invalid_type')
    const read = readPart(object, at, known)
    if (read.text !== undefined) texts.push(read.text)
    if (read.media !== undefined) media.push(read.media)
  }
  return { text: texts.join('\n'), media }
}
