import type { ChatRequest, Json, JsonObject, Message, Part, ToolResultPart } from '../../contracts/canonical.ts'
import type { WireTarget } from '../../contracts/dialect.ts'
import { dataUrl, joinedText, resultText, unsupported } from '../canonical/history.ts'
import { put } from '../canonical/loose.ts'
import { documentIn } from './client-documents.ts'
import { bareSchema, parametersOf } from '../canonical/schema.ts'

/** Body of POST /v2/chat, by V2ChatRequest of cohere-ai 8.1. */
export function cohereRequest(request: ChatRequest, target: WireTarget): JsonObject {
  const thinks = target.model.includes('reasoning')
  const body: JsonObject = {
    model: target.model,
    messages: messagesOf(request.messages, thinks),
    stream: request.stream,
  }
  addTools(body, request)
  const thinking = thinkingOf(request)
  if (thinking !== null) body['thinking'] = thinking
  if (request.format !== undefined) {
    const format: JsonObject = { type: 'json_object' }
    if (request.format.type === 'schema') format['json_schema'] = bareSchema(request.format.schema)
    body['response_format'] = format
  }
  put(body, 'max_tokens', request.maxTokens)
  put(body, 'temperature', request.temperature)
  put(body, 'p', within(request.topP, 0.01, 0.99))
  put(body, 'k', within(request.topK, 0, 500))
  put(body, 'frequency_penalty', within(request.frequencyPenalty, 0, 1))
  put(body, 'presence_penalty', within(request.presencePenalty, 0, 1))
  put(body, 'seed', request.seed)
  if ((request.stop?.length ?? 0) > 0) body['stop_sequences'] = [...request.stop!]
  const documents = documentsOf(request.messages)
  if (documents.length > 0) body['documents'] = documents
  if (request.logprobs === true) body['logprobs'] = true
  if (request.own?.by === 'cohere.chat') Object.assign(body, request.own.value)
  return body
}

const within = (value: number | undefined, least: number, most: number): number | undefined =>
  value === undefined ? undefined : Math.min(Math.max(value, least), most)

function messagesOf(messages: readonly Message[], thinks: boolean): Json[] {
  const out: Json[] = []
  for (const message of messages) {
    if (message.role === 'assistant') out.push(assistantMessage(message.parts, thinks))
    else if (message.role === 'tool') {
      for (const part of message.parts)
        if (part.type === 'tool_result') out.push({ role: 'tool', tool_call_id: part.id, content: resultContent(part) })
    } else if (message.parts.length > 0) {
      const parts = message.parts.filter((part) => documentIn(part) === null)
      // A message of documents alone: they stand elsewhere.
      if (parts.length > 0) out.push({ role: message.role === 'user' ? 'user' : 'system', content: contentOf(parts) })
    }
  }
  return out
}

/** What a client of Cohere's own dialect gave as documents. */
const documentsOf = (messages: readonly Message[]): Json[] =>
  messages
    .filter(({ role }) => role === 'user')
    .flatMap(({ parts }) => parts.map(documentIn).filter((document) => document !== null))

function resultContent(part: ToolResultPart): Json {
  if (part.content.every((inner) => documentIn(inner) === null)) return resultText(part)
  return part.content.flatMap((inner): Json[] => {
    const document = documentIn(inner)
    if (document !== null) return [{ type: 'document', document }]
    return inner.type === 'text' ? [{ type: 'text', text: inner.text }] : []
  })
}

function contentOf(parts: readonly Part[]): Json {
  if (parts.every((part) => part.type !== 'image')) return joinedText(parts)
  const content: Json[] = []
  for (const part of parts) {
    if (part.type === 'text') content.push({ type: 'text', text: part.text })
    if (part.type !== 'image') continue
    const { source } = part
    if (source.kind === 'id') throw unsupported('The backend of this model takes images by URL or in the request.')
    const image: JsonObject = { url: source.kind === 'url' ? source.url : dataUrl(source.mime, source.data) }
    put(image, 'detail', part.detail)
    content.push({ type: 'image_url', image_url: image })
  }
  return content
}

/** Thoughts go back as such to models that think; the others call what led to their calls a plan. */
function assistantMessage(parts: readonly Part[], thinks: boolean): JsonObject {
  const written: JsonObject = { role: 'assistant' }
  const calls: Json[] = []
  let thoughts = ''
  for (const part of parts) {
    if (part.type === 'reasoning') thoughts += part.text
    if (part.type === 'tool_call')
      calls.push({ id: part.id, type: 'function', function: { name: part.name, arguments: part.arguments || '{}' } })
  }
  const text = joinedText(parts, '')
  if (thinks && thoughts !== '') {
    const content: Json[] = [{ type: 'thinking', thinking: thoughts }]
    if (text !== '') content.push({ type: 'text', text })
    written['content'] = content
  } else if (text !== '' || calls.length === 0) written['content'] = text
  if (calls.length > 0) written['tool_calls'] = calls
  const citations = citationsIn(parts)
  if (citations.length > 0) written['citations'] = citations
  if (calls.length > 0 && !thinks && thoughts !== '') written['tool_plan'] = thoughts
  return written
}

/** Places of citations are of one text: of several that become one they would be wrong. */
function citationsIn(parts: readonly Part[]): Json[] {
  const texts = parts.filter((part) => part.type === 'text')
  if (texts.length !== 1) return []
  return (texts[0]!.citations ?? []).flatMap(({ native }) => (native?.by === 'cohere.chat' ? [native.value] : []))
}

/** One tool that must be called, or some that may, are said by leaving out the others. */
function addTools(body: JsonObject, { tools = [], toolChoice: choice }: ChatRequest): void {
  const offered = tools.filter(
    ({ name }) =>
      (choice?.mode !== 'tool' || choice.name === name) && (choice?.mode !== 'allowed' || choice.names.includes(name)),
  )
  if (offered.length === 0) return
  body['tools'] = offered.map((tool): JsonObject => {
    const written: JsonObject = { name: tool.name, parameters: parametersOf(tool.schema) }
    put(written, 'description', tool.description)
    return { type: 'function', function: written }
  })
  if (offered.some((tool) => tool.strict === true)) body['strict_tools'] = true
  if (choice?.mode === 'none') body['tool_choice'] = 'NONE'
  if (choice?.mode === 'tool' || choice?.mode === 'required' || (choice?.mode === 'allowed' && choice.required))
    body['tool_choice'] = 'REQUIRED'
}

const BUDGETS: Readonly<Record<string, number>> = {
  minimal: 512,
  low: 2048,
  medium: 8192,
  high: 16384,
  xhigh: 32768,
  max: 32768,
}

function thinkingOf({ reasoning }: ChatRequest): JsonObject | null {
  if (reasoning === undefined) return null
  const { effort, budget } = reasoning
  if (effort === 'none' || budget === 0) return { type: 'disabled' }
  if (budget !== null) return budget < 0 ? { type: 'enabled' } : { type: 'enabled', token_budget: budget }
  return effort === null ? null : { type: 'enabled', token_budget: BUDGETS[effort] ?? 8192 }
}
