import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../contracts/canonical.ts'
import type { MappingConfig, TensorType } from '../../contracts/config-mapping.ts'
import { DataType, PredictRequestSchema, PredictResponseSchema, TensorProtoSchema } from '../grpc/gen/tensorflow_pb.ts'
import { named, NO_MAPPING } from '../templates/defaults.ts'
import { elementsOf, nest, TensorFault } from '../templates/tensor.ts'
import { readTensor, tensorflowGrpc, writeTensor } from './grpc.ts'

const VALUES: Readonly<Record<TensorType, fc.Arbitrary<Json>>> = {
  string: fc.string({ unit: 'grapheme' }),
  int32: fc.integer(),
  int64: fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }).map(String)),
  float: fc.float({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0),
  double: fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0),
  bool: fc.boolean(),
}

test.each(Object.keys(VALUES) as TensorType[])('a tensor of %s is read as it was written, over the wire', (type) => {
  const tensors = fc
    .array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 })
    .chain((shape) =>
      fc
        .array(VALUES[type], { minLength: elementsOf(shape), maxLength: elementsOf(shape) })
        .map((data) => nest(data, shape)),
    )
  fc.assert(
    fc.property(tensors, (value) => {
      const bytes = toBinary(TensorProtoSchema, writeTensor(value, type))
      expect(readTensor(fromBinary(TensorProtoSchema, bytes))).toEqual(value)
    }),
  )
})

type Init = MessageInitShape<typeof TensorProtoSchema>
const tensor = (init: Init) => create(TensorProtoSchema, init)
const dims = (...sizes: (number | bigint)[]) => ({ dim: sizes.map((size) => ({ size: BigInt(size) })) })

test('a value that stands for all is repeated, as TensorFlow does, up to a bound', () => {
  expect(readTensor(tensor({ dtype: DataType.DT_FLOAT, tensorShape: dims(2, 2), floatVal: [1, 7] }))).toEqual([
    [1, 7],
    [7, 7],
  ])
  expect(readTensor(tensor({ dtype: DataType.DT_FLOAT, tensorShape: dims(0) }))).toEqual([])
})

const HOSTILE: readonly (readonly [string, Init])[] = [
  ['a terabyte of one value', { dtype: DataType.DT_FLOAT, tensorShape: dims(1n << 20n, 1n << 20n), floatVal: [1] }],
  [
    'sizes whose product is no number',
    { dtype: DataType.DT_FLOAT, tensorShape: dims(1n << 60n, 1n << 60n), floatVal: [1] },
  ],
  ['a negative size', { dtype: DataType.DT_INT32, tensorShape: dims(-1), intVal: [1] }],
  ['no data', { dtype: DataType.DT_STRING, tensorShape: dims(3) }],
  ['more data than its shape', { dtype: DataType.DT_INT32, tensorShape: dims(1), intVal: [1, 2] }],
  ['bytes that are cut', { dtype: DataType.DT_FLOAT, tensorShape: dims(2), tensorContent: new Uint8Array(7) }],
  ['more bytes than its shape', { dtype: DataType.DT_INT64, tensorShape: dims(1), tensorContent: new Uint8Array(16) }],
  ['texts in one piece', { dtype: DataType.DT_STRING, tensorShape: dims(1), tensorContent: new Uint8Array(4) }],
  ['a type that is none', { dtype: 8 as DataType, tensorShape: dims(1), floatVal: [1] }],
  ['no rank', { dtype: DataType.DT_FLOAT, tensorShape: { unknownRank: true }, floatVal: [1] }],
  [
    'a rank of a hundred',
    { dtype: DataType.DT_FLOAT, tensorShape: dims(...Array<number>(100).fill(1)), floatVal: [1] },
  ],
]

test.each(HOSTILE)('%s is refused', (_what, init) => {
  expect(() => readTensor(tensor(init))).toThrow(TensorFault)
})

test('any bytes are read or refused, and nothing else', () => {
  const codec = tensorflowGrpc(NO_MAPPING)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        JSON.parse(codec.answer(bytes))
      } catch (error) {
        expect(error).toBeInstanceOf(Error)
        expect(String(error)).not.toMatch(/Invalid (?:array|string|typed array) length|allocat/)
      }
    }),
  )
})

const MAPPING: MappingConfig = {
  ...NO_MAPPING,
  inputs: [{ name: 'n', value: '{{max_tokens}}', type: 'int64', shape: null, fallback: null }],
  outputs: { ...NO_MAPPING.outputs, text: named('output'), finish: named('output') },
}
const request = (path: string) =>
  fromBinary(
    PredictRequestSchema,
    tensorflowGrpc(MAPPING).request(path, Buffer.from('{"inputs":{"n":["9007199254740993"]}}')),
  )

test('model, version and label are read off the path, and outputs are asked for by name', () => {
  const plain = request('/v1/models/a%2Fb:predict')
  expect(plain.modelSpec).toMatchObject({ name: 'a/b', versionChoice: { case: undefined } })
  expect(plain.outputFilter).toEqual(['output'])
  expect(plain.inputs['n']!.int64Val).toEqual([9007199254740993n])
  expect(request('/v1/models/m/versions/12:predict').modelSpec!.versionChoice).toMatchObject({
    case: 'version',
    value: { value: 12n },
  })
  expect(request('/under/v1/models/m/labels/can%20ary:predict').modelSpec!.versionChoice).toEqual({
    case: 'versionLabel',
    value: 'can ary',
  })
  expect(() => request('/v1/models')).toThrow('No model is named')
})

test('bytes that are no text stay bytes', () => {
  const bytes = toBinary(
    PredictResponseSchema,
    create(PredictResponseSchema, {
      outputs: {
        o: tensor({
          dtype: DataType.DT_STRING,
          tensorShape: dims(2),
          stringVal: [new Uint8Array([0xff, 0]), new Uint8Array(Buffer.from('ü'))],
        }),
      },
    }),
  )
  expect(JSON.parse(tensorflowGrpc(NO_MAPPING).answer(bytes))).toEqual({ outputs: { o: [{ b64: '/wA=' }, 'ü'] } })
})
