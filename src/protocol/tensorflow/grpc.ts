import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { MappingConfig, TensorType } from '../../contracts/config-mapping.ts'
import type { GrpcCodec } from '../templates/grpc-codec.ts'
import { GatewayError } from '../../core/errors.ts'
import { isObject } from '../canonical/read.ts'
import {
  DataType,
  ModelSpecSchema,
  PredictRequestSchema,
  PredictResponseSchema,
  TensorProtoSchema,
  type ModelSpec,
  type TensorProto,
} from '../grpc/gen/tensorflow_pb.ts'
import {
  bfloat16ToNumber,
  bytesOf,
  exact,
  finite,
  halfToNumber,
  readRaw,
  textOrBytes,
  type Layout,
} from '../templates/numbers.ts'
import { elementsOf, flatten, nest, TensorFault } from '../templates/tensor.ts'

type Value = Partial<Omit<TensorProto, '$typeName' | '$unknown'>>

const FILLS: Readonly<Record<TensorType, (data: readonly Json[]) => Value>> = {
  string: (data) => ({ dtype: DataType.DT_STRING, stringVal: data.map(bytesOf) }),
  int32: (data) => ({ dtype: DataType.DT_INT32, intVal: data.map(Number) }),
  int64: (data) => ({ dtype: DataType.DT_INT64, int64Val: data.map((value) => BigInt(value as number | string)) }),
  float: (data) => ({ dtype: DataType.DT_FLOAT, floatVal: data.map(Number) }),
  double: (data) => ({ dtype: DataType.DT_DOUBLE, doubleVal: data.map(Number) }),
  bool: (data) => ({ dtype: DataType.DT_BOOL, boolVal: data.map(Boolean) }),
}

/** value: rows within rows, elements in their type (coerce). Throws TensorFault. */
export function writeTensor(value: Json, type: TensorType): TensorProto {
  const { shape, data } = flatten(value)
  return create(TensorProtoSchema, {
    ...FILLS[type](data),
    tensorShape: { dim: shape.map((size) => ({ size: BigInt(size) })) },
  })
}

const LAYOUTS: Readonly<Partial<Record<DataType, Layout>>> = {
  [DataType.DT_FLOAT]: 'float',
  [DataType.DT_DOUBLE]: 'double',
  [DataType.DT_INT32]: 'int32',
  [DataType.DT_UINT8]: 'uint8',
  [DataType.DT_INT16]: 'int16',
  [DataType.DT_INT8]: 'int8',
  [DataType.DT_INT64]: 'int64',
  [DataType.DT_BOOL]: 'bool',
  [DataType.DT_BFLOAT16]: 'bfloat16',
  [DataType.DT_UINT16]: 'uint16',
  [DataType.DT_HALF]: 'half',
  [DataType.DT_UINT32]: 'uint32',
  [DataType.DT_UINT64]: 'uint64',
}

/** The field that has the elements of a type one by one. */
function listed(tensor: TensorProto): readonly Json[] {
  switch (tensor.dtype) {
    case DataType.DT_FLOAT:
      return tensor.floatVal.map(finite)
    case DataType.DT_DOUBLE:
      return tensor.doubleVal.map(finite)
    case DataType.DT_INT64:
      return tensor.int64Val.map(exact)
    case DataType.DT_UINT64:
      return tensor.uint64Val.map(exact)
    case DataType.DT_UINT32:
      return tensor.uint32Val
    case DataType.DT_BOOL:
      return tensor.boolVal
    case DataType.DT_STRING:
      return tensor.stringVal.map(textOrBytes)
    case DataType.DT_HALF:
      return tensor.halfVal.map((bits) => finite(halfToNumber(bits & 0xffff)))
    case DataType.DT_BFLOAT16:
      return tensor.halfVal.map((bits) => finite(bfloat16ToNumber(bits)))
    default:
      return tensor.intVal
  }
}

/** Most elements that one value, or the last one, may stand for. */
const MAX_REPEATED = 65_536

/** tensor.proto: a list that is shorter than the shape says ends with the element that fills the rest. */
function filled(values: readonly Json[], count: number): readonly Json[] {
  if (values.length === count) return values
  if (values.length === 0 || values.length > count || count > MAX_REPEATED)
    throw new TensorFault('the data are not as many as the shape says')
  return [...values, ...Array<Json>(count - values.length).fill(values.at(-1)!)]
}

/** Rows within rows. Throws TensorFault. */
export function readTensor(tensor: TensorProto): Json {
  const { tensorShape, tensorContent, dtype } = tensor
  if (tensorShape?.unknownRank === true) throw new TensorFault('a tensor without a shape')
  const dims = (tensorShape?.dim ?? []).map(({ size }) => size)
  const count = elementsOf(dims)
  const shape = dims.map(Number)
  const layout = LAYOUTS[dtype]
  if (layout === undefined && dtype !== DataType.DT_STRING) throw new TensorFault(`a tensor of type ${dtype}`)
  if (tensorContent.length === 0) return nest(filled(listed(tensor), count), shape)
  if (layout === undefined) throw new TensorFault('texts in one piece')
  return nest(readRaw(tensorContent, layout, count), shape)
}

const PATH = /^.*\/v1\/models\/([^/:]+)(?:\/versions\/(\d{1,18})|\/labels\/([^/:]+))?:predict$/

/** path: of the wire. */
function specOf(path: string, signature: Json | undefined): ModelSpec {
  const [, model, version, label] = PATH.exec(path) ?? []
  if (model === undefined) throw new GatewayError('internal', `No model is named by the path of a prediction.`)
  return create(ModelSpecSchema, {
    name: decodeURIComponent(model),
    signatureName: typeof signature === 'string' ? signature : '',
    ...(version === undefined ? {} : { versionChoice: { case: 'version', value: { value: BigInt(version) } } }),
    ...(label === undefined ? {} : { versionChoice: { case: 'versionLabel', value: decodeURIComponent(label) } }),
  })
}

/** tensorflow.serving.PredictionService/Predict (tensorflow_serving/apis/prediction_service.proto). */
export function tensorflowGrpc({ inputs, outputs }: MappingConfig): GrpcCodec {
  const types = new Map(inputs.map(({ name, type }) => [name, type ?? 'string'] as const))
  const wanted = [...new Set(Object.values(outputs).flatMap((ref) => (ref === null ? [] : [ref.name])))]
  return {
    method: '/tensorflow.serving.PredictionService/Predict',
    request(path, body) {
      const sent = JSON.parse(body.toString()) as JsonObject
      const columns = isObject(sent['inputs']) ? sent['inputs'] : {}
      const message = create(PredictRequestSchema, {
        modelSpec: specOf(path, sent['signature_name']),
        inputs: Object.fromEntries(
          Object.entries(columns).map(([name, value]) => [name, writeTensor(value, types.get(name) ?? 'string')]),
        ),
        outputFilter: wanted,
      })
      return toBinary(PredictRequestSchema, message)
    },
    answer(bytes) {
      const response = fromBinary(PredictResponseSchema, bytes)
      const values = Object.entries(response.outputs).map(([name, tensor]) => [name, readTensor(tensor)] as const)
      return JSON.stringify({ outputs: Object.fromEntries(values) })
    },
  }
}
