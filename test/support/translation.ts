/** Asks gateways and backends in any dialect, and tells what an answer meant. */
import type { Citation, ChatRequest, FinishReason, JsonObject, Opaque } from '../../src/contracts/canonical.ts'
import type { AnswerSink, Dialect } from '../../src/contracts/dialect.ts'
import type { Usage } from '../../src/contracts/usage.ts'
import { NO_USAGE } from '../../src/protocol/usage.ts'
import { framerOf } from '../../src/protocol/framing.ts'
import { wireOf } from '../../src/protocol/wires.ts'

/** What an answer meant, whoever told it. */
export interface Meaning {
  text: string
  reasoning: string
  readonly proofs: Opaque[]
  readonly calls: { readonly id: string; readonly name: string; arguments: string }[]
  refusal: string
  finish: FinishReason | ''
  sequence: string
  usage: Usage | null
  readonly citations: Citation[]
  ended: boolean
}

/** Takes down the first choice of an answer. */
export class Hearer implements AnswerSink {
  readonly meaning: Meaning = {
    text: '',
    reasoning: '',
    proofs: [],
    calls: [],
    refusal: '',
    finish: '',
    sequence: '',
    usage: null,
    citations: [],
    ended: false,
  }

  start(): void {}
  text(choice: number, text: string): void {
    if (choice === 0) this.meaning.text += text
  }
  reasoning(choice: number, text: string): void {
    if (choice === 0) this.meaning.reasoning += text
  }
  signature(_choice: number, signature: Opaque): void {
    this.meaning.proofs.push(signature)
  }
  redacted(_choice: number, data: Opaque): void {
    this.meaning.proofs.push(data)
  }
  toolCall(choice: number, index: number, id: string, name: string): void {
    if (choice === 0) this.meaning.calls[index] = { id, name, arguments: '' }
  }
  toolArguments(choice: number, index: number, piece: string): void {
    if (choice === 0) this.meaning.calls[index]!.arguments += piece
  }
  toolSignature(_choice: number, _index: number, signature: Opaque): void {
    this.meaning.proofs.push(signature)
  }
  refusal(_choice: number, text: string): void {
    this.meaning.refusal += text
  }
  citation(_choice: number, citation: Citation): void {
    this.meaning.citations.push(citation)
  }
  logprobs(): void {}
  finish(choice: number, reason: FinishReason, sequence: string): void {
    if (choice !== 0) return
    this.meaning.finish = reason
    this.meaning.sequence = sequence
  }
  usage(usage: Usage): void {
    this.meaning.usage = usage
  }
  end(): void {
    this.meaning.ended = true
  }
}

const COMPLETIONS: Dialect = 'openai.completions'

/** Where a dialect is asked, below a server's origin. */
export function pathOf(dialect: Dialect, model: string, stream: boolean): string {
  // No backend is asked in it, so that there is no wire.
  if (dialect === COMPLETIONS) return '/v1/completions'
  return BASES[dialect] + wireOf(dialect).path(model, stream)
}

/** What stands before a wire's path at the vendors, and at the simulator. */
export const BASES: Readonly<Record<string, string>> = {
  'openai.chat': '/v1',
  'openai.responses': '/v1',
  'anthropic.messages': '/v1',
  'gemini.generate': '/v1beta',
  'ollama.chat': '',
  'bedrock.converse': '',
  'cohere.chat': '/v2',
  'tgi.generate': '',
}

export interface Asked {
  readonly status: number
  readonly headers: Headers
  /** Of an answer with a good status. */
  readonly meaning: Meaning
  /** Of one with another. */
  readonly error: JsonObject | null
  readonly raw: string
}

