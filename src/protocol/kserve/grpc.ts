import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { GrpcCodec } from '../templates/grpc-codec.ts'
import { GatewayError } from '../../core/errors.ts'
import { fieldsOf, listOf, textOf } from '../canonical/loose.ts'
import {
  InferParameterSchema,
  ModelInferRequestSchema,
  ModelInferResponseSchema,
  type InferParameter,
  type InferTensor,
  type InferTensorContents,
} from '../grpc/gen/kserve_pb.ts'
import { bytesOf, exact, finite, readRaw, readRawTexts, textOrBytes, type Layout } from '../templates/numbers.ts'
import { elementsOf, TensorFault } from '../templates/tensor.ts'

type Contents = Partial<Omit<InferTensorContents, '$typeName' | '$unknown'>>

const FILLS: Readonly<Record<string, (data: readonly Json[]) => Contents>> = {
  BYTES: (data) => ({ bytesContents: data.map(bytesOf) }),
  INT32: (data) => ({ intContents: data.map(Number) }),
  INT64: (data) => ({ int64Contents: data.map((value) => BigInt(value as number | string)) }),
  FP32: (data) => ({ fp32Contents: data.map(Number) }),
  FP64: (data) => ({ fp64Contents: data.map(Number) }),
  BOOL: (data) => ({ boolContents: data.map(Boolean) }),
}

const LAYOUTS: Readonly<Record<string, Layout>> = {
  BOOL: 'bool',
  INT8: 'int8',
  UINT8: 'uint8',
  INT16: 'int16',
  UINT16: 'uint16',
  INT32: 'int32',
  UINT32: 'uint32',
  INT64: 'int64',
  UINT64: 'uint64',
  FP16: 'half',
  BF16: 'bfloat16',
  FP32: 'float',
  FP64: 'double',
}

/** The field that has the elements of a type one by one. */
function listed(datatype: string, contents: InferTensorContents | undefined): readonly Json[] {
  if (contents === undefined) return []
  switch (datatype) {
    case 'BYTES':
      return contents.bytesContents.map(textOrBytes)
    case 'BOOL':
      return contents.boolContents
    case 'INT64':
      return contents.int64Contents.map(exact)
    case 'UINT64':
      return contents.uint64Contents.map(exact)
    case 'FP32':
      return contents.fp32Contents.map(finite)
    case 'FP64':
      return contents.fp64Contents.map(finite)
    default:
      return datatype.startsWith('U') ? contents.uintContents : contents.intContents
  }
}

/** raw: undefined = the elements are in the tensor. Throws TensorFault. */
function valuesOf({ datatype, shape, contents }: InferTensor, raw: Uint8Array | undefined): readonly Json[] {
  const count = elementsOf(shape)
  const layout = LAYOUTS[datatype]
  if (layout === undefined && datatype !== 'BYTES') throw new TensorFault('a tensor of a type that is not known')
  if (raw !== undefined) return layout === undefined ? readRawTexts(raw, count) : readRaw(raw, layout, count)
  const values = listed(datatype, contents)
  if (values.length !== count) throw new TensorFault('the data are not as many as the shape says')
  return values
}

/** A tensor as the REST API has it; at: its place, which raw data go by. Throws TensorFault. */
export function readOutput(tensor: InferTensor, raw: readonly Uint8Array[], at: number): JsonObject {
  if (raw.length > 0 && raw[at] === undefined) throw new TensorFault('a tensor without data')
  return {
    name: tensor.name,
    datatype: tensor.datatype,
    shape: tensor.shape.map(Number),
    data: [...valuesOf(tensor, raw[at])],
  }
}

function parameterOf(value: Json): InferParameter {
  const choice = ((): InferParameter['parameterChoice'] => {
    if (typeof value === 'boolean') return { case: 'boolParam', value }
    if (typeof value !== 'number')
      return { case: 'stringParam', value: typeof value === 'string' ? value : JSON.stringify(value) }
    return Number.isSafeInteger(value) ? { case: 'int64Param', value: BigInt(value) } : { case: 'doubleParam', value }
  })()
  return create(InferParameterSchema, { parameterChoice: choice })
}

const PATH = /\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?\/infer$/

function inputOf(value: unknown): { name: string; datatype: string; shape: bigint[]; contents: Contents } {
  const tensor = fieldsOf(value)
  const datatype = textOf(tensor['datatype'])
  return {
    name: textOf(tensor['name']),
    datatype,
    shape: listOf(tensor['shape']).map((size) => BigInt(size as number)),
    contents: FILLS[datatype]!(listOf(tensor['data']) as readonly Json[]),
  }
}

/** inference.GRPCInferenceService/ModelInfer (kserve/open-inference-protocol open_inference_grpc.proto). */
export const kserveGrpc: GrpcCodec = {
  method: '/inference.GRPCInferenceService/ModelInfer',
  request(path, body) {
    const [, model, version = ''] = PATH.exec(path) ?? []
    if (model === undefined) throw new GatewayError('internal', 'No model is named by the path of an inference.')
    const sent = JSON.parse(body.toString()) as JsonObject
    const message = create(ModelInferRequestSchema, {
      modelName: decodeURIComponent(model),
      modelVersion: decodeURIComponent(version),
      parameters: Object.fromEntries(
        Object.entries(fieldsOf(sent['parameters'])).map(([name, value]) => [name, parameterOf(value as Json)]),
      ),
      inputs: listOf(sent['inputs']).map(inputOf),
      outputs: listOf(sent['outputs']).map((one) => ({ name: textOf(fieldsOf(one)['name']) })),
    })
    return toBinary(ModelInferRequestSchema, message)
  },
  answer(bytes) {
    const { modelName, modelVersion, outputs, rawOutputContents: raw } = fromBinary(ModelInferResponseSchema, bytes)
    return JSON.stringify({
      model_name: modelName,
      model_version: modelVersion,
      outputs: outputs.map((tensor, at) => readOutput(tensor, raw, at)),
    })
  },
}
