import type { TextVector } from '../contracts/semantic.ts'
import type { Entry } from './entry.ts'

const VERSION = 1
/** Version, length of the head. */
const FIXED_BYTES = 5

/** The point of an entry's question, and by whom it was made: points of others are of no use. */
export interface KeptVector {
  readonly of: string
  readonly vector: TextVector
}

/** What lies elsewhere. */
export interface Packed {
  readonly entry: Entry
  /** null = its question has none, or had none yet. */
  readonly vector: KeptVector | null
}

/** An entry as bytes, for what lies elsewhere: what it is in JSON, then its body as it is. */
export function packEntry({ body, ...head }: Entry, vector: KeptVector | null = null): Buffer {
  const point = vector === null ? {} : { point: textOf(vector) }
  const json = Buffer.from(JSON.stringify({ ...head, ...point }))
  const out = Buffer.allocUnsafe(FIXED_BYTES + json.length + body.length)
  out[0] = VERSION
  out.writeUInt32LE(json.length, 1)
  json.copy(out, FIXED_BYTES)
  body.copy(out, FIXED_BYTES + json.length)
  return out
}

function textOf({ of, vector: { values, norm, coverage } }: KeptVector): object {
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.length)
  return { of, values: bytes.toString('base64'), norm, coverage }
}

function vectorOf(point: unknown): KeptVector | null {
  if (typeof point !== 'object' || point === null) return null
  const { of, values, norm, coverage } = point as Record<string, unknown>
  if (typeof of !== 'string' || typeof values !== 'string') return null
  if (typeof norm !== 'number' || typeof coverage !== 'number') return null
  return { of, vector: { values: Int8Array.from(Buffer.from(values, 'base64')), norm, coverage } }
}

const TEXTS = ['id', 'key', 'partition', 'scope', 'text', 'target', 'model', 'tenant', 'principal'] as const
const NUMBERS = ['nanoUsd', 'createdAt', 'expiresAt'] as const

/** null = it is none, or of another version. Never throws. The body is a view of the bytes. */
export function unpackEntry(bytes: Uint8Array): Packed | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length < FIXED_BYTES || buffer[0] !== VERSION) return null
  const end = FIXED_BYTES + buffer.readUInt32LE(1)
  if (end > buffer.length) return null
  try {
    const { point, ...head } = JSON.parse(buffer.toString('utf8', FIXED_BYTES, end)) as Record<string, unknown>
    const fits =
      TEXTS.every((name) => typeof head[name] === 'string') &&
      NUMBERS.every((name) => typeof head[name] === 'number') &&
      (head['question'] === null || typeof head['question'] === 'string') &&
      Array.isArray(head['tags'])
    if (!fits) return null
    return { entry: { ...head, body: buffer.subarray(end) } as unknown as Entry, vector: vectorOf(point) }
  } catch {
    return null
  }
}
