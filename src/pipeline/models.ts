import type { Access } from '../contracts/identity.ts'
import type { Dialect } from '../contracts/dialect.ts'
import type { Snapshot } from './snapshot.ts'
import { GatewayError } from '../core/errors.ts'

/** What is asked of the list of models. */
export interface ModelsQuestion {
  /** null = all. */
  readonly id: string | null
  readonly method: string
  /** Who asks gets what its SDK reads. */
  readonly dialect: Dialect
}

interface Listed {
  readonly name: string
  readonly owner: string
  /** Epoch seconds. */
  readonly created: number
}

/** A list of models, and one of them, as a dialect writes them. */
interface ModelsForm {
  one(model: Listed): object
  all(models: readonly object[], names: readonly string[]): object
}

/** openai-openapi `ListModelsResponse`, `Model`. */
const OPENAI: ModelsForm = {
  one: ({ name, owner, created }) => ({ id: name, object: 'model', created, owned_by: owner }),
  all: (data) => ({ object: 'list', data }),
}

const FORMS: Readonly<Partial<Record<Dialect, ModelsForm>>> = {
  /** anthropic-sdk-typescript `resources/models`: one page has all. */
  'anthropic.messages': {
    one: ({ name, created }) => ({
      type: 'model',
      id: name,
      display_name: name,
      created_at: new Date(created * 1000).toISOString(),
    }),
    all: (data, names) => ({ data, has_more: false, first_id: names[0] ?? null, last_id: names.at(-1) ?? null }),
  },
  /** ai.google.dev/api/models `ListModelsResponse`. */
  'gemini.generate': {
    one: ({ name }) => ({
      name: `models/${name}`,
      displayName: name,
      version: '1',
      supportedGenerationMethods: ['generateContent', 'streamGenerateContent'],
    }),
    all: (models) => ({ models }),
  },
  /** ollama docs/api.md, list local models. */
  'ollama.chat': {
    one: ({ name, created }) => ({
      name,
      model: name,
      modified_at: new Date(created * 1000).toISOString(),
      size: 0,
      digest: '',
      details: { format: '', family: '', families: null, parameter_size: '', quantization_level: '' },
    }),
    all: (models) => ({ models }),
  },
}

/** Answers which models there are for a caller. Throws GatewayError. */
export function modelsAnswer(snapshot: Snapshot, { id, method, dialect }: ModelsQuestion, access: Access): string {
  if (method !== 'GET' && method !== 'HEAD') throw new GatewayError('method_not_allowed', 'Models can only be read.')
  const created = Math.floor(snapshot.loadedAt / 1000)
  const form = FORMS[dialect] ?? OPENAI
  const model = (name: string): object =>
    form.one({ name, created, owner: snapshot.table.match(name)?.route.targets[0]?.provider.name ?? 'heddle' })
  if (id === null) {
    const names = snapshot.table.names.filter((name) => access.model(name) === null)
    return JSON.stringify(form.all(names.map(model), names))
  }
  // One that the caller may not use is no different for it from one that there is not.
  if (access.model(id) !== null || snapshot.table.match(id) === null)
    throw new GatewayError('model_not_found', `The model '${id.slice(0, 200)}' does not exist.`, { param: 'model' })
  return JSON.stringify(model(id))
}
