import type { ServerCodec } from '../templates/mapped-wire.ts'
import { isObject } from '../canonical/read.ts'

/**
 * TorchServe, POST /predictions/NAME (pytorch/serve docs/inference_api.md). What is in the bodies is the model's handler's
 * business: JSON by the mapping goes there; JSON of any form, or a text, comes back.
 */
export const torchserveCodec: ServerCodec = {
  dialect: 'torchserve.predict',
  anyBody: true,
  path: ({ version }, model) =>
    `/predictions/${encodeURIComponent(model)}${version === '' ? '' : `/${encodeURIComponent(version)}`}`,
  body: (plan, variables) => plan.fields(variables, 'inputs'),
  lookup: (body) => (name) =>
    name === '' ? body : isObject(body) && Object.hasOwn(body, name) ? body[name] : undefined,
}
