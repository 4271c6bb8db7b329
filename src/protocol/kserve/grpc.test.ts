import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { InferTensorSchema, ModelInferRequestSchema, ModelInferResponseSchema } from '../grpc/gen/kserve_pb.ts'
import { TensorFault } from '../templates/tensor.ts'
import { kserveGrpc, readOutput } from './grpc.ts'

const output = (datatype: string, shape: readonly bigint[], contents = {}) =>
  create(InferTensorSchema, { name: 'o', datatype, shape: [...shape], contents })

test('elements are read by their type, listed and raw', () => {
  expect(readOutput(output('INT64', [2n], { int64Contents: [1n, 2n ** 60n] }), [], 0)).toMatchObject({
    data: [1, String(2n ** 60n)],
  })
  expect(readOutput(output('UINT8', [1n, 2n], { uintContents: [1, 255] }), [], 0)).toMatchObject({
    shape: [1, 2],
    data: [1, 255],
  })
  expect(readOutput(output('FP16', [1n]), [new Uint8Array([0, 0x3c])], 0)).toMatchObject({ data: [1] })
  expect(readOutput(output('BF16', [1n]), [new Uint8Array([0x80, 0x3f])], 0)).toMatchObject({ data: [1] })
  expect(readOutput(output('BOOL', [2n]), [new Uint8Array([0, 1])], 0)).toMatchObject({ data: [false, true] })
  expect(readOutput(output('BYTES', [1n]), [new Uint8Array([2, 0, 0, 0, 0x68, 0x69])], 0)).toMatchObject({
    data: ['hi'],
  })
})

test('what is not as much as its shape says is refused, before anything is made by it', () => {
  const bad: readonly (readonly [string, readonly bigint[], object, readonly Uint8Array[]])[] = [
    ['FP32', [1n << 40n], { fp32Contents: [1] }, []],
    ['FP32', [1n << 60n, 1n << 60n], {}, [new Uint8Array(4)]],
    ['FP32', [-1n], {}, []],
    ['FP32', [2n], {}, [new Uint8Array(4)]],
    ['BYTES', [1n << 40n], {}, [new Uint8Array(8)]],
    ['BYTES', [1n], {}, [new Uint8Array([255, 255, 255, 255])]],
    ['BYTES', [2n], { bytesContents: [new Uint8Array(1)] }, []],
    ['COMPLEX', [1n], {}, []],
  ]
  for (const [datatype, shape, contents, raw] of bad)
    expect(() => readOutput(output(datatype, shape, contents), raw, 0)).toThrow(TensorFault)
  expect(() => readOutput(output('FP32', [1n]), [new Uint8Array(4)], 1)).toThrow(TensorFault)
})

test('any bytes are read or refused, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        JSON.parse(kserveGrpc.answer(bytes))
      } catch (error) {
        expect(error).toBeInstanceOf(Error)
        expect(String(error)).not.toMatch(/Invalid (?:array|string|typed array) length|allocat/)
      }
    }),
  )
})

test('a request is told with its types, shapes and parameters', () => {
  const body = {
    parameters: { t: 0.5, n: 3, on: true, mode: 'x' },
    inputs: [
      { name: 'text', shape: [2], datatype: 'BYTES', data: ['hi', { b64: '/w==' }] },
      { name: 'big', shape: [1], datatype: 'INT64', data: ['9007199254740993'] },
      { name: 'f', shape: [1, 1], datatype: 'FP32', data: [0.25] },
    ],
    outputs: [{ name: 'o' }],
  }
  const bytes = kserveGrpc.request('/v2/models/a%20b/versions/7/infer', Buffer.from(JSON.stringify(body)))
  const sent = fromBinary(ModelInferRequestSchema, bytes)
  expect(sent).toMatchObject({ modelName: 'a b', modelVersion: '7' })
  expect(
    Object.fromEntries(Object.entries(sent.parameters).map(([name, value]) => [name, value.parameterChoice])),
  ).toEqual({
    t: { case: 'doubleParam', value: 0.5 },
    n: { case: 'int64Param', value: 3n },
    on: { case: 'boolParam', value: true },
    mode: { case: 'stringParam', value: 'x' },
  })
  expect(sent.inputs.map(({ shape }) => shape)).toEqual([[2n], [1n], [1n, 1n]])
  expect(sent.inputs[0]!.contents!.bytesContents.map((one) => [...one])).toEqual([[0x68, 0x69], [0xff]])
  expect(sent.inputs[1]!.contents!.int64Contents).toEqual([9007199254740993n])
  expect(sent.outputs.map(({ name }) => name)).toEqual(['o'])
})

test('an answer is told as the REST API tells it', () => {
  const bytes = toBinary(
    ModelInferResponseSchema,
    create(ModelInferResponseSchema, {
      modelName: 'm',
      modelVersion: '1',
      outputs: [output('FP32', [1n, 2n], { fp32Contents: [1, 2] })],
    }),
  )
  expect(JSON.parse(kserveGrpc.answer(bytes))).toEqual({
    model_name: 'm',
    model_version: '1',
    outputs: [{ name: 'o', datatype: 'FP32', shape: [1, 2], data: [1, 2] }],
  })
})