/** body: the request as the dialect has it. */
export async function post(
  origin: string,
  dialect: Dialect,
  body: JsonObject,
  {
    model,
    stream,
    headers = {},
  }: { readonly model: string; readonly stream: boolean; readonly headers?: Record<string, string> },
): Promise<Asked> {
  const response = await fetch(origin + pathOf(dialect, model, stream), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  const raw = bytes.toString()
  const hearer = new Hearer()
  const { status } = response
  if (status !== 200)
    return { status, headers: response.headers, meaning: hearer.meaning, error: JSON.parse(raw) as JsonObject, raw }
  if (dialect === COMPLETIONS) readCompletions(raw, hearer)
  else if (stream) readStream(dialect, bytes, hearer)
  else {
    const verdict = wireOf(dialect).answer(JSON.parse(raw) as JsonObject, hearer)
    if (verdict !== 'ok') throw new Error(`${verdict} answer: ${raw.slice(0, 500)}`)
  }
  return { status, headers: response.headers, meaning: hearer.meaning, error: null, raw }
}

interface Completion {
  readonly choices: readonly { readonly text: string; readonly finish_reason: string | null }[]
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null
}

/** A legacy completion, whole or streamed. */
function readCompletions(raw: string, sink: Hearer): void {
  const texts = raw.startsWith('{') ? [raw] : raw.split('\n\n').map((event) => event.replace(/^data: /, ''))
  if (texts.length > 1 && !texts.includes('[DONE]')) throw new Error('the stream has no end')
  for (const text of texts.filter((each) => each.startsWith('{'))) {
    const { choices, usage } = JSON.parse(text) as Completion
    for (const choice of choices) {
      sink.text(0, choice.text)
      if (choice.finish_reason !== null) sink.finish(0, choice.finish_reason as FinishReason, '')
    }
    if (usage != null)
      sink.usage({ ...NO_USAGE, inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens })
  }
  sink.end()
}

/** Tells a whole stream. Throws when the dialect would take it for broken. */
export function readStream(dialect: Dialect, bytes: Buffer, hearer: AnswerSink): void {
  const wire = wireOf(dialect)
  const decoder = wire.stream(hearer)
  const tell = (name: string, data: string): boolean => {
    const verdict = decoder.event(name, data)
    if (verdict === 'error') throw new Error(`error in the stream: ${JSON.stringify(decoder.fault)}`)
    return verdict === 'go'
  }
  const framer = framerOf(wire.framing, 1 << 24)
  if (framer === null) {
    for (const block of bytes.toString().split(/\r?\n\r?\n/)) {
      const lines = block.split(/\r?\n/)
      const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart())
      const name =
        lines
          .find((line) => line.startsWith('event:'))
          ?.slice(6)
          .trim() ?? ''
      if (data.length > 0 && !tell(name, data.join('\n'))) return
    }
  } else {
    framer.push(bytes)
    for (let event = framer.next() ?? framer.rest(); event !== null; event = framer.next() ?? framer.rest())
      if (!tell(event.name, event.data)) return
  }
  if (!decoder.close()) throw new Error(`the stream has no proper end: ${bytes.toString().slice(-300)}`)
}

/** Models of today that a dialect is made for: what they take, not what they say. */
export const MODELS: Readonly<Partial<Record<Dialect, string>>> = {
  'anthropic.messages': 'claude-opus-4-5',
  'gemini.generate': 'gemini-2.5-flash',
  'ollama.chat': 'gpt-oss:20b',
  'bedrock.converse': 'anthropic.claude-opus-4-5-20251101-v1:0',
}

/** One text, and settings: all that a legacy completion can say. */
function completionOf(request: ChatRequest, model: string, stream: boolean): JsonObject {
  const chat = wireOf('openai.chat').request({ ...request, stream }, { model, type: '', maxOutputTokens: 0 })
  const { messages: _, ...settings } = chat
  const prompt = request.messages[0]!.parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
  return { ...settings, model, prompt }
}

/** A conversation as a client of a dialect writes it. */
export function bodyIn(dialect: Dialect, request: ChatRequest, model: string, stream: boolean): JsonObject {
  if (dialect === COMPLETIONS) return completionOf(request, model, stream)
  const made = { model: MODELS[dialect] ?? model, type: '', maxOutputTokens: 0 }
  const body = wireOf(dialect).request({ ...request, stream }, made)
  return 'model' in body ? { ...body, model } : body
}
