import type { Plan, RouteMatch } from '../contracts/routing.ts'
import type { Exchange } from './exchange.ts'

const MAX_BYTES = 4000

/** Reasons that end with what the operator has written: a rule of the caller's, a condition. */
const QUOTING = ['not allowed', 'condition is false']

/** Callers learn that a rule kept them off, operators which: theirs is the log and `heddle explain`. */
const withoutRule = (reason: string): string => QUOTING.find((text) => reason.startsWith(`${text}: `)) ?? reason

/** The decisions about a live request as one line of ASCII JSON, for `x-heddle-explain`. Holds no content, no secret, and nothing of the rules that callers are not told. */
export function explainHeader(x: Exchange, match: RouteMatch, plan: Plan): string {
  const text = JSON.stringify({
    request_id: x.id,
    ...(x.principal.keyId === '' ? {} : { key: x.principal.keyId, tenant: x.principal.tenant }),
    route: match.route.name,
    origin: match.route.origin,
    strategy: match.route.strategy,
    note: x.planNote,
    order: plan.order.map((t) => t.name),
    skipped: plan.skipped.map((s) => ({ target: s.target.name, reason: withoutRule(s.reason) })),
    ...(x.passedOver === null ? {} : { passed_over: x.passedOver.map(({ target }) => target) }),
    attempts: x.attempts.map((a) => ({
      target: a.target,
      model: a.model,
      ...(a.endpoint === '' ? {} : { endpoint: a.endpoint }),
      ...(a.endpointNote === '' ? {} : { why: a.endpointNote }),
      result: a.result,
      status: a.status,
      ms: Math.round(a.ms * 10) / 10,
      ...(a.hedge ? { hedge: true } : {}),
    })),
    config: x.snapshot.config.hash,
  })
  const ascii = text.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return ascii.length <= MAX_BYTES
    ? ascii
    : JSON.stringify({ request_id: x.id, route: match.route.name, truncated: true })
}
