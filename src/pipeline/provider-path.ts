import type { Operation } from '../contracts/config.ts'
import { decodeId, isSafePath, plainPath } from './safe-path.ts'

/** `/passthrough/{provider}/{path}`: any path of one provider, as the client knows it. */
export interface ProviderPath {
  readonly provider: string
  /** As sent; begins with a slash. */
  readonly path: string
  /** Model that the path names; '' = none that is known. */
  readonly model: string
  /** What it is elsewhere here, for those who may do only some operations; null = nothing. */
  readonly as: Operation | null
  /** It is not below the provider's base path. */
  readonly whole?: true
}

export const PROVIDER_PATHS = '/passthrough/'

/**
 * Where paths of vendors' APIs name a model: Gemini and Vertex (`models/M:method`), Bedrock (`model/M/converse`), Azure
 * (`deployments/M/...`), Replicate (`models/M/predictions`).
 */
const MODEL_IN_PATH =
  /\/(?:models|tunedModels)\/(.+?):[A-Za-z]+$|\/model\/([^/]+)\/[a-z-]+$|\/deployments\/([^/]+)\/|\/models\/(.+)\/predictions$/i

/** Ends of paths that do what an operation here does, in lower case: of OpenAI, Anthropic, Gemini, Ollama, Cohere, Bedrock. */
const ENDS: readonly (readonly [string, Operation])[] = [
  ['/chat/completions', 'chat'],
  ['/completions', 'completions'],
  ['/completion', 'completions'],
  ['/embeddings', 'embeddings'],
  ['/embed', 'embeddings'],
  ['/responses', 'responses'],
  ['/messages', 'messages'],
  ['/messages/batches', 'messages'],
  [':generatecontent', 'generate_content'],
  [':streamgeneratecontent', 'generate_content'],
  [':batchgeneratecontent', 'generate_content'],
  [':embedcontent', 'embeddings'],
  [':batchembedcontents', 'embeddings'],
  [':rawpredict', 'chat'],
  [':streamrawpredict', 'chat'],
  ['/realtime', 'realtime'],
  ['/rerank', 'rerank'],
  ['/moderations', 'moderations'],
  ['/images/generations', 'images'],
  ['/images/edits', 'images'],
  ['/images/variations', 'images'],
  ['/audio/speech', 'speech'],
  ['/audio/transcriptions', 'transcriptions'],
  ['/audio/translations', 'transcriptions'],
  ['/api/chat', 'ollama_chat'],
  ['/api/generate', 'completions'],
  ['/v2/chat', 'cohere_chat'],
  ['/chat', 'chat'],
  ['/generate', 'completions'],
  ['/generate_stream', 'completions'],
  ['/converse', 'converse'],
  ['/converse-stream', 'converse'],
  ['/invoke', 'chat'],
  ['/invoke-with-response-stream', 'chat'],
]

/** What a vendor's path does by its end; null = nothing that has a name here. plain: see plainPath(). */
function knownEnd(plain: string): Operation | null {
  const bare = plain.toLowerCase().replace(/\/+$/, '')
  for (const [end, operation] of ENDS) if (bare.endsWith(end)) return operation
  return null
}

/** null = no such path, or one that could mean something else to a backend than it does here. */
export function providerPathOf(path: string): ProviderPath | null {
  const slash = path.indexOf('/', PROVIDER_PATHS.length)
  if (slash < 0 || slash === path.length - 1) return null
  const provider = decodeId(path.slice(PROVIDER_PATHS.length, slash))
  const rest = path.slice(slash)
  if (provider === '' || !isSafePath(rest)) return null
  const plain = plainPath(rest)
  const found = MODEL_IN_PATH.exec(plain)
  const model = found === null ? '' : (found[1] ?? found[2] ?? found[3] ?? found[4] ?? '')
  return { provider, path: rest, model, as: knownEnd(plain) }
}

/** As Gemini's bodies name a model. */
const bareModel = (name: string): string => name.replace(/^models\//, '')

/** Public name of what is asked for: `PROVIDER/MODEL`; '' = no model. named: by the body, '' = by none. */
export function ownModel({ provider, model }: ProviderPath, named: string): string {
  const name = model === '' ? bareModel(named) : model
  return name === '' ? '' : `${provider}/${name}`
}

/** Path and body name different models: what is granted would be one, and what is computed the other. */
export const namesTwo = ({ model }: ProviderPath, named: string): boolean =>
  model !== '' && named !== '' && bareModel(named) !== model

/**
 * A client's path below a provider's base path. Base URLs of vendors' SDKs end before the version, ours behind it: a path
 * that begins with the base path, or with its last part, does not have it twice.
 */
export function belowBase(basePath: string, path: string): string {
  const last = basePath.slice(basePath.lastIndexOf('/'))
  for (const part of [basePath, last])
    if (part.length > 1 && path.startsWith(`${part}/`)) return path.slice(part.length)
  return path
}

/** Parameters in which clients of some APIs send their key. */
const KEY_PARAMETERS: ReadonlySet<string> = new Set([
  'key',
  'api_key',
  'api-key',
  'apikey',
  'access_token',
  'auth_token',
  'token',
  'subscription-key',
])

/** A client's query (`?a=b` or '') without keys, without what the provider's own query (alike) says, and without `also`. */
export function cleanQuery(query: string, own: string, also?: string): string {
  if (query.length < 2) return ''
  const fixed = new Set(own.length < 2 ? [] : [...new URLSearchParams(own).keys()])
  if (also !== undefined) fixed.add(also)
  const kept = query
    .slice(1)
    .split('&')
    .filter((pair) => {
      const name = decodeId(pair.split('=', 1)[0]!.replaceAll('+', ' '))
      return pair !== '' && !KEY_PARAMETERS.has(name.toLowerCase()) && !fixed.has(name)
    })
  return kept.length === 0 ? '' : `?${kept.join('&')}`
}

/**
 * Headers of clients that a provider gets with its own paths: those that vendors' APIs take and that tell nothing of the
 * caller. What a company's own proxies have put into requests leaves the house with no other.
 */
export const PASSED: readonly string[] = [
  'openai-beta',
  'idempotency-key',
  'anthropic-beta',
  'anthropic-version',
  'accept-language',
  'content-disposition',
  'content-language',
  'range',
  'if-match',
  'prefer',
  'x-goog-fieldmask',
  'x-goog-upload-protocol',
  'x-goog-upload-command',
  'x-goog-upload-offset',
  'x-goog-upload-header-content-length',
  'x-goog-upload-header-content-type',
  'x-amzn-bedrock-accept',
  'x-amzn-bedrock-guardrailidentifier',
  'x-amzn-bedrock-guardrailversion',
  'x-amzn-bedrock-performanceconfig-latency',
  'x-amzn-bedrock-trace',
  'x-wait-for-model',
  'x-use-cache',
]
