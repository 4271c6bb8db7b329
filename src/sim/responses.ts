/** `/v1/responses`: create, stream, retrieve, delete, cancel, input items. */
import type { Answer } from './answer.ts'
import { logprobsOf, think } from './brain.ts'
import type { Call, Handler } from './call.ts'
import { epochSeconds, remember } from './call.ts'
import { ApiError } from './errors.ts'
import type { Json, JsonObject } from './json.ts'
import { asArray, asBoolean, asObject, asString } from './json.ts'
import { flag, integerIn } from './params.ts'
import type { Thought } from './prompt.ts'
import { encryptReasoning, readResponsesRequest } from './responses-request.ts'
import { responseEvents } from './responses-stream.ts'
import type { Use } from './usage.ts'
import { measurePrompt, totalUse } from './usage.ts'

const usageBody = (use: Use): JsonObject => ({
  input_tokens: use.prompt,
  input_tokens_details: { cached_tokens: use.cached },
  output_tokens: use.completion,
  output_tokens_details: { reasoning_tokens: use.reasoning },
  total_tokens: use.prompt + use.completion,
})

const includes = (body: JsonObject, name: string): boolean => (asArray(body['include']) ?? []).includes(name)

const reasoningItem = (call: Call, thought: Thought): JsonObject => {
  const id = `rs_${call.state.nextId(48)}`
  const wanted = asObject(call.body['reasoning'])?.['summary'] ?? asObject(call.body['reasoning'])?.['generate_summary']
  const summary: Json[] = typeof wanted === 'string' ? [{ type: 'summary_text', text: thought.reasoning }] : []
  const sealed = includes(call.body, 'reasoning.encrypted_content')
  return { id, type: 'reasoning', summary, ...(sealed ? { encrypted_content: encryptReasoning(call.state, id) } : {}) }
}

const messageItem = (call: Call, text: string, status: string): JsonObject => {
  const top = integerIn(call.body, 'top_logprobs', 0, 20) ?? 0
  const logprobs = includes(call.body, 'message.output_text.logprobs')
    ? logprobsOf(text, top).map(({ alternatives, ...token }) => ({
        ...token,
        top_logprobs: alternatives.map((other) => ({ ...other })),
      }))
    : []
  const content = [{ type: 'output_text', annotations: [], logprobs, text }]
  return { id: `msg_${call.state.nextId(48)}`, type: 'message', status, content, role: 'assistant' }
}

const outputItems = (call: Call, thought: Thought): JsonObject[] => {
  const status = thought.finish === 'length' ? 'incomplete' : 'completed'
  const items: JsonObject[] = thought.reasoningTokens > 0 ? [reasoningItem(call, thought)] : []
  if (thought.text !== null) items.push(messageItem(call, thought.text, status))
  for (const made of thought.calls) {
    const custom = made.kind === 'custom'
    items.push({
      id: `${custom ? 'ctc' : 'fc'}_${call.state.nextId(48)}`,
      type: custom ? 'custom_tool_call' : 'function_call',
      status,
      [custom ? 'input' : 'arguments']: made.input,
      call_id: made.id,
      name: made.name,
    })
  }
  return items
}

const echoed = (body: JsonObject, name: string, otherwise: Json): Json => body[name] ?? otherwise

const frame = (call: Call, stored: boolean): JsonObject => {
  const { body } = call
  return {
    id: `resp_${call.state.nextId(48)}`,
    object: 'response',
    created_at: epochSeconds(),
    status: 'in_progress',
    background: false,
    error: null,
    incomplete_details: null,
    instructions: echoed(body, 'instructions', null),
    max_output_tokens: echoed(body, 'max_output_tokens', null),
    max_tool_calls: echoed(body, 'max_tool_calls', null),
    model: call.model,
    output: [],
    parallel_tool_calls: echoed(body, 'parallel_tool_calls', true),
    previous_response_id: echoed(body, 'previous_response_id', null),
    prompt_cache_key: echoed(body, 'prompt_cache_key', null),
    reasoning: { effort: null, summary: null, ...asObject(body['reasoning']) },
    safety_identifier: echoed(body, 'safety_identifier', null),
    service_tier: 'default',
    store: stored,
    temperature: echoed(body, 'temperature', 1),
    text: { format: { type: 'text' }, verbosity: 'medium', ...asObject(body['text']) },
    tool_choice: echoed(body, 'tool_choice', 'auto'),
    tools: echoed(body, 'tools', []),
    top_logprobs: echoed(body, 'top_logprobs', 0),
    top_p: echoed(body, 'top_p', 1),
    truncation: echoed(body, 'truncation', 'disabled'),
    usage: null,
    user: echoed(body, 'user', null),
    metadata: echoed(body, 'metadata', {}),
  }
}

