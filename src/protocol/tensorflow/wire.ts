import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { Lookup } from '../templates/outputs.ts'
import type { ServerCodec } from '../templates/mapped-wire.ts'
import { isObject } from '../canonical/read.ts'
import { nest } from '../templates/tensor.ts'

/** With one output its tensor stands in the place of all: also one that is bytes, `{"b64": ...}`. */
const isAlone = (outputs: Json): boolean =>
  !isObject(outputs) || (typeof outputs['b64'] === 'string' && Object.keys(outputs).length === 1)

function lookupIn(body: Json): Lookup | null {
  const outputs = isObject(body) ? body['outputs'] : undefined
  if (outputs === undefined || outputs === null) return null
  if (isAlone(outputs)) return () => outputs
  return (name) => (Object.hasOwn(outputs as JsonObject, name) ? (outputs as JsonObject)[name] : undefined)
}

/** TensorFlow Serving, POST /v1/models/NAME:predict in columns (tensorflow/serving g3doc/api_rest.md, predict.proto). */
export const tensorflowCodec: ServerCodec = {
  dialect: 'tensorflow.predict',
  path({ version, versionLabel }, model) {
    const which =
      versionLabel !== '' ? `/labels/${encodeURIComponent(versionLabel)}` : version !== '' ? `/versions/${version}` : ''
    return `/v1/models/${encodeURIComponent(model)}${which}:predict`
  },
  body(plan, variables, count) {
    const { signature } = plan.mapping
    const inputs = plan.tensors(variables, count).map(({ name, data, shape }) => [name, nest(data, shape)] as const)
    return {
      ...(signature === '' ? {} : { signature_name: signature }),
      inputs: Object.fromEntries<Json>(inputs),
    }
  },
  lookup: lookupIn,
}
