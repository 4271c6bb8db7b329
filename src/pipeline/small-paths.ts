import type { EmbedForm } from './embed-clients.ts'
import type { Endpoint } from './operation.ts'
import { decodeId } from './safe-path.ts'

/** Below `/v1`, there and at the backend: calls whose answers pass as they come, but for what is ranked and counted. */
const BELOW: readonly Endpoint[] = (
  [
    ['rerank', '/rerank'],
    ['moderations', '/moderations'],
    ['images', '/images/generations'],
    ['images', '/images/edits'],
    ['images', '/images/variations'],
    ['speech', '/audio/speech'],
    ['transcriptions', '/audio/transcriptions'],
    ['transcriptions', '/audio/translations'],
  ] as const
).map(([operation, upstreamPath]) => ({ kind: 'call', operation, upstreamPath }))

const COUNT_MESSAGES: Endpoint = {
  kind: 'call',
  operation: 'messages',
  upstreamPath: '/messages/count_tokens',
  counts: true,
}
const embed = (form: Extract<EmbedForm, `ollama.${string}` | `cohere.${string}`>): Endpoint => ({
  kind: 'call',
  operation: 'embeddings',
  upstreamPath: '/embeddings',
  embeds: form,
})

/** Paths of calls beyond those of models that talk, as clients write them. */
export const SMALL: readonly (readonly [string, Endpoint])[] = [
  ...BELOW.flatMap((endpoint) => {
    const { upstreamPath: path } = endpoint as Extract<Endpoint, { kind: 'call' }>
    return [`/v1${path}`, path, `/v1/v1${path}`].map((at) => [at, endpoint] as const)
  }),
  ['/v2/rerank', { kind: 'call', operation: 'rerank', upstreamPath: '/rerank' }],
  ['/v1/messages/count_tokens', COUNT_MESSAGES],
  ['/api/embed', embed('ollama.embed')],
  ['/api/embeddings', embed('ollama.embeddings')],
  ['/v2/embed', embed('cohere.embed')],
]

/** What Ollama's clients ask before they begin. */
export const ABOUT: ReadonlyMap<string, Endpoint> = new Map([
  ['/api/version', { kind: 'about', what: 'version' }],
  ['/api/show', { kind: 'about', what: 'show' }],
])

/** ai.google.dev/api: models.countTokens, models.embedContent, models.batchEmbedContents. */
export const GEMINI_SMALL = /^\/v1(?:beta|alpha)?\/models\/(.+):(countTokens|embedContent|batchEmbedContents)$/

export function geminiSmall(path: string): Endpoint | null {
  const found = GEMINI_SMALL.exec(path)
  if (found === null) return null
  const url = { model: decodeId(found[1]!), stream: false }
  if (found[2] === 'countTokens')
    return { kind: 'call', operation: 'generate_content', upstreamPath: '/models/:countTokens', url, counts: true }
  const embeds = found[2] === 'embedContent' ? 'gemini.one' : 'gemini.batch'
  return { kind: 'call', operation: 'embeddings', upstreamPath: '/embeddings', url, embeds }
}
