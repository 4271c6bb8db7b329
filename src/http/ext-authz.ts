import type { PolicyServiceConfig } from '../contracts/config-policy.ts'
import type { HeaderList } from '../contracts/http.ts'
import type { Target } from '../contracts/routing.ts'
import type { DecisionDoor } from '../pipeline/door.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Leases } from '../pipeline/leases.ts'
import { GatewayError } from '../core/errors.ts'
import { decisionOf, TICKET_HEADER } from '../pipeline/decision.ts'
import { errorJson } from '../protocol/openai/errors.ts'
import { NodeReply } from './node-reply.ts'

/** Below it proxies ask by plain HTTP whether a request may go on, and name its own path behind it (Envoy `path_prefix`). */
const PREFIX = '/ext-authz/'

export const isAuthzQuestion = (url: string | undefined): boolean => url !== undefined && url.startsWith(PREFIX)

/** The path that the question is about. */
export const askedUrl = (url: string): string => url.slice(PREFIX.length - 1)

/** What answers need where questions are taken. */
export interface AuthzParts {
  readonly leases: Leases
  limits(): PolicyServiceConfig['authz']['limits']
}

/** Answers with 200 only where the request may go on: to a proxy every 200 says so. */
export class AuthzReply extends NodeReply implements DecisionDoor {
  readonly name = 'authz'
  readonly counts: boolean
  readonly #parts: AuthzParts
  #allowed = false

  constructor(given: ConstructorParameters<typeof NodeReply>, parts: AuthzParts) {
    super(...given)
    this.#parts = parts
    this.counts = parts.limits() !== 'off'
  }

  readonly decide = (x: Exchange, target: Target, model: string): void => {
    const { leases } = this.#parts
    const { request, remove, response, metadata } = decisionOf(x, target, model, this.#parts.limits(), leases)
    const headers: HeaderList = [...request, ...response]
    const { ticket } = metadata
    if (typeof ticket === 'string') headers.push(TICKET_HEADER, ticket)
    // Envoy takes headers off after it has set some: the ticket of this check must stay.
    const gone = typeof ticket === 'string' ? remove.filter((name) => name !== TICKET_HEADER) : remove
    if (gone.length > 0) headers.push('x-envoy-auth-headers-to-remove', gone.join(', '))
    this.#allowed = true
    super.send(200, unique(headers), '')
  }

  override send(status: number, headers: HeaderList, body: Buffer | string): void {
    if (status >= 300 || this.#allowed) {
      super.send(status, headers, body)
      return
    }
    // Heddle's own answer, such as the list of models, which this way of asking has no place for.
    const error = new GatewayError(
      'not_found',
      'This is answered by Heddle itself, and not through the proxy in front.',
    )
    super.send(error.status, ['content-type', 'application/json'], errorJson(error, ''))
  }
}

/** The first of each name: two of one would be two values. */
function unique(headers: HeaderList): HeaderList {
  const seen = new Set<string>()
  const list: HeaderList = []
  for (let i = 0; i < headers.length; i += 2) {
    if (seen.has(headers[i]!)) continue
    seen.add(headers[i]!)
    list.push(headers[i]!, headers[i + 1]!)
  }
  return list
}
