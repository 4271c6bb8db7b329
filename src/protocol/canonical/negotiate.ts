import type { ChatRequest, Message, Opaque, Part } from '../../contracts/canonical.ts'
import type { Dialect, Feature, Wire } from '../../contracts/dialect.ts'
import { GatewayError } from '../../core/errors.ts'
import { foldCustom } from './custom-tools.ts'
import { FEATURES } from './features.ts'

/** refuse: a request that asks for what the wire cannot carry fails. drop: it goes without, and the answer says so. */
export type UnsupportedRule = 'refuse' | 'drop'

export interface Negotiated {
  readonly request: ChatRequest
  /** Parameters that were left behind, without repeats; of a header value. */
  readonly dropped: readonly string[]
}

/** What of the features the wire can neither carry nor do without; null = nothing. */
export function missingFor(features: ReadonlySet<Feature>, wire: Wire, rule: UnsupportedRule): Feature | null {
  for (const feature of features) {
    if (wire.carries[feature] !== 'no' || FEATURES[feature].kind === 'hint') continue
    if (rule === 'refuse' || NEVER_DROPPED.has(feature)) return feature
  }
  return null
}

/**
 * Fits a request to a wire: what it cannot carry is refused (`unsupported_parameter`) or taken out, by what it means and
 * what the route says. Opaque bytes of another dialect are always taken out: nobody else can read them.
 */
export function negotiate(
  request: ChatRequest,
  features: ReadonlySet<Feature>,
  wire: Wire,
  rule: UnsupportedRule,
): Negotiated {
  const missing = missingFor(features, wire, rule)
  if (missing !== null) {
    const { param, title } = FEATURES[missing]
    throw new GatewayError('unsupported_parameter', `${title}: the backend of this model cannot do that.`, {
      param,
      detail: `${wire.dialect} has no ${missing}`,
    })
  }
  const out = new Set([...features].filter((feature) => wire.carries[feature] === 'no'))
  const dropped = new Set([...out].map((feature) => FEATURES[feature].param))
  for (const name of request.unknown ?? []) dropped.add(name)
  const { own } = request
  if (own !== undefined && own.by !== wire.dialect) for (const name of Object.keys(own.value)) dropped.add(name)
  const foreign = hasForeign(request, wire.dialect)
  if (foreign) dropped.add(FEATURES.reasoning_proof.param)
  const fitted = out.size > 0 || foreign ? without(request, out, wire.dialect) : request
  return { request: features.has('tool_custom') ? foldCustom(fitted, wire) : fitted, dropped: [...dropped] }
}

/** Without these there is no question left. */
const NEVER_DROPPED: ReadonlySet<Feature> = new Set<Feature>([
  'system',
  'image_base64',
  'image_url',
  'audio',
  'file_base64',
  'file_url',
  'file_id',
  'suffix',
])

const isForeign = (opaque: Opaque | undefined, dialect: Dialect): boolean =>
  opaque !== undefined && opaque.by !== dialect

function hasForeign(request: ChatRequest, dialect: Dialect): boolean {
  return request.messages.some((message) =>
    message.parts.some(
      (part) =>
        ('signature' in part && isForeign(part.signature, dialect)) ||
        (part.type === 'reasoning' && isForeign(part.redacted, dialect)),
    ),
  )
}

/** Fields of the request that a feature is made of; the others are inside messages and tools. */
const FIELDS: Readonly<Partial<Record<Feature, readonly (keyof ChatRequest)[]>>> = {
  tools: ['tools', 'toolChoice', 'parallelTools'],
  tool_choice: ['toolChoice'],
  tool_choice_named: ['toolChoice'],
  tool_choice_allowed: ['toolChoice'],
  single_tool_call: ['parallelTools'],
  server_tools: ['serverTools'],
  json_object: ['format'],
  json_schema: ['format'],
  max_tokens: ['maxTokens'],
  temperature: ['temperature'],
  top_p: ['topP'],
  top_k: ['topK'],
  min_p: ['minP'],
  frequency_penalty: ['frequencyPenalty'],
  presence_penalty: ['presencePenalty'],
  repetition_penalty: ['repetitionPenalty'],
  seed: ['seed'],
  stop: ['stop'],
  n: ['n'],
  logit_bias: ['logitBias'],
  logprobs: ['logprobs', 'topLogprobs'],
  verbosity: ['verbosity'],
  audio_output: ['modalities', 'audio'],
  image_output: ['modalities'],
  prediction: ['prediction'],
  echo: ['echo'],
  user: ['user'],
  metadata: ['metadata'],
  service_tier: ['serviceTier'],
  store: ['store'],
  prompt_cache_key: ['promptCacheKey'],
  safety_identifier: ['safetyIdentifier'],
}

function without(request: ChatRequest, out: ReadonlySet<Feature>, dialect: Dialect): ChatRequest {
  const left: Record<string, unknown> = { ...request }
  for (const feature of out) for (const field of FIELDS[feature] ?? []) delete left[field]
  left['messages'] = cleanMessages(request.messages, out, dialect)
  const { tools, reasoning } = left as { tools?: ChatRequest['tools']; reasoning?: ChatRequest['reasoning'] }
  if (tools !== undefined)
    left['tools'] = tools
      .filter((tool) => tool.custom === undefined || !out.has('tool_custom'))
      .map((tool) => omit(tool, out.has('tool_strict') && 'strict', out.has('cache_marks') && 'cache'))
  if (reasoning !== undefined)
    left['reasoning'] = {
      ...reasoning,
      ...(out.has('reasoning_effort') ? { effort: null } : {}),
      ...(out.has('reasoning_budget') ? { budget: null } : {}),
    }
  return left as unknown as ChatRequest
}

const omit = <T extends object>(value: T, ...keys: (string | false)[]): T =>
  Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key))) as T

function cleanMessages(messages: readonly Message[], out: ReadonlySet<Feature>, dialect: Dialect): Message[] {
  const cleaned = messages.map((message) => {
    const parts = message.parts.map((part) => cleanPart(part, out, dialect)).filter((part) => part !== null)
    return out.has('message_name') ? omit({ ...message, parts }, 'name') : { ...message, parts }
  })
  const kept = cleaned.filter((message, i) => message.parts.length > 0 || messages[i]!.parts.length === 0)
  if (out.has('prefill')) while (kept.at(-1)?.role === 'assistant') kept.pop()
  return kept
}

function cleanPart(part: Part, out: ReadonlySet<Feature>, dialect: Dialect): Part | null {
  const mayProve = !out.has('reasoning_proof')
  const signed = 'signature' in part && (!mayProve || isForeign(part.signature, dialect))
  const next = omit(
    part,
    out.has('cache_marks') && 'cache',
    out.has('image_detail') && 'detail',
    out.has('tool_result_error') && 'error',
    signed && 'signature',
  )
  if (next.type === 'native') return out.has('native_parts') || next.by !== dialect ? null : next
  if (next.type === 'tool_result')
    return {
      ...next,
      content: next.content
        .map((inner) => cleanPart(inner, out, dialect))
        .filter((inner): inner is Part => inner !== null)
        .filter((inner) => inner.type === 'text' || !out.has('tool_result_media')),
    }
  if (next.type !== 'reasoning') return next
  if (next.redacted !== undefined && (!mayProve || isForeign(next.redacted, dialect))) return null
  // A wire that wants proof of what was thought gets no reasoning without it: that is for the wire to know.
  if (out.has('reasoning_history')) return next.signature === undefined ? null : { ...next, text: '' }
  return next
}
