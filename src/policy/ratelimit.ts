import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { LRUCache } from 'lru-cache'
import type { Lease } from '../contracts/admission.ts'
import type { HeaderList } from '../contracts/http.ts'
import type { Principal } from '../contracts/identity.ts'
import type { RequestFacts } from '../contracts/routing.ts'
import type { Leases, Pending, Told } from '../pipeline/leases.ts'
import type { UnaryHandler } from '../protocol/grpc/calls.ts'
import type { PolicyParts } from './parts.ts'
import { ANONYMOUS } from '../auth/anonymous.ts'
import { GatewayError } from '../core/errors.ts'
import { requestId } from '../core/ids.ts'
import { namedIdentity, spiffeIdentity } from '../mesh/identity/spiffe.ts'
import { NO_NEEDS } from '../protocol/facts.ts'
import { errorHeaders, errorJson } from '../protocol/openai/errors.ts'
import {
  RateLimitResponse_Code as Code,
  RateLimitResponseSchema,
  type RateLimitDescriptor,
  type RateLimitRequest,
  type RateLimitResponse,
} from '../protocol/grpc/gen/ratelimit_pb.ts'
import { GRPC } from '../protocol/grpc/status.ts'
import { findHeader } from './headers.ts'

/** Descriptors of other domains are somebody else's limits: they pass. */
export const DOMAIN = 'heddle'

/** Keys of descriptor entries that mean something here. */
export const TICKET = 'heddle-ticket'
export const PHASE = 'heddle-phase'
export const USAGE = 'heddle-usage'
const NAMES = ['tenant', 'team', 'user', 'key', 'model', 'principal'] as const
type Entries = Partial<Record<string, string>>

/** Callers that descriptors name: as many as are seen in a while. */
const MAX_PRINCIPALS = 10_000
const UNSIGNED = /^\d{1,15}$/

export interface RateLimitParts extends PolicyParts {
  readonly leases: Leases
}

type Answer = MessageInitShape<typeof RateLimitResponseSchema>

/**
 * The rate limit service (envoy.service.ratelimit.v3). A check takes what the call is expected to use, and gives a
 * ticket; the call at its end (`heddle-phase: done`) replaces it by what was used. A ticket of external authorization is
 * settled in the same way.
 */
export function rateLimitHandler(parts: RateLimitParts): UnaryHandler<RateLimitRequest, RateLimitResponse> {
  const service = new RateLimits(parts)
  return (call, request) => {
    const { services, gate } = parts
    const startedAt = services.clock.monotonic()
    const closed = gate.refusal()
    if (closed !== null) {
      call.fail(GRPC.UNAVAILABLE, closed.message)
      return
    }
    parts.inflight(1)
    const done = (response: Answer, decision: string): void => {
      parts.inflight(-1)
      parts.decided('ratelimit', decision, services.clock.monotonic() - startedAt)
      call.answer(create(RateLimitResponseSchema, response))
    }
    try {
      service.answer(request, done)
    } catch (error) {
      parts.inflight(-1)
      call.fail(GRPC.INTERNAL, 'the limits could not be asked')
      services.log('error', { err: String(error) }, 'rate limit service failed')
    }
  }
}

type Done = (response: Answer, decision: string) => void

class RateLimits {
  readonly #parts: RateLimitParts
  /** The same object for the same caller: what limits have worked out for it hangs on it. */
  readonly #principals = new LRUCache<string, Principal>({ max: MAX_PRINCIPALS })

  constructor(parts: RateLimitParts) {
    this.#parts = parts
  }

  answer({ domain, descriptors, hitsAddend }: RateLimitRequest, done: Done): void {
    if (domain !== DOMAIN || descriptors.length === 0) {
      done({ overallCode: Code.OK, statuses: descriptors.map(() => ({ code: Code.OK })) }, 'passed')
      return
    }
    // The first that is about us decides; each of the others would count the same call again.
    const [descriptor] = descriptors
    const entries = entriesOf(descriptor!)
    const hits = descriptor!.hitsAddend === undefined ? hitsAddend : Number(descriptor!.hitsAddend)
    const statuses = descriptors.map(() => ({ code: Code.OK }))
    if (entries[PHASE] === 'done') {
      this.#settle(entries, hits)
      done({ overallCode: Code.OK, statuses }, 'settled')
      return
    }
    const ticket = entries[TICKET]
    if (ticket !== undefined) {
      const pending = this.#parts.leases.holds(ticket)
      done(okAnswer(pending?.lease ?? null, statuses, null), 'allowed')
      return
    }
    this.#check(entries, hits, statuses, done)
  }

