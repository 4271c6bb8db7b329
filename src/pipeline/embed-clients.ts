import type { Json, JsonObject } from '../contracts/canonical.ts'
import { GatewayError } from '../core/errors.ts'
import { badField, isObject, listAt, maybeText, maybeWhole, objectAt } from '../protocol/canonical/read.ts'

/** Who asks for vectors in another way than OpenAI's. */
export type EmbedForm = 'gemini.one' | 'gemini.batch' | 'ollama.embed' | 'ollama.embeddings' | 'cohere.embed'

/** A request for vectors as `/v1/embeddings` has it, and the way back. */
export interface EmbedClient {
  readonly form: EmbedForm
  readonly request: JsonObject
  /** What they are for, in the client's word; '' = it does not say. Only backends that know such words get it. */
  readonly purpose: string
}

interface GeminiAsked {
  readonly text: string
  readonly purpose: string
  readonly dimensions: number | undefined
}

function geminiText(content: Json | undefined, param: string): string {
  return joinedTexts(listAt(objectAt(content, param)['parts'], `${param}.parts`), `${param}.parts`)
}

const joinedTexts = (parts: readonly Json[], param: string): string =>
  parts
    .map((part) => {
      const text = isObject(part) ? part['text'] : undefined
      if (typeof text === 'string') return text
      throw new GatewayError('unsupported_parameter', 'Only texts can be embedded here.', { param })
    })
    .join('\n')

/** ai.google.dev/api/embeddings `EmbedContentRequest`. */
const geminiOne = (sent: JsonObject, at: string): GeminiAsked => ({
  text: geminiText(sent['content'], `${at}content`),
  purpose: maybeText(sent['taskType'] ?? sent['task_type'], `${at}taskType`) ?? '',
  dimensions: maybeWhole(sent['outputDimensionality'] ?? sent['output_dimensionality'], `${at}outputDimensionality`, 1),
})

function geminiBatch(sent: JsonObject): readonly GeminiAsked[] {
  const asked = listAt(sent['requests'], 'requests').map((one, i) =>
    geminiOne(objectAt(one, `requests[${i}]`), `requests[${i}].`),
  )
  const [first] = asked
  if (first === undefined) throw badField('requests', 'a list that is not empty')
  if (asked.some(({ purpose, dimensions }) => purpose !== first.purpose || dimensions !== first.dimensions))
    throw new GatewayError('unsupported_parameter', 'All requests of a batch must want the same of their vectors.', {
      param: 'requests',
    })
  return asked
}

/** What of a Cohere request has a text to embed: `texts`, or `inputs` that hold nothing else. */
function cohereTexts(sent: JsonObject): Json | undefined {
  if (Array.isArray(sent['images']) && sent['images'].length > 0)
    throw new GatewayError('unsupported_parameter', 'Only texts can be embedded here.', { param: 'images' })
  if (sent['inputs'] === undefined || sent['inputs'] === null) return sent['texts']
  return listAt(sent['inputs'], 'inputs').map((input, i) => {
    const at = `inputs[${i}]`
    const parts = listAt(objectAt(input, at)['content'], `${at}.content`)
    return joinedTexts(parts, `${at}.content`)
  })
}

/** cohere-ai `V2EmbedRequest`. Texts too long are the backend's to cut or to refuse. */
function cohereEmbed(sent: JsonObject): EmbedClient {
  const types = sent['embedding_types'] == null ? [] : listAt(sent['embedding_types'], 'embedding_types')
  if (types.some((type) => type !== 'float'))
    throw new GatewayError('unsupported_parameter', 'Vectors are only given as `float` here.', {
      param: 'embedding_types',
    })
  const input = cohereTexts(sent)
  if (!Array.isArray(input) || input.length === 0) throw badField('texts', 'a list of texts that is not empty')
  const dimensions = maybeWhole(sent['output_dimension'], 'output_dimension', 1)
  const request: JsonObject = {
    ...(sent['model'] === undefined ? {} : { model: sent['model'] }),
    input,
    ...(dimensions === undefined ? {} : { dimensions }),
    encoding_format: 'float',
  }
  return { form: 'cohere.embed', request, purpose: maybeText(sent['input_type'], 'input_type') ?? '' }
}

/** sent: parsed; model: of the path where it stands there. Throws GatewayError. */
export function embedClient(form: EmbedForm, sent: JsonObject, model: string): EmbedClient {
  if (form.startsWith('gemini')) {
    const asked = form === 'gemini.one' ? [geminiOne(sent, '')] : geminiBatch(sent)
    const { purpose, dimensions } = asked[0]!
    const request: JsonObject = {
      model,
      input: asked.map(({ text }) => text),
      ...(dimensions === undefined ? {} : { dimensions }),
      encoding_format: 'float',
    }
    return { form, request, purpose }
  }
  if (form === 'cohere.embed') return cohereEmbed(sent)
  // ollama docs/api.md, generate embeddings.
  const input = form === 'ollama.embed' ? sent['input'] : sent['prompt']
  const named = sent['model'] ?? sent['name']
  const dimensions = maybeWhole(sent['dimensions'], 'dimensions', 1)
  const request: JsonObject = {
    ...(named === undefined ? {} : { model: named }),
    ...(input === undefined ? {} : { input }),
    ...(dimensions === undefined ? {} : { dimensions }),
    encoding_format: 'float',
  }
  return { form, request, purpose: '' }
}

interface OpenAiAnswer {
  readonly data: readonly { readonly index?: number; readonly embedding: readonly number[] }[]
  readonly usage?: { readonly prompt_tokens?: number }
}

interface Asker {
  /** The model's name as the client sent it. */
  readonly model: string
  /** Of the request. */
  readonly id: string
}

/** body: as `/v1/embeddings` answers. */
export function embedClientAnswer(form: EmbedForm, body: Buffer, asker: Asker): Buffer {
  const { data, usage } = JSON.parse(body.toString()) as OpenAiAnswer
  const vectors = data.toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0)).map(({ embedding }) => embedding)
  const tokens = usage?.prompt_tokens ?? 0
  return Buffer.from(JSON.stringify(written(form, vectors, tokens, asker)))
}

function written(
  form: EmbedForm,
  vectors: readonly (readonly number[])[],
  tokens: number,
  { model, id }: Asker,
): object {
  const counted = tokens > 0 ? { usageMetadata: { promptTokenCount: tokens } } : {}
  switch (form) {
    case 'gemini.one':
      return { embedding: { values: vectors[0] ?? [] }, ...counted }
    case 'gemini.batch':
      return { embeddings: vectors.map((values) => ({ values })), ...counted }
    case 'ollama.embed':
      return { model, embeddings: vectors, prompt_eval_count: tokens }
    case 'ollama.embeddings':
      return { embedding: vectors[0] ?? [] }
    // cohere-ai `EmbedByTypeResponse`.
    case 'cohere.embed':
      return {
        response_type: 'embeddings_by_type',
        id,
        embeddings: { float: vectors },
        meta: { api_version: { version: '2' }, billed_units: { input_tokens: tokens } },
      }
  }
}
