import type { Target } from '../contracts/routing.ts'
import type { AnswerReader, ReadAnswer } from './answer-reader.ts'
import type { Exchange } from './exchange.ts'
import type { PreparedCall } from './upstream-request.ts'
import { GatewayError } from '../core/errors.ts'
import { rerankAnswer, rerankCall, type RerankAsked } from '../protocol/rerank.ts'
import { usageHints } from '../protocol/usage.ts'

/** By whose API a target ranks: whoever talks as Cohere does ranks as it does. */
const apiOf = ({ provider: { config } }: Target): string => (config.wire === 'cohere.chat' ? 'cohere' : config.type)

/** The call in the words of the target's API. Throws GatewayError for what it cannot say. */
export function prepareRerank(x: Exchange, target: Target, model: string): PreparedCall {
  const { basePath: base } = target.provider
  const { path, body, dropped } = rerankCall(x.ranking!, { type: apiOf(target), base, model })
  if (dropped.length > 0 && x.match!.route.unsupported === 'refuse')
    throw new GatewayError('unsupported_parameter', 'The backend of this model does not know this parameter.', {
      param: dropped[0]!,
    })
  return { wire: null, path, full: true, body: Buffer.from(JSON.stringify(body)), includeUsage: false, dropped }
}

/** Tells what a backend of a type has ranked in the words of the client. */
export class RerankReader implements AnswerReader {
  readonly #asked: RerankAsked
  readonly #type: string

  constructor(x: Exchange, target: Target) {
    const version = x.received.path.startsWith('/v2/') ? 'v2' : 'v1'
    this.#asked = { version, id: x.id, model: x.model, request: x.ranking! }
    this.#type = apiOf(target)
  }

  read(body: Buffer): ReadAnswer {
    let sent: unknown
    try {
      sent = JSON.parse(body.toString())
    } catch {
      return { verdict: 'invalid', usage: null, body }
    }
    const answer = rerankAnswer(sent, this.#asked, this.#type, usageHints(this.#type))
    if (typeof answer === 'string') return { verdict: answer, usage: null, body }
    return { verdict: 'ok', usage: answer.usage, body: Buffer.from(answer.body) }
  }
}
