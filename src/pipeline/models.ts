import type { Access } from '../contracts/identity.ts'
import type { Snapshot } from './snapshot.ts'
import { GatewayError } from '../core/errors.ts'

/** `GET /v1/models` and `/v1/models/{id}` (openai-openapi `ListModelsResponse`, `Model`). */
export function modelsAnswer(snapshot: Snapshot, id: string | null, method: string, access: Access): string {
  if (method !== 'GET' && method !== 'HEAD') throw new GatewayError('method_not_allowed', 'Models can only be read.')
  const created = Math.floor(snapshot.loadedAt / 1000)
  const model = (name: string): object => ({
    id: name,
    object: 'model',
    created,
    owned_by: snapshot.table.match(name)?.route.targets[0]?.provider.name ?? 'heddle',
  })
  if (id === null)
    return JSON.stringify({
      object: 'list',
      data: snapshot.table.names.filter((name) => access.model(name) === null).map(model),
    })
  // One that the caller may not use is no different for it from one that there is not.
  if (access.model(id) !== null || snapshot.table.match(id) === null)
    throw new GatewayError('model_not_found', `The model '${id.slice(0, 200)}' does not exist.`, { param: 'model' })
  return JSON.stringify(model(id))
}
