import type { ChatRequest, JsonObject } from '../contracts/canonical.ts'
import type { Operation } from '../contracts/config.ts'
import type { AnswerContext, Asked, ClientDialect, Feature, Keeps, Wire, WireTarget } from '../contracts/dialect.ts'
import type { Provider, Target } from '../contracts/routing.ts'
import type { RequestFields } from '../protocol/openai/request.ts'
import { GatewayError } from '../core/errors.ts'
import { FEATURES, featuresIn } from '../protocol/canonical/features.ts'
import { missingFor, negotiate } from '../protocol/canonical/negotiate.ts'
import { clientDialect } from '../protocol/client-dialects.ts'
import { OPERATIONS } from '../protocol/operations.ts'
import { asksForUsage } from '../protocol/openai/request.ts'
import { wireOf } from '../protocol/wires.ts'

/** What a client of an operation speaks; null = nothing that could be translated. */
export const clientOf = (operation: Operation): ClientDialect | null => {
  const { dialect } = OPERATIONS[operation]
  return dialect === null ? null : clientDialect(dialect)
}

/** The wire that a request of this operation is translated to at a provider; null = the provider speaks it itself. */
export function wireFor({ config }: Provider, operation: Operation): Wire | null {
  if (config.wire === null || config.operations.includes(operation)) return null
  const translated = operation === 'embeddings' || OPERATIONS[operation].dialect !== null
  return translated ? wireOf(config.wire, config.type, config.mapping) : null
}

/** What a wire is told of a call. */
export const wireTarget = (target: Target, model: string): WireTarget => ({
  model,
  type: target.provider.config.type,
  maxOutputTokens: target.capabilities.maxOutputTokens ?? 0,
})

/** One request in no vendor's words, for a target that speaks another dialect than its client. */
export interface Translated {
  readonly wire: Wire
  readonly body: Buffer
  /** Parameters that were left behind. */
  readonly dropped: readonly string[]
  /** What the answer is read with. */
  readonly asked: Asked | undefined
}

/** Of the client's request answers repeat settings, never what was said: an open stream must not hold its prompt. */
const SPOKEN = ['messages', 'input', 'contents', 'prompt', 'system', 'systemInstruction', 'system_instruction'] as const

/** What is kept here the backend need not keep as well. */
const keptHere = ({ store: _store, ...request }: ChatRequest): ChatRequest => request

/** As if the wire could not carry proofs of reasoning. */
const proofless = (wire: Wire): Wire =>
  ({
    dialect: wire.dialect,
    carries: { ...wire.carries, reasoning_proof: 'no' },
  }) as Wire

/** Read once a request, however many targets are tried. */
export class Translation {
  readonly client: ClientDialect
  readonly context: AnswerContext
  readonly #features: ReadonlySet<Feature>
  #request: ChatRequest | null

  /** created: epoch seconds. keeps: null = nobody keeps the answer. timer: since when it takes. Throws GatewayError when the client's request cannot be read. */
  constructor(
    client: ClientDialect,
    fields: RequestFields,
    requestId: string,
    created: number,
    keeps: Keeps | null = null,
    timer?: AnswerContext['timer'],
  ) {
    this.client = client
    const sent = fields.json as JsonObject
    this.#request = client.request(sent, fields.model, fields.stream)
    if (keeps !== null) this.#request = keptHere(this.#request)
    this.#features = featuresIn(this.#request)
    this.context = {
      requestId,
      ...(keeps === null ? {} : { keeps }),
      ...(timer === undefined ? {} : { timer }),
      model: fields.model,
      created,
      includeUsage: OPERATIONS[client.operation].dialect?.startsWith('openai.') !== true || asksForUsage(fields),
      request: { ...this.#request, messages: [] },
      sent: Object.fromEntries(Object.entries(sent).filter(([key]) => !(SPOKEN as readonly string[]).includes(key))),
    }
  }

  /** The parameter that keeps the request from a wire; null = nothing does. */
  uncarried(wire: Wire, unsupported: 'refuse' | 'drop'): string | null {
    const missing = missingFor(this.#features, wire, unsupported)
    return missing === null ? null : FEATURES[missing].param
  }

  /** stripped: without proofs of reasoning. Throws GatewayError `unsupported_parameter` when the target's wire cannot carry what is asked and the route does not drop it. */
  to(wire: Wire, target: Target, model: string, unsupported: 'refuse' | 'drop', stripped = false): Translated {
    if (this.#request === null) throw new GatewayError('internal', 'the request has been released')
    const { request, dropped } = negotiate(
      this.#request,
      this.#features,
      stripped ? proofless(wire) : wire,
      unsupported,
    )
    const body = wire.request(request, wireTarget(target, model))
    return { wire, body: Buffer.from(JSON.stringify(body)), dropped, asked: wire.asked?.(request) }
  }

  /** No attempt will need it again. */
  release(): void {
    this.#request = null
  }
}
