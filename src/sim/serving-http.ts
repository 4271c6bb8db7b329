/** The REST side of the simulated model servers: each server's paths, bodies and errors. */
import type { Json, JsonObject } from '../contracts/canonical.ts'
import { isObject } from '../protocol/canonical/read.ts'
import { flatten, nest } from '../protocol/templates/tensor.ts'
import {
  lengthOf,
  pieces,
  predict,
  say,
  ServingError,
  type ServingOptions,
  type SimOutputs,
  type SimTensor,
} from './serving-model.ts'

export interface RestAnswer {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** Of gRPC's codes, as these servers translate them. */
const STATUS: Readonly<Record<number, number>> = { 3: 400, 5: 404, 7: 403, 8: 429, 13: 500, 14: 503 }

const json = (body: Json, status = 200): RestAnswer => ({
  status,
  type: 'application/json',
  body: JSON.stringify(body),
})
const spread = (body: Json): RestAnswer => ({
  status: 200,
  type: 'application/json',
  body: `${JSON.stringify(body, null, 4)}\n`,
})

const rows = ({ data, shape }: SimTensor): Json => nest([...data], shape)

/** tensorflow/serving g3doc/api_rest.md, in columns; one output stands alone. */
function tensorflow(model: string, body: JsonObject, options: ServingOptions): RestAnswer {
  const { inputs } = body
  if (inputs === undefined) throw new ServingError(3, 'Missing "inputs" or "instances" key')
  const columns = isObject(inputs) ? Object.entries(inputs) : [['text', inputs] as const]
  const outputs = predict(model, new Map(columns.map(([name, value]) => [name, flatten(value)])), options)
  if (outputs.size === 1) return spread({ outputs: rows([...outputs.values()][0]!) })
  return spread({ outputs: Object.fromEntries([...outputs].map(([name, tensor]) => [name, rows(tensor)])) })
}

const DATATYPES = { string: 'BYTES', int32: 'INT32', float: 'FP32', half: 'FP16' } as const

/** kserve/open-inference-protocol inference_rest.md. */
function kserve(model: string, body: JsonObject, options: ServingOptions): RestAnswer {
  const given = (Array.isArray(body['inputs']) ? body['inputs'] : []).filter(isObject)
  const inputs = new Map(
    given.map(({ name, shape, data }) => {
      const flat = flatten(data ?? null)
      return [String(name), { shape: Array.isArray(shape) ? shape.map(Number) : flat.shape, data: flat.data }]
    }),
  )
  const outputs: SimOutputs = predict(model, inputs, options)
  const asked = Array.isArray(body['outputs']) ? body['outputs'].filter(isObject).map(({ name }) => String(name)) : []
  const told = [...outputs].filter(([name]) => asked.length === 0 || asked.includes(name))
  return json({
    model_name: model,
    model_version: '1',
    outputs: told.map(([name, { type, shape, data }]) => ({
      name,
      datatype: DATATYPES[type],
      shape: [...shape],
      data: [...data],
    })),
  })
}

/** triton server docs/protocol/extension_generate.md. */
function generate(model: string, body: JsonObject, options: ServingOptions, stream: boolean): RestAnswer {
  const parameters = isObject(body['parameters']) ? body['parameters'] : {}
  const text = body['text_input']
  if (typeof text !== 'string') throw new ServingError(3, 'failed to parse the request: text_input is missing')
  // For its failures.
  predict(model, new Map([['text', { shape: [1], data: [text] }]]), options)
  const said = say(text, model, lengthOf(parameters['max_tokens'] ?? body['max_tokens']), options)
  const answer = (piece: string): JsonObject => ({ model_name: model, model_version: '1', text_output: piece })
  if (!stream) return json({ ...answer(said.text), output_tokens: said.tokens })
  const events = pieces(said.text).map((piece) => `data: ${JSON.stringify(answer(piece))}\n\n`)
  if (model.startsWith('cut')) events.splice(2, Infinity, 'data: {"error":"the model broke"}\n\n')
  return { status: 200, type: 'text/event-stream; charset=utf-8', body: events.join('') }
}

/** pytorch/serve: the handler takes `data`, and answers with a text, or with `json` in its model's name with a list. */
function torchserve(model: string, body: JsonObject, options: ServingOptions): RestAnswer {
  const given = body['data'] ?? body['prompt']
  const texts = (Array.isArray(given) ? given : [given]).map((text) => {
    if (typeof text !== 'string') throw new ServingError(3, 'data is missing')
    return text
  })
  const outputs = predict(model, new Map([['text', { shape: [texts.length], data: texts }]]), options)
  if (model.startsWith('embed')) return json(rows(outputs.get('vector')!))
  const said = say(texts[0] ?? '', model, lengthOf(body['max_new_tokens']), options)
  if (!model.startsWith('json')) return { status: 200, type: 'text/plain; charset=utf-8', body: said.text }
  return json([{ generated_text: said.text, details: { finish_reason: said.finish, generated_tokens: said.tokens } }])
}

type Route = readonly [RegExp, (model: string, body: JsonObject, options: ServingOptions) => RestAnswer]

const ROUTES: readonly Route[] = [
  [/^\/v1\/models\/([^/:]+)(?:\/(?:versions|labels)\/[^/:]+)?:predict$/, tensorflow],
  [/^\/v2\/models\/([^/]+)(?:\/versions\/[^/]+)?\/infer$/, kserve],
  [/^\/v2\/models\/([^/]+)(?:\/versions\/[^/]+)?\/generate$/, (...given) => generate(...given, false)],
  [/^\/v2\/models\/([^/]+)(?:\/versions\/[^/]+)?\/generate_stream$/, (...given) => generate(...given, true)],
  [/^\/predictions\/([^/]+)(?:\/[^/]+)?$/, torchserve],
]

/** Answers a POST. TorchServe tells errors as `{code, type, message}`, the others as `{error}`. */
export function answerRest(path: string, sent: Buffer, options: ServingOptions): RestAnswer {
  try {
    const body = JSON.parse(sent.toString()) as Json
    if (!isObject(body)) throw new ServingError(3, 'the body is not a JSON object')
    for (const [pattern, handle] of ROUTES) {
      const model = pattern.exec(path)?.[1]
      if (model !== undefined) return handle(decodeURIComponent(model), body, options)
    }
    throw new ServingError(5, `Malformed request: POST ${path}`)
  } catch (error) {
    const status = error instanceof ServingError ? (STATUS[error.code] ?? 500) : 400
    const message = error instanceof Error ? error.message : 'unknown'
    const torch = { code: status, type: 'PredictionException', message }
    return json(path.startsWith('/predictions/') ? torch : { error: message }, status)
  }
}
