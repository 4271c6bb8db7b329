import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SvidFault } from './material.ts'
import { splitDer } from './spiffe.ts'

const value = fc.uint8Array({ maxLength: 70_000, size: 'max' }).map((content) => {
  const { length } = content
  const head =
    length < 0x80
      ? [0x30, length]
      : length < 0x100
        ? [0x30, 0x81, length]
        : length < 0x10000
          ? [0x30, 0x82, length >> 8, length & 0xff]
          : [0x30, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]
  return Buffer.concat([Buffer.from(head), content])
})

test('certificates that stand one after another come out as they went in', () => {
  fc.assert(
    fc.property(fc.array(value, { maxLength: 5 }), (values) => {
      expect(splitDer(Buffer.concat(values)).map((part) => Buffer.from(part))).toEqual(values)
    }),
    { numRuns: 50 },
  )
})

test('anything else is refused, by no other fault', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (bytes) => {
      try {
        const parts = splitDer(bytes)
        expect(Buffer.concat(parts)).toEqual(Buffer.from(bytes))
      } catch (error) {
        expect(error).toBeInstanceOf(SvidFault)
      }
    }),
  )
  expect(() => splitDer(Buffer.from([0x30, 0x80, 0, 0]))).toThrow('no DER')
  expect(() => splitDer(Buffer.from([0x30, 0x05, 0]))).toThrow('no DER')
})
