import { join } from 'node:path'
import type { CacheConfig } from '../contracts/config-cache.ts'
import type { ProviderConfig } from '../contracts/config.ts'
import type { Embedder } from '../contracts/semantic.ts'
import type { CacheKitParts } from './cache-kit.ts'
import { AnswerComparison } from '../cache/answer-classes.ts'
import { loadEvidence } from '../cache/decide/evidence.ts'
import { loadTable } from '../cache/embed/table.ts'
import { SemanticTier } from '../cache/semantic.ts'
import { loadVerifier } from '../cache/verify/load.ts'
import { systemRandom } from '../core/clock.ts'
import { fetchSmall } from '../core/http-client.ts'

/** Of one answer with vectors. */
const MAX_BYTES = 8 * 1024 * 1024

type SemanticConfig = NonNullable<CacheConfig['semantic']>

/** What finds answers by what is asked. Loaded where a model wants it: the table takes some MB. replicas: see SemanticParts. */
export async function openSemantic(
  config: SemanticConfig,
  providers: readonly ProviderConfig[],
  { log }: CacheKitParts,
  replicas: number,
): Promise<SemanticTier> {
  const table = loadTable()
  const verifier = loadVerifier(table)
  const { maxBytes, maxEntries, maxQuestionBytes, insertsPerMinute } = config
  return new SemanticTier({
    embedder: await embedderOf(config, table, providers, log),
    verifier,
    evidence: loadEvidence(),
    // Whatever makes the vectors of questions: answers are compared here and now.
    answers: new AnswerComparison(table, verifier),
    random: systemRandom,
    maxBytes,
    maxEntries,
    maxQuestionBytes,
    insertsPerMinute,
    replicas,
  })
}

/** A question waits so long for its vector, at most, ms: then it is a miss. */
const EMBED_MS = 250

async function embedderOf(
  { embedder }: SemanticConfig,
  table: Embedder,
  providers: readonly ProviderConfig[],
  log: CacheKitParts['log'],
): Promise<Embedder> {
  if (embedder.kind === 'table') return table
  if (embedder.kind === 'minilm') {
    const { startMiniLm } = await import('../cache/embed/minilm.ts')
    const [model, vocabulary] = ['model.onnx', 'vocab.txt'].map((name) => join(embedder.path, name)) as [string, string]
    return startMiniLm({ model, vocabulary, deadlineMs: EMBED_MS })
  }
  const { RemoteEmbedder } = await import('../cache/embed/remote.ts')
  const provider = providers.find(({ name }) => name === embedder.provider)!
  const { model, dimensions } = embedder
  return new RemoteEmbedder({
    model: `${embedder.provider}/${model}`,
    dimensions,
    deadlineMs: EMBED_MS,
    request: (texts) => askFor(texts, provider, { model, dimensions }),
    onError: (error) =>
      log('warn', { provider: provider.name, err: messageOf(error) }, 'embeddings for the cache failed'),
  })
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** OpenAI's embeddings, by a provider's key. Never says what it was asked. */
async function askFor(
  texts: readonly string[],
  { baseUrl, auth, apiKey, headers: own, query }: ProviderConfig,
  { model, dimensions }: { readonly model: string; readonly dimensions: number },
): Promise<readonly (readonly number[])[]> {
  const url = new URL(`${baseUrl}/embeddings`)
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
  const headers: Record<string, string> = { ...own, 'content-type': 'application/json' }
  if (apiKey !== null && auth !== 'none')
    headers[auth === 'bearer' ? 'authorization' : auth] = auth === 'bearer' ? `Bearer ${apiKey}` : apiKey
  const body = JSON.stringify({ model, input: texts, dimensions, encoding_format: 'float' })
  const answer = await fetchSmall(url.href, { method: 'POST', headers, body, timeoutMs: EMBED_MS, maxBytes: MAX_BYTES })
  if (answer.status !== 200) throw new Error(`the provider answered ${answer.status}`)
  const { data } = JSON.parse(answer.body) as { readonly data: readonly { readonly embedding: readonly number[] }[] }
  return data.map(({ embedding }) => embedding)
}
