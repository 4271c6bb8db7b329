import type { Credential } from '../contracts/credentials.ts'
import type { AttemptFailure } from '../routing/failure.ts'
import type { AttemptPlan } from './attempt.ts'
import { ANOTHER, ONLY_THIS } from '../contracts/credentials.ts'
import { credentialScope } from './attempt-secrets.ts'

/** A key of several rests this long when the provider gives no time with its 429. */
const BUSY_KEY_MS = 1000

/**
 * Who rests because of a failure: the credential, and the target only when no other credential can take its place.
 * status: of the backend's answer. now: Clock.monotonic, ms.
 */
export function restAfter(
  failure: AttemptFailure,
  { target, model, rules }: Pick<AttemptPlan, 'target' | 'model' | 'rules'>,
  credential: Credential | null,
  status: number,
  now: number,
): AttemptFailure {
  const dead = failure.kind === 'dead'
  const { health, name } = target
  const { retries, breaker } = rules
  const pause = dead ? breaker.deadKeyMs : Math.min(failure.retryAfterMs ?? BUSY_KEY_MS, retries.maxRetryAfterMs)
  let until = now + pause
  // A backend that is overloaded (503 with a hint) is so whoever asks.
  if (credential !== null && (dead || failure.error.code === 'upstream_rate_limited')) {
    const scope = credentialScope(target, model)
    until = dead ? credential.dead(until, now, status === 403 ? scope : '') : credential.busy(until, now, scope)
  }
  if (until === ANOTHER) return { ...failure, kind: 'busy', retryAfterMs: 0 }
  // A target for any model of a provider: what was refused for one model says nothing of the others, and a client that
  // names a model it may not use must not take them out for everybody. A wrong key (401) is wrong for all.
  const forOneModel = name.includes('*') && (!dead || status === 403)
  if (until === ONLY_THIS || forOneModel) return failure
  if (dead) health.dead(until)
  else if (failure.retryAfterMs !== undefined) health.busy(until)
  return failure
}
