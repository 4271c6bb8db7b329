import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../contracts/canonical.ts'
import { bfloat16ToNumber, halfToNumber, readRaw, readRawTexts } from './numbers.ts'
import { coerce, elementsOf, fitShape, flatten, nest, TensorFault, typeOfValue } from './tensor.ts'

const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 5 })

test('rows within rows and back', () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const data = Array.from({ length: elementsOf(shape) }, (_, i) => i)
      expect(flatten(nest(data, shape))).toEqual({ shape, data })
    }),
  )
  expect(nest(['x'], [])).toBe('x')
  expect(flatten('x')).toEqual({ shape: [], data: ['x'] })
})

test('rows that are no tensor are refused', () => {
  for (const bad of [
    [[1, 2], [3]],
    [1, [2]],
    [[1], 2],
    [[[1]], [[1, 2]]],
  ])
    expect(() => flatten(bad as Json)).toThrow(TensorFault)
  let deep: Json = 1
  for (let i = 0; i < 1000; i++) deep = [deep]
  expect(() => flatten(deep)).toThrow(TensorFault)
})

test('a shape is a claim: what cannot be is refused before anything is made by it', () => {
  for (const bad of [[-1], [1.5], [Number.NaN], [2 ** 40, 2 ** 40], [-2n], [2n ** 62n], Array<number>(9).fill(1)])
    expect(() => elementsOf(bad)).toThrow(TensorFault)
  expect(elementsOf([0, 2 ** 40])).toBe(0)
  expect(nest([], [2 ** 30, 0])).toEqual([])
  expect(nest([], [0, 2 ** 30])).toEqual([])
})

test('one open dimension takes what the data fill', () => {
  expect(fitShape([-1], 3)).toEqual([3])
  expect(fitShape([-1, 2], 6)).toEqual([3, 2])
  expect(fitShape([1, -1], 6)).toEqual([1, 6])
  expect(fitShape([], 1)).toEqual([])
  expect(fitShape([], 2)).toBeNull()
  expect(fitShape([-1, 4], 6)).toBeNull()
  expect(fitShape([2, 3], 6)).toEqual([2, 3])
})

test('elements become their type or are refused by the name of the input', () => {
  expect(coerce(5, 'string', 'x')).toBe('5')
  expect(coerce('7', 'int32', 'x')).toBe(7)
  expect(coerce('9007199254740993', 'int64', 'x')).toBe('9007199254740993')
  expect(coerce('12', 'int64', 'x')).toBe(12)
  expect(coerce('0.5', 'float', 'x')).toBe(0.5)
  expect(coerce('true', 'bool', 'x')).toBe(true)
  expect(coerce({ b64: 'AA==' }, 'string', 'x')).toEqual({ b64: 'AA==' })
  for (const [value, type] of [
    [2 ** 31, 'int32'],
    [1.5, 'int32'],
    ['x', 'int64'],
    ['9223372036854775808', 'int64'],
    [null, 'float'],
    ['', 'double'],
    ['yes', 'bool'],
    [[1], 'int32'],
  ] as const)
    expect(() => coerce(value as Json, type, 'max_len'), `${JSON.stringify(value)} as ${type}`).toThrow(/'max_len'/)
  expect([1, 2 ** 40, 0.5, true, 'x'].map(typeOfValue)).toEqual(['int32', 'int64', 'float', 'bool', 'string'])
})

test('bytes are read as what they are, by as many as the shape says', () => {
  const bytes = Buffer.alloc(8)
  bytes.writeFloatLE(1.5, 0)
  bytes.writeFloatLE(-2, 4)
  expect(readRaw(bytes, 'float', 2)).toEqual([1.5, -2])
  for (const count of [1, 3, 2 ** 40]) expect(() => readRaw(bytes, 'float', count)).toThrow(TensorFault)
  const big = Buffer.alloc(8)
  big.writeBigInt64LE(9007199254740993n)
  expect(readRaw(big, 'int64', 1)).toEqual(['9007199254740993'])
  expect(readRaw(Buffer.from([0, 0, 0xc0, 0x7f]), 'float', 1)).toEqual([null])
})

test('half floats are what DataView says they are', () => {
  const view = new DataView(new ArrayBuffer(4))
  for (let bits = 0; bits < 65536; bits += 7) {
    view.setUint16(0, bits)
    const want = (view as DataView & { getFloat16(at: number): number }).getFloat16(0)
    expect(Object.is(halfToNumber(bits), want) || (Number.isNaN(want) && Number.isNaN(halfToNumber(bits)))).toBe(true)
    view.setUint32(0, bits << 16)
    expect(bfloat16ToNumber(bits)).toEqual(view.getFloat32(0))
  }
})

test('raw texts: any list comes back, any bytes are read or refused', () => {
  const pack = (texts: readonly string[]): Buffer =>
    Buffer.concat(
      texts.flatMap((text) => {
        const length = Buffer.alloc(4)
        length.writeUInt32LE(Buffer.byteLength(text))
        return [length, Buffer.from(text)]
      }),
    )
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' })), (texts) => {
      expect(readRawTexts(pack(texts), texts.length)).toEqual(texts)
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat({ max: 6 }), (bytes, count) => {
      try {
        expect(readRawTexts(bytes, count)).toHaveLength(count)
      } catch (error) {
        expect(error).toBeInstanceOf(TensorFault)
      }
    }),
  )
  expect(() => readRawTexts(Buffer.alloc(8), 2 ** 50)).toThrow(TensorFault)
  expect(readRawTexts(Buffer.from([1, 0, 0, 0, 0xff]), 1)).toEqual([{ b64: '/w==' }])
})
