import type { Operation } from '../contracts/config.ts'
import type { Dialect } from '../contracts/dialect.ts'
import type { UrlFacts } from '../protocol/openai/request.ts'
import { OPERATIONS } from '../protocol/operations.ts'
import type { EmbedForm } from './embed-clients.ts'
import { PROVIDER_PATHS, providerPathOf, type ProviderPath } from './provider-path.ts'
import { ABOUT, GEMINI_SMALL, geminiSmall, SMALL } from './small-paths.ts'
import { decodeId, isSafePath, plainPath } from './safe-path.ts'

/** `models` is answered here; the others go to a target. */
export type Endpoint =
  | {
      readonly kind: 'call'
      readonly operation: Operation
      readonly upstreamPath: string
      /** Where the dialect says them in the path. */
      readonly url?: UrlFacts
      /** One provider's own path. */
      readonly own?: ProviderPath
      /** Model that the query names; left out = it names none. */
      readonly named?: string
      /** Tokens are counted, nothing is computed. */
      readonly counts?: true
      /** The client wants its vectors in another form than OpenAI's. */
      readonly embeds?: EmbedForm
    }
  | { readonly kind: 'about'; readonly what: 'version' | 'show' }
  | { readonly kind: 'models'; readonly id: string | null; readonly dialect: Dialect }

const call = (operation: Operation): Endpoint => ({
  kind: 'call',
  operation,
  upstreamPath: OPERATIONS[operation].path,
})

const CALLS: ReadonlyMap<string, Endpoint> = new Map([
  ...(['chat', 'completions', 'embeddings', 'responses', 'messages', 'ollama_chat', 'cohere_chat'] as const).flatMap(
    (operation) => {
      const endpoint = call(operation)
      const { path, route } = OPERATIONS[operation]
      // Some clients are given a base URL without /v1, some with it twice; some end their paths with a slash.
      const paths = route.startsWith('/v1/') ? [`/v1${path}`, path, `/v1/v1${path}`] : [route]
      return paths.flatMap(
        (p) =>
          [
            [p, endpoint],
            [`${p}/`, endpoint],
          ] as const,
      )
    },
  ),
  ...SMALL,
])

/**
 * Gemini names model and method in its path (ai.google.dev/api/generate-content). Some clients leave `models` away when the
 * name has a slash: the AI SDK, and Google's older one.
 */
const GENERATE =
  /^\/(?:v1(?:beta|alpha)?\/models|v1beta(?!\/(?:models|projects)\/))\/(.+):(generateContent|streamGenerateContent)$/

function generateOf(path: string): Endpoint | null {
  const found = GENERATE.exec(path)
  if (found === null) return null
  return {
    kind: 'call',
    operation: 'generate_content',
    upstreamPath: `/models/:${found[2]!}`,
    url: { model: decodeId(found[1]!), stream: found[2] === 'streamGenerateContent' },
  }
}

/** Bedrock, too (API reference, Converse): ids are escaped there, as those of AWS may have colons and slashes. */
const CONVERSE = /^\/model\/(.+)\/(converse|converse-stream)$/

function converseOf(path: string): Endpoint | null {
  const found = path.startsWith('/model/') ? CONVERSE.exec(path) : null
  if (found === null) return null
  return {
    kind: 'call',
    operation: 'converse',
    upstreamPath: `/model/:/${found[2]!}`,
    url: { model: decodeId(found[1]!), stream: found[2] === 'converse-stream' },
  }
}

const GEMINI_METHOD = /:(?:(?:stream)?generatecontent|counttokens|embedcontent|batchembedcontents)$/

const MODELS: ReadonlyMap<string, Dialect> = new Map([
  ['/v1/models', 'openai.chat'],
  ['/models', 'openai.chat'],
  ['/v1beta/models', 'gemini.generate'],
  ['/api/tags', 'ollama.chat'],
])
/** Below these stands the name of one. */
const MODEL_PATHS: readonly (readonly [string, Dialect])[] = [
  ['/v1/models/', 'openai.chat'],
  ['/v1beta/models/', 'gemini.generate'],
]

/** Methods that pass through to a backend. */
const PASSED = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** The methods that a path takes, for the `allow` header (RFC 9110 10.2.1). */
export function methodsOf(path: string): readonly string[] {
  if (CALLS.has(path) || GENERATE.test(path) || GEMINI_SMALL.test(path) || path === '/api/show') return ['POST']
  if (CONVERSE.test(path)) return ['POST']
  if (MODELS.has(path) || ABOUT.has(path)) return ['GET', 'HEAD']
  return path.startsWith(PROVIDER_PATHS) ? [...PASSED, 'HEAD'] : PASSED
}

/**
 * Some servers would take the path for one that is a call of its own here: with escapes of letters, another case, or
 * parameters (RFC 3986 3.3), which they drop. What callers may do is asked by operation, so that none may pass as another.
 */
function isDisguised(path: string): boolean {
  const bare = plainPath(path).toLowerCase().replace(/\/+$/, '')
  return bare !== path && (CALLS.has(bare) || MODELS.has(bare) || GEMINI_METHOD.test(bare))
}

/**
 * What a path asks for; null = no such path. Paths that could mean something else to a backend than they do here (dot
 * segments, encoded slashes) are none.
 */
export function endpointOf(method: string, path: string): Endpoint | null {
  // With any method: what another one than POST means there no backend is asked.
  const known = CALLS.get(path) ?? ABOUT.get(path) ?? generateOf(path) ?? geminiSmall(path) ?? converseOf(path)
  if (known !== null) return known
  const list = MODELS.get(path)
  if (list !== undefined) return { kind: 'models', id: null, dialect: list }
  const reads = method === 'GET' || method === 'HEAD'
  for (const [prefix, dialect] of MODEL_PATHS)
    if (reads && path.startsWith(prefix) && path.length > prefix.length)
      return { kind: 'models', id: decodeId(path.slice(prefix.length)), dialect }
  if (path.startsWith(PROVIDER_PATHS)) {
    const own = providerPathOf(path)
    return own === null ? null : { kind: 'call', operation: 'passthrough', upstreamPath: own.path, own }
  }
  if (!path.startsWith('/v1/') || path.length === 4 || !isSafePath(path) || isDisguised(path)) return null
  return { kind: 'call', operation: 'passthrough', upstreamPath: path.slice(3) }
}

/** Other APIs count to two as well: KServe's, the registries' of images. */
const COHERE_OWN = /^\/v2\/(?:chat|embed|rerank)(?:\/|$)/

/** What clients of a path speak, whatever is there: by that they understand errors. */
export function dialectAt(path: string): Dialect {
  if (path.startsWith(PROVIDER_PATHS)) {
    const rest = path.slice(path.indexOf('/', PROVIDER_PATHS.length))
    if (/^(?:\/v1)?\/messages(?:\/|$)/.test(rest)) return 'anthropic.messages'
    if (/\/models\/[^/]+:/.test(rest)) return 'gemini.generate'
    if (COHERE_OWN.test(rest)) return 'cohere.chat'
    return rest.startsWith('/api/') ? 'ollama.chat' : 'openai.chat'
  }
  if (path.startsWith('/v2/')) return 'cohere.chat'
  if (path.startsWith('/v1/messages')) return 'anthropic.messages'
  if (path.startsWith('/model/')) return 'bedrock.converse'
  if (path.startsWith('/v1beta/') || GENERATE.test(path) || GEMINI_SMALL.test(path)) return 'gemini.generate'
  return path.startsWith('/api/') ? 'ollama.chat' : 'openai.chat'
}
