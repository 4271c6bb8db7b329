import type { Json, JsonObject } from '../contracts/canonical.ts'
import { GatewayError } from '../core/errors.ts'
import { badField, isObject, listAt, maybeText, maybeWhole, objectAt } from '../protocol/canonical/read.ts'

/** Who asks for vectors in another way than OpenAI's. */
export type EmbedForm = 'gemini.one' | 'gemini.batch' | 'ollama.embed' | 'ollama.embeddings'

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
  const parts = listAt(objectAt(content, param)['parts'], `${param}.parts`)
  return parts
    .map((part) => {
      const text = isObject(part) ? part['text'] : undefined
      if (typeof text === 'string') return text
      throw new GatewayError('unsupported_parameter', 'Only texts can be embedded here.', { param: `${param}.parts` })
    })
    .join('\n')
}

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

/** body: as `/v1/embeddings` answers. asked: the model's name as the client sent it. */
export function embedClientAnswer(form: EmbedForm, body: Buffer, asked: string): Buffer {
  const { data, usage } = JSON.parse(body.toString()) as OpenAiAnswer
  const vectors = data.toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0)).map(({ embedding }) => embedding)
  const tokens = usage?.prompt_tokens ?? 0
  return Buffer.from(JSON.stringify(written(form, vectors, tokens, asked)))
}

function written(form: EmbedForm, vectors: readonly (readonly number[])[], tokens: number, asked: string): object {
  const counted = tokens > 0 ? { usageMetadata: { promptTokenCount: tokens } } : {}
  switch (form) {
    case 'gemini.one':
      return { embedding: { values: vectors[0] ?? [] }, ...counted }
    case 'gemini.batch':
      return { embeddings: vectors.map((values) => ({ values })), ...counted }
    case 'ollama.embed':
      return { model: asked, embeddings: vectors, prompt_eval_count: tokens }
    case 'ollama.embeddings':
      return { embedding: vectors[0] ?? [] }
  }
}
