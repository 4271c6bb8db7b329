import type {
  ChatRequest,
  Json,
  JsonObject,
  Message,
  OutputFormat,
  Part,
  Reasoning,
  ToolCallPart,
} from '../../contracts/canonical.ts'
import { base64At, imageMime } from '../canonical/media.ts'
import {
  badField,
  compact,
  isObject,
  listAt,
  maybeFlag,
  maybeNumber,
  maybeText,
  maybeWhole,
  objectAt,
  oneOf,
  textAt,
} from '../canonical/read.ts'
import { argumentsText, fieldNames } from '../canonical/say.ts'
import { functionFields } from '../openai/client-chat-request.ts'
import { pushResult } from '../openai/client-chat-messages.ts'

/** keep_alive is about the memory of a server that is not there. */
const KNOWN = fieldNames('model messages stream format options think tools keep_alive logprobs top_logprobs')
const KNOWN_OPTIONS = fieldNames(`
  temperature top_p top_k min_p seed stop num_predict repeat_penalty presence_penalty frequency_penalty
`)
const ROLES = ['system', 'user', 'assistant', 'tool'] as const

/** Reads a request of /api/chat (ollama docs/api.md). It streams unless the body says that it does not. */
export function ollamaRequest(sent: JsonObject, model: string, _stream: boolean): ChatRequest {
  const options = sent['options'] == null ? {} : objectAt(sent['options'], 'options')
  const topLogprobs = maybeWhole(sent['top_logprobs'], 'top_logprobs')
  if (topLogprobs !== undefined && topLogprobs > 20) throw badField('top_logprobs', 'from 0 to 20')
  const tools = sent['tools'] == null ? [] : listAt(sent['tools'], 'tools')
  return compact<ChatRequest>({
    model,
    messages: messagesOf(sent['messages']),
    stream: maybeFlag(sent['stream'], 'stream') ?? true,
    tools:
      tools.length === 0
        ? undefined
        : tools.map((item, i) => {
            const inner = objectAt(item, `tools[${i}]`)['function']
            return functionFields(objectAt(inner, `tools[${i}].function`), `tools[${i}].function`)
          }),
    format: outputFormat(sent['format']),
    reasoning: reasoningOf(sent['think']),
    logprobs: maybeFlag(sent['logprobs'], 'logprobs'),
    topLogprobs,
    unknown: leftBehind(sent, options),
    ...sampling(options),
    ...NOT_SPOKEN,
  })
}

/** The dialect has no words for these. */
const NOT_SPOKEN = {
  serverTools: undefined,
  toolChoice: undefined,
  parallelTools: undefined,
  n: undefined,
  logitBias: undefined,
  verbosity: undefined,
  modalities: undefined,
  audio: undefined,
  prediction: undefined,
  user: undefined,
  metadata: undefined,
  serviceTier: undefined,
  store: undefined,
  promptCacheKey: undefined,
  safetyIdentifier: undefined,
  suffix: undefined,
  echo: undefined,
} as const

function sampling(options: JsonObject) {
  const most = maybeWhole(options['num_predict'], 'options.num_predict', -2)
  const stop = options['stop']
  return {
    // Without end (-1), or as far as the context goes (-2): as much as the backend gives.
    maxTokens: most === undefined || most <= 0 ? undefined : most,
    temperature: maybeNumber(options['temperature'], 'options.temperature', 0),
    topP: maybeNumber(options['top_p'], 'options.top_p', 0),
    topK: maybeWhole(options['top_k'], 'options.top_k', -1),
    minP: maybeNumber(options['min_p'], 'options.min_p', 0),
    seed: maybeWhole(options['seed'], 'options.seed', -Number.MAX_SAFE_INTEGER),
    repetitionPenalty: maybeNumber(options['repeat_penalty'], 'options.repeat_penalty', 0),
    presencePenalty: maybeNumber(options['presence_penalty'], 'options.presence_penalty'),
    frequencyPenalty: maybeNumber(options['frequency_penalty'], 'options.frequency_penalty'),
    stop:
      stop === undefined || stop === null
        ? undefined
        : typeof stop === 'string'
          ? [stop]
          : listAt(stop, 'options.stop').map((item, i) => textAt(item, `options.stop[${i}]`)),
  }
}

