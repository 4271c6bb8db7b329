import type { ChatRequest, Json, Message, Part } from '../../contracts/canonical.ts'
import type { PromptConfig } from '../../contracts/config-mapping.ts'
import type { EmbedRequest, Feature } from '../../contracts/dialect.ts'
import { renderPrompt, textOfParts } from './prompt.ts'

/** What templates are filled from; undefined = the request does not have it. */
export interface Variables {
  get(name: string): Json | undefined
}

interface VariableRow {
  readonly of: (request: ChatRequest, prompt: PromptConfig) => Json | undefined
  /** Features that a request uses it for: carried where a template names it. */
  readonly carries: readonly Feature[]
  /** For the reference. */
  readonly title: string
}

const wordsOf = (role: (message: Message) => boolean, { messages }: ChatRequest): readonly string[] =>
  messages.filter(role).map(({ parts }) => textOfParts(parts))

const isSystem = ({ role }: Message): boolean => role === 'system' || role === 'developer'

const plainPart = (part: Part): boolean => part.type === 'text' || part.type === 'refusal'

/** As the chat API has them, texts only. */
const plainMessages = ({ messages }: ChatRequest): Json =>
  messages
    .map(({ role, parts }) => ({ role, content: textOfParts(parts), plain: parts.every(plainPart) }))
    .filter(({ content, plain }) => content !== '' || plain)
    .map(({ role, content }) => ({ role, content }))

/** What of a conversation a template can name. */
const CHAT: Readonly<Record<string, VariableRow>> = {
  prompt: {
    of: renderPrompt,
    carries: ['system', 'system_inside', 'prefill'],
    title: 'The conversation as one text, by `prompt`.',
  },
  system: {
    of: (request) => wordsOf(isSystem, request).join('\n\n') || undefined,
    carries: ['system', 'system_inside'],
    title: 'Instructions.',
  },
  user: {
    of: (request) => wordsOf(({ role }) => role === 'user', request).at(-1),
    carries: [],
    title: 'What the user said last.',
  },
  messages: {
    of: plainMessages,
    carries: ['system', 'system_inside', 'prefill'],
    title: 'The conversation as a list of `{role, content}`.',
  },
  model: { of: ({ model }) => model, carries: [], title: 'The model, as the target names it.' },
  max_tokens: { of: (r) => r.maxTokens, carries: ['max_tokens'], title: 'Longest answer, tokens.' },
  temperature: { of: (r) => r.temperature, carries: ['temperature'], title: 'Temperature.' },
  top_p: { of: (r) => r.topP, carries: ['top_p'], title: 'Nucleus sampling.' },
  top_k: { of: (r) => r.topK, carries: ['top_k'], title: 'Top-k sampling.' },
  min_p: { of: (r) => r.minP, carries: ['min_p'], title: 'Min-p sampling.' },
  frequency_penalty: { of: (r) => r.frequencyPenalty, carries: ['frequency_penalty'], title: 'Frequency penalty.' },
  presence_penalty: { of: (r) => r.presencePenalty, carries: ['presence_penalty'], title: 'Presence penalty.' },
  repetition_penalty: {
    of: (r) => r.repetitionPenalty,
    carries: ['repetition_penalty'],
    title: 'Repetition penalty.',
  },
  seed: { of: (r) => r.seed, carries: ['seed'], title: 'Seed.' },
  stop: {
    of: (r) => (r.stop === undefined || r.stop.length === 0 ? undefined : [...r.stop]),
    carries: [],
    title: 'Stop sequences, a list. Heddle cuts at them all the same.',
  },
  stream: { of: ({ stream }) => stream, carries: [], title: 'Whether the client wants a stream.' },
}

/** Of requests for vectors. */
export const EMBED_VARIABLES: Readonly<Record<string, string>> = {
  input: 'The text; of several each in its turn, as a batch.',
  inputs: 'All texts, a list.',
  dimensions: 'Wanted length of the vectors.',
  purpose: 'What the vectors are for.',
  model: 'The model, as the target names it.',
}

/** All that templates of a provider can name. */
export const VARIABLE_NAMES: readonly string[] = [...new Set([...Object.keys(CHAT), ...Object.keys(EMBED_VARIABLES)])]

export const featuresOfVariable = (name: string): readonly Feature[] =>
  Object.hasOwn(CHAT, name) ? CHAT[name]!.carries : []

/** Of a conversation. */
export class ChatVariables implements Variables {
  readonly #request: ChatRequest
  readonly #prompt: PromptConfig
  readonly #model: string

  /** model: as the target names it. */
  constructor(request: ChatRequest, prompt: PromptConfig, model: string) {
    this.#request = request
    this.#prompt = prompt
    this.#model = model
  }

  get(name: string): Json | undefined {
    if (name === 'model') return this.#model
    return Object.hasOwn(CHAT, name) ? CHAT[name]!.of(this.#request, this.#prompt) : undefined
  }
}

/** Of texts that are to become vectors; at: which of them `input` stands for. */
export class EmbedVariables implements Variables {
  readonly #request: EmbedRequest
  readonly #model: string
  at = 0

  constructor(request: EmbedRequest, model: string) {
    this.#request = request
    this.#model = model
  }

  get(name: string): Json | undefined {
    const { texts, dimensions, purpose } = this.#request
    switch (name) {
      case 'input':
        return texts[this.at]
      // What works for a question works for a text: one mapping serves both.
      case 'prompt':
      case 'user':
        return texts[this.at]
      case 'inputs':
        return [...texts]
      case 'dimensions':
        return dimensions
      case 'purpose':
        return purpose
      case 'model':
        return this.#model
      default:
        return undefined
    }
  }
}

/** By name, of a JSON object that has been read. */
export class NamedVariables implements Variables {
  readonly #values: ReadonlyMap<string, Json>

  constructor(values: ReadonlyMap<string, Json>) {
    this.#values = values
  }

  get(name: string): Json | undefined {
    return this.#values.get(name) ?? undefined
  }
}
