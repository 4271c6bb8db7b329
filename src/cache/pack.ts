import type { Entry } from './entry.ts'

const VERSION = 1
/** Version, length of the head. */
const FIXED_BYTES = 5

/** An entry as bytes, for what lies elsewhere: what it is in JSON, then its body as it is. */
export function packEntry({ body, ...head }: Entry): Buffer {
  const json = Buffer.from(JSON.stringify(head))
  const out = Buffer.allocUnsafe(FIXED_BYTES + json.length + body.length)
  out[0] = VERSION
  out.writeUInt32LE(json.length, 1)
  json.copy(out, FIXED_BYTES)
  body.copy(out, FIXED_BYTES + json.length)
  return out
}

const TEXTS = ['id', 'key', 'partition', 'scope', 'text', 'target', 'model', 'tenant', 'principal'] as const
const NUMBERS = ['nanoUsd', 'createdAt', 'expiresAt'] as const

/** null = it is none, or of another version. Never throws. */
export function unpackEntry(bytes: Uint8Array): Entry | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length < FIXED_BYTES || buffer[0] !== VERSION) return null
  const end = FIXED_BYTES + buffer.readUInt32LE(1)
  if (end > buffer.length) return null
  try {
    const head = JSON.parse(buffer.toString('utf8', FIXED_BYTES, end)) as Record<string, unknown>
    const fits =
      TEXTS.every((name) => typeof head[name] === 'string') &&
      NUMBERS.every((name) => typeof head[name] === 'number') &&
      (head['question'] === null || typeof head['question'] === 'string') &&
      Array.isArray(head['tags'])
    return fits ? ({ ...head, body: buffer.subarray(end) } as unknown as Entry) : null
  } catch {
    return null
  }
}
