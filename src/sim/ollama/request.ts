/** From the body of `/api/chat` and `/api/generate` to a Prompt. Unknown fields are ignored, as the server ignores them. */
import { isReasoningModel } from '../brain.ts'
import type { Call } from '../call.ts'
import { ApiError, badRequest } from '../errors.ts'
import type { Words } from '../fields.ts'
import { ANY_SEED, Fields, MAX_TOKENS } from '../fields.ts'
import { isObject } from '../json.ts'
import { checkModel } from '../models.ts'
import { base64Length } from '../parts.ts'
import type { Message, OutputFormat, Prompt, Role, ToolSpec } from '../prompt.ts'

const GO = {
  object: 'map[string]interface {}',
  array: '[]interface {}',
  string: 'string',
  number: 'float32',
  integer: 'int',
  boolean: 'bool',
} as const

export const WORDS: Words = {
  member: (at, key) => (at === '' ? String(key) : `${at}.${key}`),
  missing: (at) => `${at} is required`,
  type: (at, wanted) => `json: cannot unmarshal value into Go struct field ${at} of type ${GO[wanted]}`,
  range: (at, low, high) => `option "${at}" must be between ${low} and ${high}`,
  oneOf: (at, allowed, value) => `invalid ${at.split('.').at(-1)}: ${value}, must be one of [${allowed.join(', ')}]`,
  extra: (at) => `unknown field ${at}`,
}

const SIGNATURES: readonly (readonly [RegExp, string])[] = [
  [/^iVBORw0KGgo/, 'image/png'],
  [/^\/9j\//, 'image/jpeg'],
  [/^R0lGOD/, 'image/gif'],
  [/^UklGR/, 'image/webp'],
]

/** Images come without a type: it is in their first bytes. */
const imagesOf = (message: Fields): string[] =>
  (message.strings('images') ?? []).map((data) => {
    const type = SIGNATURES.find(([pattern]) => pattern.test(data))?.[1] ?? 'image'
    try {
      return `${type} (${base64Length(data, 'images')} bytes)`
    } catch {
      throw badRequest('illegal base64 data at input byte 0', 'images')
    }
  })

interface Open {
  readonly id: string
  readonly name: string
}

/** By id or name where the message has one, else in order. */
const toolNameOf = (message: Fields, open: Open[]): string | undefined => {
  const id = message.text('tool_call_id') ?? ''
  const name = message.text('tool_name') ?? message.text('name')
  const at = open.findIndex((made) => (id === '' ? name === undefined || made.name === name : made.id === id))
  const [found] = open.splice(Math.max(0, at), 1)
  return name ?? found?.name
}

const callsOf = (message: Fields): { id: string; name: string; input: string }[] =>
  message.objects('tool_calls').map((made) => {
    const target = made.need('function', made.object('function'))
    const input = target.object('arguments')?.value ?? {}
    return { id: made.text('id') ?? '', name: target.need('name', target.text('name')), input: JSON.stringify(input) }
  })

const ROLES: readonly Role[] = ['system', 'user', 'assistant', 'tool']

const readMessages = (body: Fields): Message[] => {
  let open: Open[] = []
  return body.objects('messages').map((message): Message => {
    const role = message.need('role', message.oneOf('role', ROLES))
    const text = message.text('content') ?? ''
    message.text('thinking')
    const media = imagesOf(message)
    if (role === 'tool') return { role, text, media, calls: [], toolName: toolNameOf(message, open) }
    const calls = role === 'assistant' ? callsOf(message) : []
    open = calls.map(({ id, name }) => ({ id, name }))
    return { role, text, media, calls }
  })
}

const readTools = (body: Fields): ToolSpec[] =>
  body.objects('tools').map((tool): ToolSpec => {
    const spec = tool.need('function', tool.object('function'))
    return {
      kind: 'function',
      name: spec.need('name', spec.text('name')),
      description: spec.text('description') ?? '',
      parameters: spec.object('parameters')?.value ?? {},
      strict: false,
    }
  })

const readFormat = (body: Fields): OutputFormat => {
  const format = body.get('format')
  if (format === undefined || format === '') return { type: 'text' }
  if (format === 'json') return { type: 'json_object' }
  if (isObject(format)) return { type: 'json_schema', schema: format, strict: false }
  throw badRequest(`invalid format: ${JSON.stringify(format)}; expected "json" or a valid JSON Schema object`, 'format')
}

interface Think {
  readonly thinks: boolean
  readonly effort: string | undefined
}

const readThink = (body: Fields, model: string): Think => {
  const asked = body.get('think')
  if (asked === undefined) return { thinks: isReasoningModel(model), effort: undefined }
  if (typeof asked === 'boolean') return { thinks: asked, effort: undefined }
  if (typeof asked === 'string' && ['high', 'medium', 'low', 'max'].includes(asked))
    return { thinks: true, effort: asked }
  throw badRequest(
    `invalid think value: ${JSON.stringify(asked)} (must be "high", "medium", "low", "max", true, or false)`,
    'think',
  )
}

export interface OllamaRequest {
  readonly prompt: Prompt
  readonly stream: boolean
  /** Alternatives for each token; undefined: no logprobs. */
  readonly top: number | undefined
  /** Nothing is asked: the model is loaded. */
  readonly empty: boolean
}

export const checkName = (call: Call): void => {
  if (call.model === '') throw badRequest('model is required', 'model')
  try {
    checkModel(call.state, call.model)
  } catch {
    throw new ApiError(404, `model '${call.model}' not found`)
  }
}

const read = (call: Call, body: Fields, messages: readonly Message[], tools: readonly ToolSpec[]): OllamaRequest => {
  const options = body.object('options') ?? new Fields(WORDS, {}, 'options')
  for (const name of ['temperature', 'top_p', 'min_p', 'repeat_penalty', 'presence_penalty', 'frequency_penalty'])
    options.number(name, -100, 100)
  const predict = options.integer('num_predict', -2, MAX_TOKENS) ?? -1
  const { thinks, effort } = readThink(body, call.model)
  const top = body.integer('top_logprobs', 0, 20)
  return {
    prompt: {
      model: call.model,
      messages,
      tools,
      toolChoice: { mode: 'auto' },
      parallel: true,
      format: readFormat(body),
      seed: options.integer('seed', ...ANY_SEED) ?? 0,
      stop: options.strings('stop') ?? [],
      maxTokens: predict < 0 ? undefined : predict,
      minTokens: 0,
      effort,
      thinks,
      suffix: call.suffix,
    },
    stream: body.flag('stream') ?? true,
    top: body.flag('logprobs') === true ? (top ?? 0) : undefined,
    empty: messages.length === 0,
  }
}

/** @throws ApiError 400, 404 */
export const readChat = (call: Call): OllamaRequest => {
  checkName(call)
  const body = new Fields(WORDS, call.body, '')
  return read(call, body, readMessages(body), readTools(body))
}

/** @throws ApiError 400, 404 */
export const readGenerate = (call: Call): OllamaRequest => {
  checkName(call)
  const body = new Fields(WORDS, call.body, '')
  const prompt = body.text('prompt') ?? ''
  const lead = [body.text('system') ?? '', body.text('suffix') ?? ''].filter((text) => text !== '')
  const messages: Message[] = lead.map((text) => ({ role: 'system', text, media: [], calls: [] }))
  const media = imagesOf(body)
  if (prompt !== '' || media.length > 0) messages.push({ role: 'user', text: prompt, media, calls: [] })
  return read(call, body, messages, [])
}
