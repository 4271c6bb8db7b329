/** `/v1/models`: the names people try first. Others work too, unless the simulator is strict. */
import type { Handler, SimState } from './call.ts'
import { ApiError } from './errors.ts'
import type { JsonObject } from './json.ts'

export const SIM_MODELS = [
  'sim',
  'sim-chat',
  'sim-reason',
  'sim-reasoner',
  'sim-embed',
  'sim-rerank',
  'gpt-3.5-turbo',
  'gpt-3.5-turbo-instruct',
  'gpt-4o',
  'gpt-4o-mini',
  'gpt-4.1-mini',
  'gpt-5-mini',
  'o4-mini',
  'text-davinci-003',
  'text-embedding-ada-002',
  'text-embedding-3-small',
  'text-embedding-3-large',
  'omni-moderation-latest',
  'gpt-image-1',
  'tts-1',
  'whisper-1',
] as const

const KNOWN: ReadonlySet<string> = new Set(SIM_MODELS)

/** A moment in the past that never changes, epoch seconds. */
const CREATED = 1_735_689_600

const modelBody = (id: string): JsonObject => ({ id, object: 'model', created: CREATED, owned_by: 'heddle-sim' })

/** @throws ApiError 404 model_not_found */
export const checkModel = (state: SimState, model: string): void => {
  if (!state.strictModels || KNOWN.has(model)) return
  throw new ApiError(404, `The model \`${model}\` does not exist or you do not have access to it.`, {
    code: 'model_not_found',
  })
}

export const listModels: Handler = () => ({
  kind: 'json',
  body: { object: 'list', data: SIM_MODELS.map(modelBody) },
  payloadKey: 'data',
})

export const getModel: Handler = (call, id = '') => {
  checkModel(call.state, id)
  return { kind: 'json', body: modelBody(id) }
}

export const deleteModel: Handler = (call, id = '') => {
  checkModel(call.state, id)
  return { kind: 'json', body: { id, object: 'model', deleted: true } }
}
