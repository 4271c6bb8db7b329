/** The operations of a TGI server. It knows no roles: the inputs are the words of the user. */
import type { Answer, StreamEvent } from '../answer.ts'
import { jsonPieces, logprobsOf, think } from '../brain.ts'
import type { Call, Handler } from '../call.ts'
import { badRequest } from '../errors.ts'
import type { Words } from '../fields.ts'
import { Fields, MAX_TOKENS } from '../fields.ts'
import { SSE_TIGHT } from '../framing.ts'
import type { JsonObject } from '../json.ts'
import type { OutputFormat, Prompt, Thought } from '../prompt.ts'
import { hash32 } from '../random.ts'
import { tokenize } from '../tokens.ts'
import type { Use } from '../usage.ts'
import { measurePrompt, totalUse } from '../usage.ts'

const INVALID = 'Input validation error:'

const WORDS: Words = {
  member: (at, key) => (at === '' ? String(key) : `${at}.${key}`),
  missing: (at) => `Failed to deserialize the JSON body into the target type: missing field \`${at}\``,
  type: (at, wanted) =>
    `Failed to deserialize the JSON body into the target type: ${at}: invalid type: expected ${wanted}`,
  range: (at, low) =>
    `${INVALID} \`${at.split('.').at(-1)}\` must be ${low > 0 && low < 1e-6 ? 'strictly positive' : `>= ${low}`}`,
  oneOf: (at, allowed, value) =>
    `Failed to deserialize the JSON body into the target type: ${at}: unknown variant \`${value}\`, expected one of ${allowed.map((one) => `\`${one}\``).join(', ')}`,
  extra: (at) => `unknown field ${at}`,
}

const MAX_STOPS = 4
const DEFAULT_NEW_TOKENS = 100
const POSITIVE = Number.MIN_VALUE

const readFormat = (parameters: Fields): OutputFormat => {
  const grammar = parameters.object('grammar')
  if (grammar === undefined) return { type: 'text' }
  const type = grammar.need('type', grammar.oneOf('type', ['json', 'regex', 'json_schema']))
  if (type === 'regex') throw grammar.bad('type', `${INVALID} the simulator knows no grammar of type \`regex\``)
  const value = grammar.need('value', grammar.object('value'))
  const schema = type === 'json' ? value : value.need('schema', value.object('schema'))
  return { type: 'json_schema', schema: schema.value, strict: false }
}

interface Request {
  readonly prompt: Prompt
  readonly inputs: string
  readonly seed: number | undefined
  readonly details: boolean
  readonly prefill: boolean
  readonly full: boolean
}

const read = (call: Call): Request => {
  const body = new Fields(WORDS, call.body, '')
  const inputs = body.need('inputs', body.text('inputs'))
  if (inputs === '') throw badRequest(`${INVALID} \`inputs\` cannot be empty`, 'inputs')
  const parameters = body.object('parameters') ?? new Fields(WORDS, {}, 'parameters')
  for (const name of ['temperature', 'repetition_penalty']) parameters.number(name, POSITIVE, Infinity)
  for (const name of ['top_p', 'typical_p']) {
    const value = parameters.number(name, -Infinity, Infinity)
    if (value !== undefined && (value <= 0 || value >= 1))
      throw parameters.bad(name, `${INVALID} \`${name}\` must be > 0.0 and < 1.0`)
  }
  parameters.number('frequency_penalty', -2, 2)
  parameters.integer('top_k', 1, MAX_TOKENS)
  const stop = parameters.strings('stop') ?? []
  if (stop.length > MAX_STOPS)
    throw parameters.bad(
      'stop',
      `${INVALID} \`stop\` supports up to ${MAX_STOPS} stop sequences. Given: ${stop.length}`,
    )
  const seed = parameters.integer('seed', 0, Number.MAX_SAFE_INTEGER)
  const prompt: Prompt = {
    model: call.model,
    messages: [{ role: 'user', text: inputs, media: [], calls: [] }],
    tools: [],
    toolChoice: { mode: 'none' },
    parallel: false,
    format: readFormat(parameters),
    seed: seed ?? 0,
    stop,
    maxTokens: parameters.integer('max_new_tokens', 1, MAX_TOKENS) ?? DEFAULT_NEW_TOKENS,
    minTokens: 0,
    effort: undefined,
    suffix: call.suffix,
  }
  return {
    prompt,
    inputs,
    seed,
    details: parameters.flag('details') ?? false,
    prefill: parameters.flag('decoder_input_details') ?? false,
    full: parameters.flag('return_full_text') ?? false,
  }
}

interface Made {
  readonly request: Request
  readonly thought: Thought
  /** What is generated ends with the sequence that stopped it. */
  readonly text: string
  readonly use: Use
  readonly finish: string
}

const FINISH = { stop: 'eos_token', length: 'length', tool_calls: 'eos_token' } as const

