import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import { BlobRefused } from './blob-refused.ts'

const VERSION = 1
const KEY_ID_BYTES = 4
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES

interface SealKey {
  readonly id: Buffer
  readonly key: Buffer
}

const keyOf = (text: string): SealKey => {
  const key = Buffer.from(text, 'base64')
  return { key, id: createHash('sha256').update('heddle blob key').update(key).digest().subarray(0, KEY_ID_BYTES) }
}

/**
 * AES-256-GCM (NIST SP 800-38D) with a random nonce each. What is sealed is bound to its place: whoever may write in the
 * store cannot put one value in the place of another.
 */
export class Seal {
  readonly #keys: readonly SealKey[]

  /** keys: base64, 32 bytes each; the first one seals, all open. Throws when there is none. */
  constructor(keys: readonly string[]) {
    this.#keys = keys.map(keyOf)
    if (this.#keys.length === 0) throw new Error('a sealed store needs a key')
  }

  seal(place: string, value: Uint8Array): Buffer {
    const { id, key } = this.#keys[0]!
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key, nonce)
    cipher.setAAD(Buffer.from(place))
    const text = [cipher.update(value), cipher.final()]
    return Buffer.concat([Buffer.from([VERSION]), id, nonce, ...text, cipher.getAuthTag()])
  }

  /** Throws BlobRefused (`broken`) when it was not sealed with one of the keys, or not for that place. */
  open(place: string, sealed: Uint8Array): Buffer {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
    const id = bytes.subarray(1, 1 + KEY_ID_BYTES)
    const known = this.#keys.find((key) => key.id.equals(id))
    if (bytes.length < HEAD_BYTES + TAG_BYTES || bytes[0] !== VERSION || known === undefined)
      throw new BlobRefused('broken', 'sealed with a key that is not configured')
    const nonce = bytes.subarray(1 + KEY_ID_BYTES, HEAD_BYTES)
    const end = bytes.length - TAG_BYTES
    const decipher = createDecipheriv('aes-256-gcm', known.key, nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(Buffer.from(place))
    decipher.setAuthTag(bytes.subarray(end))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES, end)), decipher.final()])
    } catch {
      throw new BlobRefused('broken', 'not what was sealed')
    }
  }
}
