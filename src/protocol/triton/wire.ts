import type { ServerCodec } from '../templates/mapped-wire.ts'
import { isObject } from '../canonical/read.ts'
import { modelPath } from '../kserve/wire.ts'

/**
 * Triton's generate extension: POST /v2/models/NAME/generate, and /generate_stream as server-sent events (triton server
 * docs/protocol/extension_generate.md). Fields beside the inputs are parameters or tensors, as the model has them.
 */
export const tritonCodec: ServerCodec = {
  dialect: 'triton.generate',
  streams: 'sse',
  path: ({ version }, model, stream) => `${modelPath(model, version)}/${stream ? 'generate_stream' : 'generate'}`,
  body(plan, variables) {
    const parameters = plan.fields(variables, 'parameters')
    return {
      ...plan.fields(variables, 'inputs'),
      ...(Object.keys(parameters).length === 0 ? {} : { parameters }),
    }
  },
  lookup: (body) =>
    isObject(body) ? (name) => (name === '' ? body : Object.hasOwn(body, name) ? body[name] : undefined) : null,
}