const make = (call: Call): Made => {
  const request = read(call)
  const thought = think(request.prompt, call.state.seed)
  const use = totalUse(measurePrompt(call.state, request.prompt), [thought])
  const finish = thought.stopped === undefined ? FINISH[thought.finish] : 'stop_sequence'
  return { request, thought, text: (thought.text ?? '') + (thought.stopped ?? ''), use, finish }
}

const tokenBody = (text: string, special = false): JsonObject => ({
  id: special ? 2 : hash32(text) % 32_000,
  text,
  logprob: special ? 0 : (logprobsOf(text, 0)[0]?.logprob ?? 0),
  special,
})

const headersOf = (use: Use): Record<string, string> => ({
  'x-prompt-tokens': String(use.prompt),
  'x-generated-tokens': String(use.completion),
})

const bodyOf = ({ request, text, use, finish }: Made): JsonObject => {
  const generated = request.full ? request.inputs + text : text
  if (!request.details && !request.prefill) return { generated_text: generated }
  const own = tokenize(request.inputs).map((token) => ({ id: hash32(token) % 32_000, text: token, logprob: null }))
  // Framing is counted as well, and stands for itself.
  const framing = Array.from({ length: Math.max(0, use.prompt - own.length) }, () => ({
    id: 1,
    text: '<s>',
    logprob: null,
  }))
  const prefill = [...framing, ...own]
  return {
    generated_text: generated,
    details: {
      finish_reason: finish,
      generated_tokens: use.completion,
      seed: request.seed ?? null,
      prefill: request.prefill ? prefill : [],
      tokens: tokenize(text).map((token) => tokenBody(token)),
    },
  }
}

const whole = (made: Made): Answer => ({
  kind: 'json',
  body: bodyOf(made),
  headers: headersOf(made.use),
  use: made.use,
  payloadKey: 'generated_text',
})

/** The last frame has the whole text and the details; an end of its own accord is a token of its own. */
const framesOf = (made: Made): StreamEvent[] => {
  const { text, thought, request, use, finish } = made
  const pieces = thought.isJson ? jsonPieces(text) : tokenize(text)
  const tokens = pieces.map((piece) => tokenBody(piece))
  if (finish === 'eos_token' || tokens.length === 0) tokens.push(tokenBody('</s>', true))
  return tokens.map((token, at): StreamEvent => {
    const last = at === tokens.length - 1
    const details = {
      finish_reason: finish,
      generated_tokens: use.completion,
      input_length: use.prompt,
      seed: request.seed ?? null,
    }
    const end = { generated_text: last ? text : null, details: last ? details : null }
    return { data: JSON.stringify({ index: at + 1, token, ...end }), content: token['special'] !== true }
  })
}

const FAILED = JSON.stringify({
  error: 'Request failed during generation: Server error: CUDA error: an illegal memory access was encountered',
  error_type: 'generation',
})

const streamed = (made: Made): Answer => {
  if (made.request.prefill)
    throw badRequest(
      `${INVALID} \`decoder_input_details\` == true is not supported when streaming tokens`,
      'parameters.decoder_input_details',
    )
  const events = framesOf(made)
  return {
    kind: 'stream',
    framing: SSE_TIGHT,
    events,
    headers: headersOf(made.use),
    use: made.use,
    endEvents: 1,
    contentEvent: (text, position) => ({
      data: JSON.stringify({ index: position + 1, token: tokenBody(text), generated_text: null, details: null }),
      content: true,
    }),
    errorEvent: () => ({ data: FAILED, content: false }),
    bare: () => [],
  }
}

export const generate: Handler = (call) => whole(make(call))
export const generateStream: Handler = (call) => streamed(make(call))

/** What is posted to `/` says itself whether it is to be streamed; the whole answer comes in a list. */
export const compat: Handler = (call) => {
  const made = make(call)
  if (call.body['stream'] === true) return streamed(made)
  return { kind: 'json', body: [bodyOf(made)], headers: headersOf(made.use), use: made.use }
}

export const tokenizeInputs: Handler = (call) => {
  const body = new Fields(WORDS, call.body, '')
  let at = 0
  const tokens = tokenize(body.need('inputs', body.text('inputs'))).map((text) => {
    const start = at
    at += text.length
    return { id: hash32(text) % 32_000, text, start, stop: at }
  })
  return { kind: 'json', body: tokens }
}

export const info: Handler = () => ({
  kind: 'json',
  body: {
    model_id: 'sim-chat',
    model_sha: null,
    model_pipeline_tag: 'text-generation',
    max_concurrent_requests: 128,
    max_best_of: 2,
    max_stop_sequences: MAX_STOPS,
    max_input_tokens: 131_071,
    max_total_tokens: 131_072,
    validation_workers: 2,
    max_client_batch_size: 4,
    router: 'text-generation-router',
    version: '3.3.6',
    sha: null,
    docker_label: null,
  },
})

export const health: Handler = () => ({ kind: 'bytes', contentType: 'text/plain', bytes: Buffer.alloc(0) })
