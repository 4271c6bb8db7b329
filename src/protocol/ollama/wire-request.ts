import type { ChatRequest, Json, JsonObject, Message, Part } from '../../contracts/canonical.ts'
import type { WireTarget } from '../../contracts/dialect.ts'
import { callNames, joinedText, resultText, unsupported } from '../canonical/history.ts'
import { put } from '../canonical/loose.ts'
import { argumentsObject } from '../canonical/say.ts'
import { bareSchema, parametersOf } from '../canonical/schema.ts'

/** Body of POST /api/chat, by ChatRequest of ollama 0.6. */
export function ollamaRequest(request: ChatRequest, target: WireTarget): JsonObject {
  // Left out, it would stream.
  const body: JsonObject = { model: target.model, messages: messagesOf(request.messages), stream: request.stream }
  if ((request.tools?.length ?? 0) > 0)
    body['tools'] = request.tools!.map((tool): JsonObject => {
      const written: JsonObject = { name: tool.name, parameters: parametersOf(tool.schema) }
      put(written, 'description', tool.description)
      return { type: 'function', function: written }
    })
  if (request.format !== undefined)
    body['format'] = request.format.type === 'json' ? 'json' : bareSchema(request.format.schema)
  put(body, 'think', thinkOf(request, target.model))
  if (request.logprobs === true) {
    body['logprobs'] = true
    put(body, 'top_logprobs', request.topLogprobs)
  }
  const options = optionsOf(request)
  if (Object.keys(options).length > 0) body['options'] = options
  return body
}

const OPTIONS: readonly (readonly [field: keyof ChatRequest, name: string])[] = [
  ['maxTokens', 'num_predict'],
  ['temperature', 'temperature'],
  ['topP', 'top_p'],
  ['topK', 'top_k'],
  ['minP', 'min_p'],
  ['frequencyPenalty', 'frequency_penalty'],
  ['presencePenalty', 'presence_penalty'],
  ['repetitionPenalty', 'repeat_penalty'],
  ['seed', 'seed'],
]

function optionsOf(request: ChatRequest): JsonObject {
  const options: JsonObject = {}
  for (const [field, name] of OPTIONS) put(options, name, request[field] as Json | undefined)
  if ((request.stop?.length ?? 0) > 0) options['stop'] = [...request.stop!]
  return options
}

/** Only gpt-oss knows levels; others think or do not. */
function thinkOf({ reasoning }: ChatRequest, model: string): Json | undefined {
  if (reasoning === undefined) return undefined
  const { effort, budget } = reasoning
  if (effort === null && budget === null) return undefined
  if (effort === 'none' || (effort === null && budget === 0)) return false
  if (!model.includes('gpt-oss')) return true
  if (effort === 'medium' || effort === null) return 'medium'
  return effort === 'minimal' || effort === 'low' ? 'low' : 'high'
}

function messagesOf(messages: readonly Message[]): Json[] {
  const names = callNames(messages)
  const out: Json[] = []
  for (const message of messages) {
    if (message.role === 'tool') {
      for (const part of message.parts) {
        if (part.type !== 'tool_result') continue
        const written: JsonObject = { role: 'tool', content: resultText(part), tool_call_id: part.id }
        put(written, 'tool_name', part.name ?? names.get(part.id))
        addImages(written, part.content)
        out.push(written)
      }
    } else if (message.role === 'assistant') out.push(assistantMessage(message.parts))
    else if (message.parts.length > 0) {
      const written: JsonObject = {
        role: message.role === 'user' ? 'user' : 'system',
        content: joinedText(message.parts),
      }
      addImages(written, message.parts)
      out.push(written)
    }
  }
  return out
}

function addImages(message: JsonObject, parts: readonly Part[]): void {
  const images: string[] = []
  for (const part of parts) {
    if (part.type === 'file' || part.type === 'audio') throw unsupported('The backend of this model reads no files.')
    if (part.type !== 'image') continue
    if (part.source.kind !== 'base64') throw unsupported('The backend of this model takes images in the request only.')
    images.push(part.source.data)
  }
  if (images.length > 0) message['images'] = images
}

function assistantMessage(parts: readonly Part[]): JsonObject {
  const written: JsonObject = { role: 'assistant', content: joinedText(parts, '') }
  const calls: Json[] = []
  let thoughts = ''
  for (const part of parts) {
    if (part.type === 'reasoning') thoughts += part.text
    if (part.type === 'tool_call')
      calls.push({ id: part.id, function: { name: part.name, arguments: argumentsObject(part.arguments) } })
  }
  if (thoughts !== '') written['thinking'] = thoughts
  if (calls.length > 0) written['tool_calls'] = calls
  return written
}
