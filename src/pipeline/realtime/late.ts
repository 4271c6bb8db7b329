import type { Usage } from '../../contracts/usage.ts'
import type { Attempt } from '../attempt.ts'
import type { Exchange } from '../exchange.ts'
import { GatewayError } from '../../core/errors.ts'

/** A session says which model it is of when it is open already; null = the caller may use it. */
export function nameModel(x: Exchange, attempt: Attempt, model: string): GatewayError | null {
  x.formModel = model
  attempt.model = x.answeredModel = model
  const denial = x.principal.access.request(x)
  return denial === null
    ? null
    : new GatewayError('permission_denied', 'This caller may not use this model.', {
        detail: `${denial.rule}: ${denial.reason}`,
      })
}

/** A session goes on: takes what it has used so far. False = a limit that stops streams has no more. */
export function keepUsage({ account, snapshot }: Exchange, attempt: Attempt, usage: Usage): boolean {
  if (account.lease === null && !attempt.limited) return true
  const { inputTokens, outputTokens } = usage
  const { nanoUsd } = snapshot.policies.pricing.charge(attempt.target, attempt.model, usage, false)
  // Both are told, whatever the first says: what is used is used. Calls before this one did not open a session.
  const here = attempt.extendPermit({ inputTokens, outputTokens, nanoUsd })
  const all = account.lease?.extend({ inputTokens, outputTokens, nanoUsd }) ?? true
  return here && all
}
