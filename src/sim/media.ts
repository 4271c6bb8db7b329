/** Moderations, images and audio: simple, deterministic answers of the right shape. */
import { createHash } from 'node:crypto'
import { crc32, deflateSync } from 'node:zlib'
import type { Handler } from './call.ts'
import { epochSeconds } from './call.ts'
import { badRequest } from './errors.ts'
import type { Json, JsonObject } from './json.ts'
import { asArray, asObject, asString } from './json.ts'
import { fieldText, parseMultipart } from './multipart.ts'
import { integerIn, oneOf, required, text } from './params.ts'
import { hash32 } from './random.ts'
import { countTokens } from './tokens.ts'

const CATEGORIES: Readonly<Record<string, RegExp | undefined>> = {
  harassment: /\b(?:idiot|loser|pathetic)\b/i,
  'harassment/threatening': /\bi will (?:hurt|find) you\b/i,
  sexual: /\b(?:porn|explicit sex)\w*/i,
  hate: /\bi hate (?:all|those|these)\b/i,
  'hate/threatening': undefined,
  illicit: /\b(?:make|build) a bomb\b/i,
  'illicit/violent': /\b(?:make|build) a bomb\b/i,
  'self-harm/intent': /\bhurt myself\b/i,
  'self-harm/instructions': undefined,
  'self-harm': /\b(?:hurt myself|self-harm)\b/i,
  'sexual/minors': undefined,
  violence: /\b(?:kill|murder|stab|shoot)\b/i,
  'violence/graphic': undefined,
}

const moderate = (input: string): JsonObject => {
  const names = Object.keys(CATEGORIES)
  const hits = new Map(names.map((name) => [name, CATEGORIES[name]?.test(input) ?? false]))
  const score = (name: string): number => (hits.get(name) === true ? 0.9 : 0.0001) + (hash32(name + input) % 1000) / 1e6
  return {
    flagged: [...hits.values()].includes(true),
    categories: Object.fromEntries(hits),
    category_scores: Object.fromEntries(names.map((name) => [name, score(name)])),
    category_applied_input_types: Object.fromEntries(names.map((name) => [name, ['text']])),
  }
}

const moderationInputs = (input: Json): string[] => {
  if (typeof input === 'string') return [input]
  const items = asArray(input) ?? []
  if (items.every((item) => typeof item === 'string')) return items
  // A list of parts is one input of several modalities.
  return [items.map((item) => asString(asObject(item)?.['text']) ?? '').join('\n')]
}

export const moderations: Handler = (call) => {
  const results = moderationInputs(required(call.body, 'input')).map(moderate)
  return {
    kind: 'json',
    body: { id: `modr-${call.state.nextId(24)}`, model: call.model || 'omni-moderation-latest', results },
  }
}

const pngChunk = (type: string, data: Buffer): Buffer => {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length)
  const check = Buffer.alloc(4)
  check.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, check])
}

const PNG_SIDE = 8

/** An 8x8 picture in one colour that depends on the prompt (PNG: ISO/IEC 15948). */
const png = (seed: number): Buffer => {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(PNG_SIDE, 0)
  header.writeUInt32BE(PNG_SIDE, 4)
  header[8] = 8
  header[9] = 2
  const pixel = [seed & 0xff, (seed >>> 8) & 0xff, (seed >>> 16) & 0xff]
  const line = Buffer.from([0, ...Array.from({ length: PNG_SIDE }, () => pixel).flat()])
  const pixels = deflateSync(Buffer.concat(Array.from({ length: PNG_SIDE }, () => line)))
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    pngChunk('IHDR', header),
    pngChunk('IDAT', pixels),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}

export const images: Handler = (call) => {
  const prompt = String(required(call.body, 'prompt'))
  const n = integerIn(call.body, 'n', 1, 10) ?? 1
  const asUrl = text(call.body, 'response_format') === 'url'
  const data = Array.from({ length: n }, (_, index) => {
    const image = png(hash32(prompt, call.state.seed + index)).toString('base64')
    return asUrl ? { url: `data:image/png;base64,${image}` } : { b64_json: image }
  })
  const tokens = countTokens(prompt)
  const usage = {
    input_tokens: tokens,
    output_tokens: n * 16,
    total_tokens: tokens + n * 16,
    input_tokens_details: { text_tokens: tokens, image_tokens: 0 },
  }
  return { kind: 'json', body: { created: epochSeconds(), data, usage }, use: { prompt: tokens, completion: n * 16 } }
}

const AUDIO_TYPES = {
  mp3: 'audio/mpeg',
  opus: 'audio/ogg',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
} as const

const SAMPLE_RATE = 24_000

/** A quiet tone, 10 ms for each token: 16-bit mono. */
const samples = (tokens: number, seed: number): Buffer => {
  const frequency = 220 + (seed % 440)
  const pcm = Buffer.alloc(Math.min(2000, tokens) * 240 * 2)
  for (let i = 0; i * 2 < pcm.length; i++) {
    pcm.writeInt16LE(Math.round(Math.sin((2 * Math.PI * frequency * i) / SAMPLE_RATE) * 3000), i * 2)
  }
  return pcm
}

const wav = (pcm: Buffer): Buffer => {
  const header = Buffer.alloc(44)
  header.write('RIFF', 0)
  header.writeUInt32LE(36 + pcm.length, 4)
  header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(1, 22)
  header.writeUInt32LE(SAMPLE_RATE, 24)
  header.writeUInt32LE(SAMPLE_RATE * 2, 28)
  header.writeUInt16LE(2, 32)
  header.writeUInt16LE(16, 34)
  header.write('data', 36)
  header.writeUInt32LE(pcm.length, 40)
  return Buffer.concat([header, pcm])
}

/** Only wav and pcm can be played: the others are the right label on bytes that no text decoder survives. */
export const speech: Handler = (call) => {
  const input = String(required(call.body, 'input'))
  required(call.body, 'voice')
  const format = oneOf(call.body, 'response_format', ['mp3', 'opus', 'aac', 'flac', 'wav', 'pcm']) ?? 'mp3'
  const pcm = samples(Math.max(1, countTokens(input)), hash32(input, call.state.seed))
  const bytes =
    format === 'wav' ? wav(pcm) : format === 'pcm' ? pcm : Buffer.concat([Buffer.from([0xff, 0xfb, 0x90, 0x00]), pcm])
  return { kind: 'bytes', contentType: AUDIO_TYPES[format], bytes }
}

export const transcriptions: Handler = (call) => {
  const parts = parseMultipart(call.headers['content-type'] ?? '', call.raw)
  const file = parts.find((part) => part.name === 'file' && part.filename !== undefined)
  if (file === undefined) throw badRequest("Missing required parameter: 'file'.", 'file', 'missing_required_parameter')
  const digest = createHash('sha256').update(file.bytes).digest('hex').slice(0, 8)
  const heard = `This is a recording of ${file.bytes.length} bytes with the fingerprint ${digest}.`
  const format = fieldText(parts, 'response_format') ?? 'json'
  if (format === 'text')
    return { kind: 'bytes', contentType: 'text/plain; charset=utf-8', bytes: Buffer.from(`${heard}\n`) }
  const tokens = countTokens(heard)
  const usage = { type: 'tokens', input_tokens: tokens, output_tokens: tokens, total_tokens: tokens * 2 }
  const verbose = { task: 'transcribe', language: 'english', duration: 1, segments: [] }
  return { kind: 'json', body: { ...(format === 'verbose_json' ? verbose : {}), text: heard, usage } }
}
