import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { MappedDialect, MappingConfig } from '../../contracts/config-mapping.ts'
import type { AnswerSink, Asked, EmbedWire, StreamDecoder, Wire } from '../../contracts/dialect.ts'
import { GatewayError } from '../../core/errors.ts'
import { isObject } from '../canonical/read.ts'
import { Teller } from '../canonical/telling.ts'
import { toldOf, usageOf, vectorsOf, type Lookup, type Told } from './outputs.ts'
import { carriesOf, Plan } from './plan.ts'
import { renderPrompt } from './prompt.ts'
import { askedOf, Trimmer, UNTRIMMED } from './trim.ts'
import { ChatVariables, EmbedVariables, VARIABLE_NAMES, type Variables } from './variables.ts'

/** What one model server speaks; all else is the mapping's. Stateless. */
export interface ServerCodec {
  readonly dialect: MappedDialect
  /** Below the provider's base path. */
  path(mapping: MappingConfig, model: string, stream: boolean): string
  /** count: of texts, 1 for a conversation. Throws GatewayError. */
  body(plan: Plan, variables: Variables, count: number): JsonObject
  /** Null = that is no answer of such a server. */
  lookup(answer: Json): Lookup | null
  /** Answers that are no JSON object are read, too. */
  readonly anyBody?: boolean
  /** Events of a stream, where the server has such: each is read as an answer. */
  readonly streams?: 'sse'
}

const missing = (what: string, output: string): GatewayError =>
  new GatewayError('unsupported_parameter', `The backend of this model gives no ${what}.`, {
    param: 'model',
    detail: `mapping.outputs.${output} is not set`,
  })

/** Servers tell an error in the place of an answer as `{"error": ...}`. */
const saysError = (body: Json): boolean =>
  isObject(body) && body['error'] !== undefined && body['error'] !== null && body['error'] !== ''

/** Tells a whole answer. */
export function tellWhole(told: Told, asked: Asked, sink: AnswerSink): void {
  const teller = new Teller(sink)
  const choice = teller.choice(0)!
  const trimmer = new Trimmer(asked)
  teller.start('', '')
  const text = trimmer.push(told.text) + trimmer.end()
  if (text !== '') sink.text(0, text)
  choice.reason = trimmer.sequence === '' ? told.reason : 'stop_sequence'
  choice.sequence = trimmer.sequence
  teller.used(told.usage)
  teller.complete()
}

/** The wire of one provider: what its server speaks, by its mapping. documented: of some mapping or other, for the reference. */
export function mappedWire(codec: ServerCodec, mapping: MappingConfig, documented = false): Wire {
  const plan = new Plan(mapping)
  const streams = codec.streams !== undefined && mapping.stream !== 'none'
  const answer = (body: JsonObject, sink: AnswerSink, asked: Asked = UNTRIMMED): 'ok' | 'error' | 'invalid' => {
    if (saysError(body)) return 'error'
    const lookup = codec.lookup(codec.anyBody === true && 'body' in body ? body['body']! : body)
    const told = lookup === null ? null : toldOf(mapping, lookup)
    if (told === null) return 'invalid'
    tellWhole(told, asked, sink)
    return 'ok'
  }
  return {
    dialect: codec.dialect,
    framing: 'sse',
    streams,
    path: (model, stream) => codec.path(mapping, model, stream && streams),
    headers: [],
    carries: documented ? carriesOf(new Set(VARIABLE_NAMES), true) : carriesOf(plan.variables),
    ...(codec.anyBody === true ? { anyBody: true } : {}),
    request(request, { model }) {
      if (mapping.outputs.text === null) throw missing('texts', 'text')
      return codec.body(plan, new ChatVariables(request, mapping.prompt, model), 1)
    },
    asked: (request) => askedOf(request, mapping.echoesPrompt ? renderPrompt(request, mapping.prompt) : ''),
    answer,
    stream: (sink, asked = UNTRIMMED) => new PieceDecoder(codec, mapping, sink, asked),
    embed: embedWire(codec, mapping, plan),
  }
}

function embedWire(codec: ServerCodec, mapping: MappingConfig, plan: Plan): EmbedWire {
  return {
    path: (model) => codec.path(mapping, model, false),
    dimensions: plan.variables.has('dimensions'),
    ...(codec.anyBody === true ? { anyBody: true } : {}),
    request(request, { model }) {
      const { length } = request.texts
      if (mapping.outputs.embedding === null) throw missing('vectors', 'embedding')
      if (length > mapping.maxBatch)
        throw new GatewayError('invalid_request', `This model takes at most ${mapping.maxBatch} texts at once.`, {
          param: 'input',
        })
      return codec.body(plan, new EmbedVariables(request, model), length)
    },
    answer(body, count) {
      if (saysError(body)) return 'error'
      const lookup = codec.lookup(codec.anyBody === true && 'body' in body ? body['body']! : body)
      const vectors = lookup === null ? null : vectorsOf(mapping, lookup, count)
      return vectors === null ? 'invalid' : { vectors, usage: usageOf(mapping, lookup!) }
    },
  }
}

/** A stream whose events are answers of their own: pieces of the text, or all of it so far. */
class PieceDecoder implements StreamDecoder {
  readonly #codec: ServerCodec
  readonly #mapping: MappingConfig
  readonly #teller: Teller
  readonly #trimmer: Trimmer
  /** Length of the text so far, where events repeat it. */
  #seen = 0
  #ended = false
  fault: Json = null

  constructor(codec: ServerCodec, mapping: MappingConfig, sink: AnswerSink, asked: Asked) {
    this.#codec = codec
    this.#mapping = mapping
    this.#teller = new Teller(sink)
    this.#trimmer = new Trimmer(asked)
  }

  event(_name: string, data: string): 'go' | 'end' | 'error' {
    if (this.#ended || data === '[DONE]') return this.#finish()
    const body = JSON.parse(data) as Json
    if (saysError(body)) {
      this.fault = body
      return 'error'
    }
    const lookup = this.#codec.lookup(body)
    const told = lookup === null ? null : toldOf(this.#mapping, lookup)
    if (told === null) throw new SyntaxError('The event has no text where the mapping expects it.')
    this.#teller.start('', '')
    this.#say(told)
    return this.#trimmer.sequence === '' ? 'go' : this.#finish()
  }

  #say({ text, reason, usage }: Told): void {
    const whole = this.#mapping.stream === 'whole'
    const piece = whole ? text.slice(this.#seen) : text
    if (whole) this.#seen = Math.max(this.#seen, text.length)
    const told = this.#trimmer.push(piece)
    if (told !== '') this.#teller.sink.text(0, told)
    this.#teller.choice(0)!.reason = reason
    this.#teller.used(usage)
  }

  #finish(): 'end' {
    if (this.#ended) return 'end'
    this.#ended = true
    const rest = this.#trimmer.end()
    if (rest !== '') this.#teller.sink.text(0, rest)
    const choice = this.#teller.choice(0)!
    if (this.#trimmer.sequence !== '') {
      choice.reason = 'stop_sequence'
      choice.sequence = this.#trimmer.sequence
    }
    this.#teller.complete()
    return 'end'
  }

  /** The end of the answer is the end of the stream: no event says so. */
  close(): boolean {
    if (!this.#teller.started) return false
    this.#finish()
    return true
  }
}