const store = (call: Call, response: JsonObject, input: readonly Json[], conversation: readonly Json[]): void => {
  const output = asArray(response['output']) ?? []
  const stored = { response, input, conversation: [...conversation, ...output] }
  remember(call.state.responses, asString(response['id']) ?? '', stored)
  for (const item of output) {
    const object = asObject(item)
    if (object !== undefined) remember(call.state.items, asString(object['id']) ?? '', object, 10_000)
  }
}

export const createResponse: Handler = (call): Answer => {
  const { body, state } = call
  const { prompt, input, conversation } = readResponsesRequest(call)
  const stream = flag(body, 'stream') ?? false
  const thought = think(prompt, state.seed)
  const use = totalUse(measurePrompt(state, prompt), [thought])
  const stored = asBoolean(body['store']) ?? true
  const opening = frame(call, stored)
  const cut = thought.finish === 'length'
  const response: JsonObject = {
    ...opening,
    status: cut ? 'incomplete' : 'completed',
    incomplete_details: cut ? { reason: 'max_output_tokens' } : null,
    output: outputItems(call, thought),
    usage: usageBody(use),
  }
  if (stored) store(call, response, input, conversation)
  if (!stream) return { kind: 'json', body: response, use, payloadKey: 'output' }
  return {
    kind: 'stream',
    events: responseEvents(opening, response, thought.isJson),
    use,
    endEvents: 1,
    contentEvent: (delta, position) => ({
      event: 'response.output_text.delta',
      data: JSON.stringify({
        type: 'response.output_text.delta',
        sequence_number: position,
        item_id: firstMessageId(response),
        output_index: 0,
        content_index: 0,
        delta,
        logprobs: [],
      }),
      content: true,
    }),
    errorEvent: (error, position) => ({
      event: 'error',
      data: JSON.stringify({
        type: 'error',
        sequence_number: position,
        code: error['code'] ?? null,
        message: error['message'] ?? '',
        param: null,
      }),
      content: false,
    }),
  }
}

const firstMessageId = (response: JsonObject): string => {
  const items = (asArray(response['output']) ?? []).map((item) => asObject(item))
  return asString(items.find((item) => item?.['type'] === 'message')?.['id']) ?? ''
}

const find = (call: Call, id: string) => {
  const found = call.state.responses.get(id)
  if (found === undefined) throw new ApiError(404, `Response with id '${id}' not found.`, { code: null })
  return found
}

export const getResponse: Handler = (call, id = '') => ({ kind: 'json', body: find(call, id).response })

/** Nothing runs in the background here, so cancelling changes nothing. */
export const cancelResponse: Handler = (call, id = '') => ({ kind: 'json', body: find(call, id).response })

export const deleteResponse: Handler = (call, id = '') => {
  find(call, id)
  call.state.responses.delete(id)
  return { kind: 'json', body: { id, object: 'response', deleted: true } }
}

export const responseInputItems: Handler = (call, id = '') => {
  const items = find(call, id).input.map((item, index) => ({ id: `item_${index}`, type: 'message', ...asObject(item) }))
  const ids = items.map((item) => item.id)
  return {
    kind: 'json',
    body: {
      object: 'list',
      data: items.toReversed(),
      first_id: ids.at(-1) ?? null,
      last_id: ids[0] ?? null,
      has_more: false,
    },
  }
}

export const countInputTokens: Handler = (call) => {
  const { prompt } = readResponsesRequest(call)
  const { tokens } = measurePrompt(call.state, prompt)
  return { kind: 'json', body: { object: 'response.input_tokens', input_tokens: tokens } }
}
