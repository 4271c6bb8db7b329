/** Prompts and answers of dialects that are not OpenAI's, for spans: read by the codecs that translate them. */
import type { AnswerSink, Dialect } from '../contracts/dialect.ts'
import type { Operation } from '../contracts/config.ts'
import type { JsonObject, Message, Part } from '../contracts/canonical.ts'
import { framerOf } from '../protocol/framing.ts'
import { OPERATIONS } from '../protocol/operations.ts'
import { wireOf } from '../protocol/wires.ts'
import { clientOf } from './translation.ts'

type Json = Readonly<Record<string, unknown>>
type Clean = (text: string) => string

const FOREIGN: ReadonlySet<Operation> = new Set<Operation>([
  'messages',
  'generate_content',
  'ollama_chat',
  'converse',
  'cohere_chat',
])

/** Its bodies are not shaped like OpenAI's. */
export const isForeign = (operation: Operation): boolean => FOREIGN.has(operation)

function partOf(part: Part, clean: Clean): Json {
  switch (part.type) {
    case 'text':
    case 'refusal':
      return { type: 'text', content: clean(part.text) }
    case 'reasoning':
      return { type: 'reasoning', content: clean(part.text) }
    case 'tool_call':
      return { type: 'tool_call', id: part.id, name: part.name, arguments: clean(part.arguments) }
    case 'tool_result':
      return {
        type: 'tool_call_response',
        id: part.id,
        response: part.content.map((inner) => (inner.type === 'text' ? clean(inner.text) : '')).join(''),
      }
    default:
      return { type: part.type }
  }
}

const messageOf = ({ role, parts }: Message, clean: Clean): Json => ({
  role,
  parts: parts.map((part) => partOf(part, clean)),
})

/** Messages and instructions of a request. Empty when it cannot be read: who sent it hears that elsewhere. */
export function foreignInput(
  operation: Operation,
  body: Json,
  clean: Clean,
): { readonly messages: readonly Json[]; readonly system: readonly Json[] } {
  try {
    const { messages } = clientOf(operation)!.request(body as JsonObject, '', false)
    const instructs = ({ role }: Message): boolean => role === 'system' || role === 'developer'
    return {
      messages: messages.filter((message) => !instructs(message)).map((message) => messageOf(message, clean)),
      system: messages.filter(instructs).flatMap(({ parts }) => parts.map((part) => partOf(part, clean))),
    }
  } catch {
    return { messages: [], system: [] }
  }
}

/** The first choice of an answer. */
class Heard implements AnswerSink {
  said = ''
  thought = ''
  reason = ''
  readonly calls: { id: string; name: string; arguments: string }[] = []

  text(choice: number, text: string): void {
    if (choice === 0) this.said += text
  }
  reasoning(choice: number, text: string): void {
    if (choice === 0) this.thought += text
  }
  toolCall(choice: number, index: number, id: string, name: string): void {
    if (choice === 0) this.calls[index] = { id, name, arguments: '' }
  }
  toolArguments(choice: number, index: number, piece: string): void {
    const call = choice === 0 ? this.calls[index] : undefined
    if (call !== undefined) call.arguments += piece
  }
  refusal(choice: number, text: string): void {
    this.text(choice, text)
  }
  finish(choice: number, reason: string): void {
    if (choice === 0) this.reason = reason
  }
  start(): void {}
  signature(): void {}
  redacted(): void {}
  toolSignature(): void {}
  citation(): void {}
  logprobs(): void {}
  usage(): void {}
  end(): void {}
}

/** What an answer says, whole or as much of a stream as was kept; null when nothing of it can be read. */
export function foreignOutput(operation: Operation, bytes: Buffer, stream: boolean, clean: Clean): Json | null {
  const heard = new Heard()
  try {
    hear(OPERATIONS[operation].dialect!, bytes, stream, heard)
  } catch {
    // What was kept ends in the middle of an event.
  }
  const parts: Json[] = []
  if (heard.thought !== '') parts.push({ type: 'reasoning', content: clean(heard.thought) })
  if (heard.said !== '') parts.push({ type: 'text', content: clean(heard.said) })
  for (const { id, name, arguments: text } of heard.calls.filter(Boolean))
    parts.push({ type: 'tool_call', id, name, arguments: clean(text) })
  return parts.length === 0 ? null : { role: 'assistant', parts, finish_reason: heard.reason }
}

function hear(dialect: Dialect, bytes: Buffer, stream: boolean, sink: AnswerSink): void {
  const wire = wireOf(dialect)
  if (!stream) {
    wire.answer(JSON.parse(bytes.toString()) as JsonObject, sink)
    return
  }
  const decoder = wire.stream(sink)
  const framer = framerOf(wire.framing, bytes.length + 1)
  if (framer === null) {
    for (const block of bytes.toString().split('\n\n')) {
      const name = /^event: (\S+)/m.exec(block)?.[1] ?? ''
      const data = /^data: (.+)/m.exec(block)?.[1]
      if (data !== undefined) decoder.event(name, data)
    }
    return
  }
  framer.push(bytes)
  for (let event = framer.next(); event !== null; event = framer.next()) decoder.event(event.name, event.data)
}
