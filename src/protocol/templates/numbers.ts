import { isUtf8 } from 'node:buffer'
import type { Json } from '../../contracts/canonical.ts'
import { TensorFault } from './tensor.ts'

/** How elements lie in the bytes of a tensor, little endian. */
export type Layout =
  | 'bool'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'half'
  | 'bfloat16'
  | 'float'
  | 'double'

const SIZES: Readonly<Record<Layout, number>> = {
  bool: 1,
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  half: 2,
  bfloat16: 2,
  float: 4,
  double: 8,
}

/** Where a number would not be exact it is a text. */
export const exact = (value: bigint): Json => {
  const near = Number(value)
  return Number.isSafeInteger(near) ? near : String(value)
}

/** What JSON has no word for is an empty place: nobody takes it for a number. */
export const finite = (value: number): Json => (Number.isFinite(value) ? value : null)

/** IEEE 754 binary16. bits: 0 to 65535. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

const scratch = new DataView(new ArrayBuffer(4))

/** The upper half of a binary32. */
export function bfloat16ToNumber(bits: number): number {
  scratch.setUint32(0, (bits & 0xffff) << 16)
  return scratch.getFloat32(0)
}

type Read = (view: DataView, at: number) => Json

const READS: Readonly<Record<Layout, Read>> = {
  bool: (view, at) => view.getUint8(at) !== 0,
  int8: (view, at) => view.getInt8(at),
  uint8: (view, at) => view.getUint8(at),
  int16: (view, at) => view.getInt16(at, true),
  uint16: (view, at) => view.getUint16(at, true),
  int32: (view, at) => view.getInt32(at, true),
  uint32: (view, at) => view.getUint32(at, true),
  int64: (view, at) => exact(view.getBigInt64(at, true)),
  uint64: (view, at) => exact(view.getBigUint64(at, true)),
  half: (view, at) => finite(halfToNumber(view.getUint16(at, true))),
  bfloat16: (view, at) => finite(bfloat16ToNumber(view.getUint16(at, true))),
  float: (view, at) => finite(view.getFloat32(at, true)),
  double: (view, at) => finite(view.getFloat64(at, true)),
}

/** All elements. count: as the shape says. Throws TensorFault when there are more bytes or fewer. */
export function readRaw(bytes: Uint8Array, layout: Layout, count: number): Json[] {
  const size = SIZES[layout]
  if (bytes.length !== count * size) throw new TensorFault('the data are not as many as the shape says')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const read = READS[layout]
  const values: Json[] = []
  for (let at = 0; at < bytes.length; at += size) values.push(read(view, at))
  return values
}

/** A text, or what no text can be as base64, as TensorFlow Serving's REST API has it. */
export function textOrBytes(bytes: Uint8Array): Json {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return isUtf8(buffer) ? buffer.toString() : { b64: buffer.toString('base64') }
}

/** The reverse. value: a text or `{b64}`. */
export const bytesOf = (value: Json): Uint8Array<ArrayBuffer> =>
  typeof value === 'string'
    ? Buffer.from(value)
    : Buffer.from(String((value as { readonly b64?: unknown }).b64 ?? ''), 'base64')

/**
 * Texts of a raw tensor, each after its length in four bytes (Triton's serialisation of BYTES). Throws TensorFault when they
 * are not `count`, or reach beyond the end.
 */
export function readRawTexts(bytes: Uint8Array, count: number): Json[] {
  // Each has a length at least: what is claimed beyond that has no data.
  if (count > bytes.length / 4) throw new TensorFault('the data are not as many as the shape says')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const values: Json[] = []
  let at = 0
  while (at < bytes.length) {
    if (bytes.length - at < 4) throw new TensorFault('a text without its length')
    const length = view.getUint32(at, true)
    at += 4
    if (length > bytes.length - at) throw new TensorFault('a text beyond its tensor')
    values.push(textOrBytes(bytes.subarray(at, at + length)))
    at += length
  }
  if (values.length !== count) throw new TensorFault('the data are not as many as the shape says')
  return values
}