function leftBehind(sent: JsonObject, options: JsonObject): readonly string[] | undefined {
  const unknown = [
    ...Object.keys(sent).filter((name) => sent[name] !== null && !KNOWN.has(name)),
    ...Object.keys(options)
      .filter((name) => options[name] !== null && !KNOWN_OPTIONS.has(name))
      .map((name) => `options.${name}`),
  ]
  return unknown.length > 0 ? unknown : undefined
}

/** `json`, or a schema. */
function outputFormat(format: Json | undefined): OutputFormat | undefined {
  if (format === undefined || format === null || format === '') return undefined
  if (format === 'json') return { type: 'json' }
  if (!isObject(format)) throw badField('format', 'json or a schema')
  return { type: 'schema', name: 'answer', schema: format }
}

/** true and false, or how hard: `low`, `medium`, `high`. */
function reasoningOf(think: Json | undefined): Reasoning | undefined {
  if (think === undefined || think === null) return undefined
  if (typeof think === 'boolean') return { effort: null, budget: think ? -1 : 0, visible: think ? true : null }
  return { effort: textAt(think, 'think'), budget: null, visible: true }
}

interface Call {
  readonly id: string
  readonly name: string
}

function messagesOf(sent: Json | undefined): Message[] {
  const messages: Message[] = []
  /** Calls that wait for their results, which name the tool alone, or nothing. */
  let waiting: Call[] = []
  for (const [i, item] of listAt(sent, 'messages').entries()) {
    const at = `messages[${i}]`
    const message = objectAt(item, at)
    const role = oneOf(textAt(message['role'], `${at}.role`), ROLES, `${at}.role`)
    if (role === 'tool') {
      pushResult(messages, toolResult(message, waiting, i, at))
      continue
    }
    const parts = partsOf(message, i, at, role === 'assistant')
    if (role === 'assistant') waiting = parts.filter((part) => part.type === 'tool_call')
    messages.push({ role, parts })
  }
  return messages
}

function partsOf(message: JsonObject, index: number, at: string, assistant: boolean): Part[] {
  const parts: Part[] = []
  const thinking = assistant ? (maybeText(message['thinking'], `${at}.thinking`) ?? '') : ''
  if (thinking !== '') parts.push({ type: 'reasoning', text: thinking })
  const content = maybeText(message['content'], `${at}.content`) ?? ''
  if (content !== '' || !assistant) parts.push({ type: 'text', text: content })
  parts.push(...images(message['images'], `${at}.images`))
  const calls = message['tool_calls']
  if (calls !== undefined && calls !== null)
    for (const [k, call] of listAt(calls, `${at}.tool_calls`).entries())
      parts.push(toolCall(objectAt(call, `${at}.tool_calls[${k}]`), `call_${index}_${k}`, `${at}.tool_calls[${k}]`))
  return parts
}

const images = (value: Json | undefined, at: string): Part[] =>
  value === undefined || value === null
    ? []
    : listAt(value, at).map((item, i) => {
        const data = base64At(textAt(item, `${at}[${i}]`), `${at}[${i}]`)
        return { type: 'image', source: { kind: 'base64', mime: imageMime(data), data } }
      })

function toolCall(call: JsonObject, id: string, at: string): ToolCallPart {
  const inner = objectAt(call['function'], `${at}.function`)
  const args = inner['arguments']
  return {
    type: 'tool_call',
    id: maybeText(call['id'], `${at}.id`) || id,
    name: textAt(inner['name'], `${at}.function.name`),
    arguments: argumentsText(args === undefined || args === null ? {} : objectAt(args, `${at}.function.arguments`)),
  }
}

function toolResult(message: JsonObject, waiting: Call[], index: number, at: string): Part {
  const content = maybeText(message['content'], `${at}.content`) ?? ''
  const sent = maybeText(message['tool_call_id'], `${at}.tool_call_id`) ?? ''
  const name = maybeText(message['tool_name'], `${at}.tool_name`) ?? maybeText(message['name'], `${at}.name`)
  const match = waiting.findIndex((call) => (sent === '' ? name === undefined || call.name === name : call.id === sent))
  const [call] = match < 0 ? [] : waiting.splice(match, 1)
  return compact<Part & { type: 'tool_result' }>({
    type: 'tool_result',
    id: sent === '' ? (call?.id ?? `call_${index}`) : sent,
    name: name ?? call?.name,
    content: [{ type: 'text', text: content }, ...images(message['images'], `${at}.images`)],
    error: undefined,
    cache: undefined,
  })
}
