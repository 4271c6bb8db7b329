/**
 * The file of an index: head, records, SHA-256 (or HMAC) of all before it. Numbers are little-endian.
 *
 *   head       8 bytes MAGIC, u32 FORMAT, u16 dimensions, u16 length, embedder (UTF-8)
 *   partition  0x50, u16 length, key (UTF-8)
 *   entry      0x45, u32 which partition of those before, f64 expiresAt, one byte a component, u32 length, payload
 *   end        0x5a, u32 partitions, u32 entries
 */
export const MAGIC = Buffer.from('HDLVEC\r\n', 'latin1')
export const FORMAT = 1
export const CHECKSUM_BYTES = 32
const PARTITION = 0x50
const ENTRY = 0x45
const END = 0x5a
/** The longest key and the longest version of an embedder, bytes. */
const MAX_NAME = 0xffff
const HEAD_BYTES = MAGIC.length + 8
const ENTRY_HEAD = 13

function named(text: string): Buffer {
  const bytes = Buffer.from(text)
  if (bytes.length > MAX_NAME) throw new RangeError(`a name of ${bytes.length} bytes in a snapshot`)
  return bytes
}

export function headRecord(embedder: string, dimensions: number): Buffer {
  const name = named(embedder)
  const head = Buffer.alloc(HEAD_BYTES + name.length)
  MAGIC.copy(head)
  head.writeUInt32LE(FORMAT, MAGIC.length)
  head.writeUInt16LE(dimensions, MAGIC.length + 4)
  head.writeUInt16LE(name.length, MAGIC.length + 6)
  name.copy(head, HEAD_BYTES)
  return head
}

export function partitionRecord(key: string): Buffer {
  const name = named(key)
  const record = Buffer.alloc(3 + name.length)
  record[0] = PARTITION
  record.writeUInt16LE(name.length, 1)
  name.copy(record, 3)
  return record
}

/** All of an entry but its payload, which follows. */
export function entryRecord(partition: number, expiresAt: number, values: Int8Array, payloadBytes: number): Buffer {
  const record = Buffer.allocUnsafe(ENTRY_HEAD + values.length + 4)
  record[0] = ENTRY
  record.writeUInt32LE(partition, 1)
  record.writeDoubleLE(expiresAt, 5)
  record.set(new Uint8Array(values.buffer, values.byteOffset, values.length), ENTRY_HEAD)
  record.writeUInt32LE(payloadBytes, ENTRY_HEAD + values.length)
  return record
}

export function endRecord(partitions: number, entries: number): Buffer {
  const record = Buffer.alloc(9)
  record[0] = END
  record.writeUInt32LE(partitions, 1)
  record.writeUInt32LE(entries, 5)
  return record
}

export interface Head {
  readonly dimensions: number
  readonly embedder: string
  /** Where the records begin. */
  readonly end: number
}

/** Of a file whose first bytes are MAGIC and FORMAT. null = cut. */
export function readHead(bytes: Buffer): Head | null {
  if (bytes.length < HEAD_BYTES) return null
  const end = HEAD_BYTES + bytes.readUInt16LE(MAGIC.length + 6)
  if (bytes.length < end) return null
  return {
    dimensions: bytes.readUInt16LE(MAGIC.length + 4),
    embedder: bytes.toString('utf8', HEAD_BYTES, end),
    end,
  }
}

/** values and payload are views of the file's bytes. */
export type TakeEntry = (partition: string, expiresAt: number, values: Int8Array, payload: Buffer) => void

/** Reads the records in [from, to). false = they are not what a writer writes; some may have been taken by then. */
export function readRecords(bytes: Buffer, from: number, to: number, dimensions: number, take: TakeEntry): boolean {
  const keys: string[] = []
  const entryBytes = ENTRY_HEAD + dimensions + 4
  let entries = 0
  let at = from
  while (at < to) {
    const kind = bytes[at]
    if (kind === ENTRY && to - at >= entryBytes) {
      const payloadAt = at + entryBytes
      const payloadBytes = bytes.readUInt32LE(payloadAt - 4)
      const key = keys[bytes.readUInt32LE(at + 1)]
      const expiresAt = bytes.readDoubleLE(at + 5)
      if (key === undefined || Number.isNaN(expiresAt) || payloadBytes > to - payloadAt) return false
      const values = new Int8Array(bytes.buffer, bytes.byteOffset + at + ENTRY_HEAD, dimensions)
      take(key, expiresAt, values, bytes.subarray(payloadAt, payloadAt + payloadBytes))
      entries++
      at = payloadAt + payloadBytes
    } else if (kind === PARTITION && to - at >= 3) {
      const end = at + 3 + bytes.readUInt16LE(at + 1)
      if (end > to) return false
      keys.push(bytes.toString('utf8', at + 3, end))
      at = end
    } else {
      const whole = kind === END && to - at === 9
      return whole && bytes.readUInt32LE(at + 1) === keys.length && bytes.readUInt32LE(at + 5) === entries
    }
  }
  return false
}
