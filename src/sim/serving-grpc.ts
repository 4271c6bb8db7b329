/** The gRPC side of the simulated model servers. */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { UnaryCall } from '../protocol/grpc/calls.ts'
import { GrpcServer } from '../protocol/grpc/server.ts'
import {
  GRPCInferenceService,
  InferTensorSchema,
  ModelInferResponseSchema,
  type ModelInferRequest,
  type ModelInferResponse,
} from '../protocol/grpc/gen/kserve_pb.ts'
import {
  DataType,
  PredictionService,
  PredictResponseSchema,
  TensorProtoSchema,
  type PredictRequest,
  type PredictResponse,
  type TensorProto,
} from '../protocol/grpc/gen/tensorflow_pb.ts'
import { readOutput } from '../protocol/kserve/grpc.ts'
import { readTensor } from '../protocol/tensorflow/grpc.ts'
import { flatten } from '../protocol/templates/tensor.ts'
import { predict, ServingError, type ServingOptions, type SimOutputs, type SimTensor } from './serving-model.ts'

const MAX_MESSAGE = 64 * 1024 * 1024

const DTYPES = {
  string: DataType.DT_STRING,
  int32: DataType.DT_INT32,
  float: DataType.DT_FLOAT,
  half: DataType.DT_HALF,
} as const
const DATATYPES = { string: 'BYTES', int32: 'INT32', float: 'FP32', half: 'FP16' } as const

/** IEEE 754 binary16 of a number of ordinary size: those of the brain's vectors are. */
function halfBits(value: number): number {
  const sign = value < 0 ? 0x8000 : 0
  const size = Math.abs(value)
  if (size < 2 ** -14) return sign | Math.round(size * 2 ** 24)
  const exponent = Math.floor(Math.log2(size))
  return sign | (((exponent + 15) << 10) + Math.round((size / 2 ** exponent - 1) * 1024))
}

/** Elements in one piece of memory, little endian; texts each after its length (Triton's form). */
function packed({ type, data }: SimTensor): Uint8Array<ArrayBuffer> {
  if (type === 'string') {
    const parts = data.flatMap((text) => {
      const bytes = Buffer.from(String(text))
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      return [length, bytes]
    })
    return new Uint8Array(Buffer.concat(parts))
  }
  const size = type === 'half' ? 2 : 4
  const bytes = new Uint8Array(data.length * size)
  const view = new DataView(bytes.buffer)
  for (const [i, value] of data.entries())
    if (type === 'half') view.setUint16(i * size, halfBits(Number(value)), true)
    else if (type === 'int32') view.setInt32(i * size, Number(value), true)
    else view.setFloat32(i * size, Number(value), true)
  return bytes
}

/** A model whose name begins with `packed` answers in one piece, as TensorFlow does for large tensors. */
function tensorProto(tensor: SimTensor, inOnePiece: boolean): TensorProto {
  const { type, shape, data } = tensor
  const values = {
    string: () => ({ stringVal: data.map((text) => new Uint8Array(Buffer.from(String(text)))) }),
    int32: () => ({ intVal: data.map(Number) }),
    float: () => ({ floatVal: data.map(Number) }),
    half: () => ({ halfVal: data.map((value) => halfBits(Number(value))) }),
  }
  return create(TensorProtoSchema, {
    dtype: DTYPES[type],
    tensorShape: { dim: shape.map((size) => ({ size: BigInt(size) })) },
    ...(inOnePiece && type !== 'string' ? { tensorContent: packed(tensor) } : values[type]()),
  })
}

/** A claim of a terabyte with a few bytes behind it. */
const HOSTILE = create(TensorProtoSchema, {
  dtype: DataType.DT_FLOAT,
  tensorShape: { dim: [{ size: 1n << 20n }, { size: 1n << 20n }] },
  floatVal: [1, 2],
})

function chosen(outputs: SimOutputs, names: readonly string[]): readonly (readonly [string, SimTensor])[] {
  for (const name of names)
    if (!outputs.has(name)) throw new ServingError(3, `output tensor alias not found in signature: ${name}`)
  return [...outputs].filter(([name]) => names.length === 0 || names.includes(name))
}

function tensorflow(request: PredictRequest, options: ServingOptions): PredictResponse {
  const model = request.modelSpec?.name ?? ''
  const signature = request.modelSpec?.signatureName ?? ''
  if (signature !== '' && signature !== 'serving_default')
    throw new ServingError(3, `Serving signature name: "${signature}" not found in signature def`)
  const inputs = new Map(Object.entries(request.inputs).map(([name, tensor]) => [name, flatten(readTensor(tensor))]))
  const outputs = chosen(predict(model, inputs, options), request.outputFilter)
  const init: MessageInitShape<typeof PredictResponseSchema> = {
    modelSpec: { name: model, signatureName: 'serving_default' },
    outputs: Object.fromEntries(
      outputs.map(([name, tensor]) => [
        name,
        model === 'hostile' ? HOSTILE : tensorProto(tensor, model.startsWith('packed')),
      ]),
    ),
  }
  return create(PredictResponseSchema, init)
}

/** Triton answers in one piece; a model whose name begins with `listed` element by element, as others do. */
function kserve(request: ModelInferRequest, options: ServingOptions): ModelInferResponse {
  const { modelName, inputs, rawInputContents: raw } = request
  const given = new Map(
    inputs.map((tensor, at) => {
      const { shape, data } = readOutput(tensor, raw, at) as { shape: number[]; data: string[] }
      return [tensor.name, { shape, data }]
    }),
  )
  const outputs = chosen(
    predict(modelName, given, options),
    request.outputs.map(({ name }) => name),
  )
  const listed = modelName.startsWith('listed')
  return create(ModelInferResponseSchema, {
    modelName,
    modelVersion: '1',
    id: request.id,
    outputs: outputs.map(([name, tensor]) =>
      create(InferTensorSchema, {
        name,
        datatype: DATATYPES[tensor.type],
        shape: tensor.shape.map(BigInt),
        ...(listed ? { contents: contentsOf(tensor) } : {}),
      }),
    ),
    ...(listed ? {} : { rawOutputContents: outputs.map(([, tensor]) => packed(tensor)) }),
  })
}

function contentsOf({ type, data }: SimTensor): NonNullable<MessageInitShape<typeof InferTensorSchema>['contents']> {
  if (type === 'string') return { bytesContents: data.map((text) => new Uint8Array(Buffer.from(String(text)))) }
  return type === 'int32' ? { intContents: data.map(Number) } : { fp32Contents: data.map(Number) }
}

/** Answers one call. A model named `silent` never does. */
function answer<I, O>(call: UnaryCall<O>, request: I, model: string, run: (request: I) => O): void {
  if (model === 'silent') return
  try {
    call.answer(run(request))
  } catch (error) {
    const code = error instanceof ServingError ? error.code : 3
    call.fail(code, error instanceof Error ? error.message : 'unknown')
  }
}

/** Both services. seen: each request, with its headers where they can be had. */
export function servingGrpc(options: ServingOptions): GrpcServer {
  const server = new GrpcServer({ maxMessage: MAX_MESSAGE, maxPartial: MAX_MESSAGE })
  server.unary('tensorflow.serving.PredictionService', PredictionService.method.predict, (call, request) =>
    answer(call, request, request.modelSpec?.name ?? '', (asked) => tensorflow(asked, options)),
  )
  server.unary('inference.GRPCInferenceService', GRPCInferenceService.method.modelInfer, (call, request) =>
    answer(call, request, request.modelName, (asked) => kserve(asked, options)),
  )
  return server
}
