import { hash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

/**
 * A token table as scripts/cache-model/table.py writes it. Little endian:
 *
 *     0  `HDTB`
 *     4  u32 format, 1
 *     8  u32 rows
 *    12  u32 dimensions, a multiple of 4
 *    16  u32 bytes of the vocabulary
 *    20  u32 share of a text's characters that must be known, in 1/1000
 *    24  32 bytes: sha256 of all that follows
 *    56  the vocabulary: UTF-8, one piece a row, each ended by `\n`, filled with `\0` to a multiple of 4
 *        f32 per row: what its int8 values are multiplied by
 *        u8 per row: how much the piece tells, of 255; filled with `\0` to a multiple of 4
 *        i8 per row and dimension
 */
const HEADER = 56
const FORMAT = 1

export interface Table {
  readonly rows: number
  readonly dimensions: number
  readonly coverageFloor: number
  /** Of the content: the first 12 hex digits of its sha256. */
  readonly checksum: string
  readonly vocabulary: readonly string[]
  readonly scales: Float32Array
  readonly weights: Uint8Array
  readonly values: Int8Array
  /** The file: another thread makes its own Table of it with `tableOf`, without a copy. */
  readonly shared: SharedArrayBuffer
}

/** Reads the whole file. Throws for one that cannot be read or is not a whole table. */
export function readTable(path: string | URL): Table {
  const file = openSync(path, 'r')
  try {
    const shared = new SharedArrayBuffer(fstatSync(file).size)
    const bytes = new Uint8Array(shared)
    for (let at = 0; at < bytes.length;) {
      const count = readSync(file, bytes, at, bytes.length - at, at)
      if (count === 0) throw new Error('token table: the file became shorter while it was read')
      at += count
    }
    return tableOf(shared)
  } finally {
    closeSync(file)
  }
}

/** Throws where the bytes are not a whole table: sizes and checksum are compared. */
export function tableOf(shared: SharedArrayBuffer): Table {
  const bytes = new Uint8Array(shared)
  const view = new DataView(shared)
  if (bytes.length < HEADER || view.getUint32(0) !== 0x48445442) throw new Error('token table: not such a file')
  if (view.getUint32(4, true) !== FORMAT) throw new Error('token table: of another version of the program')
  const rows = view.getUint32(8, true)
  const dimensions = view.getUint32(12, true)
  const words = HEADER + padded(view.getUint32(16, true))
  const weights = words + rows * 4
  const values = weights + padded(rows)
  if (bytes.length !== values + rows * dimensions) throw new Error('token table: cut or too long')
  const checksum = hash('sha256', bytes.subarray(HEADER), 'hex')
  if (checksum !== Buffer.from(bytes.slice(24, HEADER)).toString('hex')) throw new Error('token table: damaged')
  // TextDecoder takes no shared memory
  const text = Buffer.from(bytes.slice(HEADER, HEADER + view.getUint32(16, true))).toString('utf8')
  const vocabulary = text.slice(0, -1).split('\n')
  if (vocabulary.length !== rows) throw new Error('token table: its vocabulary has another size')
  return {
    rows,
    dimensions,
    coverageFloor: view.getUint32(20, true) / 1000,
    checksum: checksum.slice(0, 12),
    vocabulary,
    scales: new Float32Array(shared, words, rows),
    weights: new Uint8Array(shared, weights, rows),
    values: new Int8Array(shared, values, rows * dimensions),
    shared,
  }
}

function padded(bytes: number): number {
  return (bytes + 3) & ~3
}