  #settle(entries: Entries, hits: number): void {
    const ticket = entries[TICKET]
    const told = toldBy(entries[USAGE], hits)
    const { leases } = this.#parts
    if (ticket !== undefined && !leases.settle(ticket, told)) leases.onUnknown?.(ticket, told)
  }

  #check(entries: Entries, hits: number, statuses: { code: Code }[], done: Done): void {
    const { services, leases } = this.#parts
    const snapshot = services.current()
    const { limiter } = snapshot.policies
    if (limiter === null) {
      done({ overallCode: Code.OK, statuses }, 'allowed')
      return
    }
    const facts = this.#factsOf(entries)
    const match = facts.model === '' ? null : snapshot.table.match(facts.model)
    const expected = { inputTokens: hits, outputTokens: 0, nanoUsd: 0 }
    // Limits may have to be waited for, and the configuration may be replaced meanwhile.
    snapshot.retain()
    const answer: Done = (response, decision) => {
      snapshot.release()
      done(response, decision)
    }
    const admitted = (lease: Lease | null): void => {
      const [target] = match?.route.targets ?? []
      // Only who says that this is the check of a call will say when the call is over.
      const ends = entries[PHASE] === 'check' && target !== undefined
      if (!ends) lease?.settle(expected)
      const pending: Pending | null =
        lease === null || !ends ? null : { lease, expected, target, model: facts.model, snapshot, lesson: null }
      answer(okAnswer(lease, statuses, pending === null ? null : leases.keep(pending)), 'allowed')
    }
    const refused = (error: unknown): void => answer(overLimit(GatewayError.from(error), statuses), 'denied')
    try {
      const query = { facts, model: match?.route.name ?? facts.model, target: null, estimate: expected }
      const lease = limiter.admit(query)
      if (lease instanceof Promise) lease.then(admitted, refused)
      else admitted(lease)
    } catch (error) {
      refused(error)
    }
  }

  #factsOf(entries: Entries): RequestFacts {
    const key = JSON.stringify(NAMES.map((name) => (name === 'model' ? '' : (entries[name] ?? ''))))
    let principal = this.#principals.get(key)
    if (principal === undefined) this.#principals.set(key, (principal = principalOf(entries)))
    return {
      principal,
      operation: 'chat',
      model: entries['model'] ?? '',
      stream: false,
      needs: NO_NEEDS,
      header: () => undefined,
      headers: () => ({}),
      json: () => ({}),
    }
  }
}

function entriesOf({ entries }: RateLimitDescriptor): Entries {
  const found = Object.create(null) as Record<string, string>
  for (const { key, value } of entries) found[key] ??= value
  return found
}

function principalOf(entries: Entries): Principal {
  const { tenant = '', team = '', user = '', key = '', principal = '' } = entries
  const peer = principal === '' ? null : (spiffeIdentity('mtls', principal) ?? namedIdentity('mtls', principal))
  const variables = { ...ANONYMOUS.variables, key, tenant, team, user, peer: peer?.id ?? '' }
  return { ...ANONYMOUS, keyId: key, tenant, team, user, peer, variables }
}

/** `input,output` where somebody has counted both; else the sum alone. */
function toldBy(usage: string | undefined, total: number): Told {
  const [input = '', output = ''] = usage?.split(',', 2) ?? []
  const known = UNSIGNED.test(input) && UNSIGNED.test(output)
  const [inputTokens, outputTokens] = known ? [Number(input), Number(output)] : [-1, -1]
  return { inputTokens, outputTokens, totalTokens: Number.isSafeInteger(total) ? total : 0 }
}

function okAnswer(lease: Lease | null, statuses: { code: Code }[], ticket: string | null): Answer {
  const headers: HeaderList = []
  lease?.addHeaders(headers)
  const requests = Number(findHeader(headers, 'x-ratelimit-remaining-requests') ?? Number.NaN)
  const [first, ...others] = statuses
  const known = Number.isInteger(requests) && requests >= 0
  return {
    overallCode: Code.OK,
    statuses: [known ? { ...first!, limitRemaining: Math.min(requests, 0xffffffff) } : first!, ...others],
    responseHeadersToAdd: valuesOf(headers),
    ...(ticket === null ? {} : { dynamicMetadata: { ticket } }),
  }
}

function overLimit(error: GatewayError, statuses: { code: Code }[]): Answer {
  const id = requestId(undefined)
  const wait = error.retryAfterMs ?? 1000
  const seconds = Math.floor(wait / 1000)
  const duration = { seconds: BigInt(seconds), nanos: Math.round((wait - seconds * 1000) * 1e6) }
  return {
    overallCode: Code.OVER_LIMIT,
    statuses: statuses.map((_, i) =>
      i === 0 ? { code: Code.OVER_LIMIT, durationUntilReset: duration } : { code: Code.OK },
    ),
    responseHeadersToAdd: valuesOf(['content-type', 'application/json', 'x-request-id', id, ...errorHeaders(error)]),
    rawBody: Buffer.from(errorJson(error, id)),
  }
}

function valuesOf(headers: readonly string[]): { key: string; value: string }[] {
  const values = []
  for (let i = 0; i < headers.length; i += 2) values.push({ key: headers[i]!, value: headers[i + 1]! })
  return values
}
