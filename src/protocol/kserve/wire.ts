import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { TensorType } from '../../contracts/config-mapping.ts'
import type { ServerCodec } from '../templates/mapped-wire.ts'
import type { Lookup } from '../templates/outputs.ts'
import { isObject } from '../canonical/read.ts'
import { elementsOf, flatten, nest } from '../templates/tensor.ts'

/** Names of types (inference_rest.md, Tensor Data Types). */
export const KSERVE_TYPES: Readonly<Record<TensorType, string>> = {
  string: 'BYTES',
  int32: 'INT32',
  int64: 'INT64',
  float: 'FP32',
  double: 'FP64',
  bool: 'BOOL',
}

/** Data may be flat or in rows; either way it must be as much as the shape says. Throws TensorFault. */
function valueOf(output: JsonObject): Json {
  const shape = Array.isArray(output['shape']) ? output['shape'].map(Number) : []
  const { data } = flatten(output['data'] ?? null)
  if (elementsOf(shape) !== data.length) throw new RangeError('the data are not as many as the shape says')
  return nest(data, shape)
}

function lookupIn(body: Json): Lookup | null {
  const outputs = isObject(body) ? body['outputs'] : undefined
  if (!Array.isArray(outputs)) return null
  return (wanted) => {
    const output = outputs.find((one) => isObject(one) && one['name'] === wanted)
    try {
      return isObject(output) ? valueOf(output) : undefined
    } catch {
      return undefined
    }
  }
}

/**
 * Open Inference Protocol, known as KServe v2: POST /v2/models/NAME/infer (kserve/open-inference-protocol inference_rest.md).
 * Triton, KServe, MLServer, OpenVINO Model Server and TorchServe speak it.
 */
export const kserveCodec: ServerCodec = {
  dialect: 'kserve.infer',
  path: ({ version }, model) => `${modelPath(model, version)}/infer`,
  body(plan, variables, count) {
    const parameters = plan.fields(variables, 'parameters')
    const { outputs } = plan.mapping
    const names = new Set(Object.values(outputs).flatMap((ref) => (ref === null ? [] : [ref.name])))
    return {
      ...(Object.keys(parameters).length === 0 ? {} : { parameters }),
      inputs: plan.tensors(variables, count).map(({ name, type, shape, data }) => ({
        name,
        shape: [...shape],
        datatype: KSERVE_TYPES[type],
        data: [...data],
      })),
      outputs: [...names].map((name) => ({ name })),
    }
  },
  lookup: lookupIn,
}

export const modelPath = (model: string, version: string): string =>
  `/v2/models/${encodeURIComponent(model)}${version === '' ? '' : `/versions/${encodeURIComponent(version)}`}`
