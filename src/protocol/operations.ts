import type { Operation } from '../contracts/config.ts'
import type { Dialect } from '../contracts/dialect.ts'

interface OperationRow {
  /** `gen_ai.operation.name`; the conventions know none for the Responses API and what is passed through: the former is a chat. */
  readonly name: string
  /** Path here, as a template (`http.route`). */
  readonly route: string
  /** Below a provider's base URL, where the provider speaks it; '' = it holds the model, or is the client's. */
  readonly path: string
  /** What a client speaks there; null = nothing that could be translated. */
  readonly dialect: Dialect | null
}

export const OPERATIONS: Readonly<Record<Operation, OperationRow>> = {
  chat: { name: 'chat', route: '/v1/chat/completions', path: '/chat/completions', dialect: 'openai.chat' },
  completions: {
    name: 'text_completion',
    route: '/v1/completions',
    path: '/completions',
    dialect: 'openai.completions',
  },
  embeddings: { name: 'embeddings', route: '/v1/embeddings', path: '/embeddings', dialect: null },
  responses: { name: 'chat', route: '/v1/responses', path: '/responses', dialect: 'openai.responses' },
  messages: { name: 'chat', route: '/v1/messages', path: '/messages', dialect: 'anthropic.messages' },
  generate_content: {
    name: 'generate_content',
    route: '/v1beta/models/{model}:generateContent',
    path: '',
    dialect: 'gemini.generate',
  },
  ollama_chat: { name: 'chat', route: '/api/chat', path: '/api/chat', dialect: 'ollama.chat' },
  cohere_chat: { name: 'chat', route: '/v2/chat', path: '/chat', dialect: 'cohere.chat' },
  converse: { name: 'chat', route: '/model/{model}/converse', path: '', dialect: 'bedrock.converse' },
  rerank: { name: 'rerank', route: '/v1/rerank', path: '/rerank', dialect: null },
  moderations: { name: 'moderation', route: '/v1/moderations', path: '/moderations', dialect: null },
  images: { name: 'image_generation', route: '/v1/images/{action}', path: '/images/generations', dialect: null },
  speech: { name: 'speech', route: '/v1/audio/speech', path: '/audio/speech', dialect: null },
  transcriptions: {
    name: 'transcription',
    route: '/v1/audio/transcriptions',
    path: '/audio/transcriptions',
    dialect: null,
  },
  realtime: { name: 'realtime', route: '/v1/realtime', path: '/realtime', dialect: null },
  passthrough: { name: 'passthrough', route: '/v1/*', path: '', dialect: null },
  mcp: { name: 'execute_tool', route: '/mcp', path: '', dialect: null },
}

export const OPERATION_NAMES: readonly Operation[] = Object.keys(OPERATIONS) as Operation[]

const RAW: ReadonlySet<Operation> = new Set<Operation>([
  'passthrough',
  'moderations',
  'images',
  'speech',
  'transcriptions',
  'realtime',
])

/** Requests and answers pass as they come: of them nothing is read but the model and what was used. */
export const isRaw = (operation: Operation): boolean => RAW.has(operation)

/** Providers that take any path may have it at its usual one. */
export const mayPass = (operation: Operation): boolean => operation === 'rerank' || RAW.has(operation)

/** What Heddle speaks to backends. */
export const WIRES = [
  'openai.chat',
  'openai.responses',
  'anthropic.messages',
  'gemini.generate',
  'ollama.chat',
  'bedrock.converse',
  'cohere.chat',
  'tgi.generate',
  'tensorflow.predict',
  'kserve.infer',
  'triton.generate',
  'torchserve.predict',
  'pipeline',
] as const satisfies readonly Dialect[]

/** Wires that have embeddings of their own. */
export const EMBEDDERS: ReadonlySet<Dialect> = new Set<Dialect>([
  'gemini.generate',
  'ollama.chat',
  'cohere.chat',
  'tensorflow.predict',
  'kserve.infer',
  'triton.generate',
  'torchserve.predict',
  'pipeline',
])
