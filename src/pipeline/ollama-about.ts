import type { JsonObject } from '../contracts/canonical.ts'
import type { Access } from '../contracts/identity.ts'
import type { Exchange } from './exchange.ts'
import type { Snapshot } from './snapshot.ts'
import { GatewayError } from '../core/errors.ts'
import { badField } from '../protocol/canonical/read.ts'
import { readRequest } from '../protocol/openai/request.ts'
import { methodsOf } from './operation.ts'

/** The version of Ollama's API that is spoken here (docs/api.md): clients refuse servers that are too old for them. */
const API_VERSION = '0.12.0'

/** Answers what Ollama's clients ask of it and of a model. Throws GatewayError. */
export function aboutOllama(
  { received, snapshot, principal, services: { limits } }: Exchange,
  what: 'version' | 'show',
): string {
  if (!methodsOf(received.path).includes(received.method))
    throw new GatewayError('method_not_allowed', `The method ${received.method} is not used here.`)
  if (what === 'version') return JSON.stringify({ version: API_VERSION })
  const fields = readRequest('passthrough', received.body, { depth: limits.jsonDepth, keys: limits.jsonKeys })
  return showBody(snapshot, fields.json as JsonObject, principal.access)
}

/** ollama docs/api.md, show model information: what is known of one. Throws GatewayError. */
function showBody(snapshot: Snapshot, sent: JsonObject, access: Access): string {
  const name = sent['model'] ?? sent['name']
  if (typeof name !== 'string' || name === '') throw badField('model', 'a string, the name of a model')
  const match = access.model(name) === null ? snapshot.table.match(name) : null
  // One that the caller may not use is no different for it from one that there is not.
  if (match === null)
    throw new GatewayError('model_not_found', `The model '${name.slice(0, 200)}' does not exist.`, { param: 'model' })
  const can = match.route.targets.map(({ capabilities }) => capabilities)
  const context = Math.max(0, ...can.map(({ contextWindow }) => contextWindow ?? 0))
  return JSON.stringify({
    modelfile: '',
    parameters: '',
    template: '',
    details: {
      parent_model: '',
      format: '',
      family: 'heddle',
      families: ['heddle'],
      parameter_size: '',
      quantization_level: '',
    },
    model_info: { 'general.architecture': 'heddle', ...(context > 0 ? { 'heddle.context_length': context } : {}) },
    capabilities: [
      'completion',
      ...(can.some(({ tools }) => tools !== false) ? ['tools'] : []),
      ...(can.some(({ vision }) => vision === true) ? ['vision'] : []),
    ],
    modified_at: new Date(snapshot.loadedAt).toISOString(),
  })
}
