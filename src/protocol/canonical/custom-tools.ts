import type {
  ChatRequest,
  Citation,
  FinishReason,
  Json,
  JsonObject,
  Opaque,
  Part,
  Tool,
} from '../../contracts/canonical.ts'
import type { AnswerSink, Wire } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'
import { isObject } from './read.ts'

/**
 * Tools that take free text (openai-openapi `CustomTool`), for backends that only know arguments in JSON: there they are
 * functions with the text as their one argument, and the calls become what they were before the client sees them.
 */

const FIELD = 'input'

const isFolded = (wire: Pick<Wire, 'carries'>): boolean => typeof wire.carries.tool_custom === 'object'

/** The request as a wire can carry it that has no tools for free text. */
export const foldCustom = (request: ChatRequest, wire: Pick<Wire, 'carries'>): ChatRequest =>
  !isFolded(wire)
    ? request
    : {
        ...request,
        ...(request.tools === undefined ? {} : { tools: request.tools.map(foldTool) }),
        messages: request.messages.map((message) =>
          message.parts.some(isCustomCall) ? { ...message, parts: message.parts.map(foldCall) } : message,
        ),
      }

function foldTool({ custom, ...tool }: Tool): Tool {
  if (custom === undefined) return tool
  const described: JsonObject = { type: 'string', description: wanted(custom) }
  return {
    ...tool,
    schema: { type: 'object', properties: { [FIELD]: described }, required: [FIELD], additionalProperties: false },
  }
}

/** The grammar stands in a request as `{type: grammar, syntax, definition}`, or below `grammar`. */
function wanted(custom: JsonObject): string {
  const format = isObject(custom['format']) ? custom['format'] : custom
  const grammar = isObject(format['grammar']) ? format['grammar'] : format
  const { syntax, definition } = grammar
  return typeof definition === 'string'
    ? `The text. It must follow this ${typeof syntax === 'string' ? syntax : 'formal'} grammar:\n${definition}`
    : 'The text.'
}

const isCustomCall = (part: Part): boolean => part.type === 'tool_call' && part.custom === true

function foldCall(part: Part): Part {
  if (part.type !== 'tool_call' || part.custom !== true) return part
  const { custom: _custom, ...call } = part
  return { ...call, arguments: JSON.stringify({ [FIELD]: call.arguments }) }
}

/** Where the answer of such a request is told; `to` itself when nothing was folded. */
export function unfoldCustom(to: AnswerSink, wire: Pick<Wire, 'carries'>, { tools }: ChatRequest): AnswerSink {
  if (!isFolded(wire) || tools === undefined) return to
  const names = new Set(tools.filter(({ custom }) => custom !== undefined).map(({ name }) => name))
  return names.size === 0 ? to : new Unfolding(to, names)
}

/** Arguments of a folded call are held until they are whole: a text cannot be told from a part of its JSON. */
class Unfolding implements AnswerSink {
  readonly #to: AnswerSink
  readonly #names: ReadonlySet<string>
  readonly #held = new Map<string, { readonly choice: number; readonly index: number; json: string }>()

  constructor(to: AnswerSink, names: ReadonlySet<string>) {
    this.#to = to
    this.#names = names
  }

  /** last: nothing of them will come any more; else calls of which more may come stay. */
  #release(choice: number, last: boolean): void {
    for (const [key, call] of this.#held) {
      if (call.choice !== choice) continue
      const text = textIn(call.json)
      if (text === null && !last) continue
      this.#held.delete(key)
      // What was cut off, or is another object than was asked for, is handed on as the model wrote it.
      if ((text ?? call.json) !== '') this.#to.toolArguments(choice, call.index, text ?? call.json)
    }
  }

  start(id: string, model: string): void {
    this.#to.start(id, model)
  }
  text(choice: number, text: string): void {
    this.#to.text(choice, text)
  }
  reasoning(choice: number, text: string): void {
    this.#to.reasoning(choice, text)
  }
  signature(choice: number, signature: Opaque, id: string): void {
    this.#to.signature(choice, signature, id)
  }
  redacted(choice: number, data: Opaque): void {
    this.#to.redacted(choice, data)
  }
  toolCall(choice: number, index: number, id: string, name: string, custom: boolean): void {
    if (this.#held.size > 0) this.#release(choice, false)
    const folded = this.#names.has(name)
    if (folded) this.#held.set(`${choice}/${index}`, { choice, index, json: '' })
    this.#to.toolCall(choice, index, id, name, custom || folded)
  }
  toolArguments(choice: number, index: number, piece: string): void {
    const held = this.#held.get(`${choice}/${index}`)
    if (held === undefined) this.#to.toolArguments(choice, index, piece)
    else held.json += piece
  }
  toolSignature(choice: number, index: number, signature: Opaque): void {
    this.#to.toolSignature(choice, index, signature)
  }
  refusal(choice: number, text: string): void {
    this.#to.refusal(choice, text)
  }
  citation(choice: number, citation: Citation): void {
    this.#to.citation(choice, citation)
  }
  logprobs(choice: number, entries: readonly Json[]): void {
    this.#to.logprobs(choice, entries)
  }
  finish(choice: number, reason: FinishReason, sequence: string): void {
    this.#release(choice, true)
    this.#to.finish(choice, reason, sequence)
  }
  usage(usage: Usage): void {
    this.#to.usage(usage)
  }
  end(): void {
    for (const { choice } of this.#held.values()) this.#release(choice, true)
    this.#to.end()
  }
}

/** null = not all of it is there, or it is something else. */
function textIn(json: string): string | null {
  try {
    const value = JSON.parse(json) as Json
    const text = isObject(value) ? value[FIELD] : undefined
    return typeof text === 'string' ? text : null
  } catch {
    return null
  }
}
