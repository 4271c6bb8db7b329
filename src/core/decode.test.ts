import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { decodeBody, encodingOf, type Encoding } from './decode.ts'

const decode = (body: Buffer, encoding: Encoding, max: number): Promise<[string | null, Buffer]> =>
  new Promise((resolve) => decodeBody(body, encoding, max, (error, result) => resolve([error, result])))

test.each([
  [undefined, null],
  ['', null],
  ['identity', null],
  [' GZip ', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['BR', 'br'],
  ['zstd', 'zstd'],
  ['gzip, br', 'unknown'],
  ['gzip;q=1', 'unknown'],
  ['compress', 'unknown'],
])('%j is %j', (header, encoding) => {
  expect(encodingOf(header)).toBe(encoding)
})

describe.each<[Encoding, (body: Buffer) => Buffer]>([
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotliCompressSync],
  ['zstd', zstdCompressSync],
])('%s', (encoding, compress) => {
  const text = Buffer.from('loom '.repeat(1000))

  test('comes back whole, up to exactly the limit', async () => {
    expect(await decode(compress(text), encoding, text.length)).toEqual([null, text])
  })

  test('a byte over the limit is too large', async () => {
    expect((await decode(compress(text), encoding, text.length - 1))[0]).toBe('too_large')
  })

  test('cut, damaged or empty is corrupt', async () => {
    const packed = compress(text)
    expect((await decode(packed.subarray(0, -4), encoding, 1 << 20))[0]).toBe('corrupt')
    expect((await decode(Buffer.from('plain text'), encoding, 1 << 20))[0]).toBe('corrupt')
    expect((await decode(Buffer.alloc(0), encoding, 1 << 20))[0]).toBe('corrupt')
  })
})

test('an unknown coding is corrupt', async () => {
  expect((await decode(Buffer.from('x'), 'unknown', 10))[0]).toBe('corrupt')
})
