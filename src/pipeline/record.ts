import type { AttemptCharge, Usage, UsageRecord } from '../contracts/usage.ts'
import type { AttemptRecord } from './attempt-record.ts'
import type { Exchange } from './exchange.ts'
import { isServed } from './cache/run.ts'
import { addUsages } from '../protocol/usage.ts'

/** W3C Trace Context 2.2: version, trace id, parent id, flags. */
const TRACE_PARENT = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}/

const traceIdOf = ({ trace, received }: Exchange): string =>
  trace?.traceId ?? TRACE_PARENT.exec(received.signals.traceparent ?? '')?.[1] ?? ''

const chargeOf = (record: AttemptRecord): AttemptCharge => ({
  target: record.target,
  endpoint: record.endpoint,
  result: record.result,
  usage: record.usage,
  charge: { nanoUsd: Math.max(0, record.nanoUsd), estimated: record.estimated, priced: !record.unpriced },
})

/** What the usage records say of a request that is over. */
export function usageRecord(x: Exchange): UsageRecord {
  const { principal, account, attempts } = x
  let usage: Usage | null = null
  for (const attempt of attempts) usage = addUsages(usage, attempt.usage)
  return {
    time: x.services.clock.now() - x.totalMs,
    durationMs: x.totalMs,
    requestId: x.id,
    traceId: traceIdOf(x),
    tenant: principal.tenant,
    team: principal.team,
    user: principal.user,
    keyId: principal.keyId,
    peer: principal.peer?.id ?? '',
    namespace: principal.peer?.namespace ?? '',
    serviceAccount: principal.peer?.serviceAccount ?? '',
    trustDomain: principal.peer?.trustDomain ?? '',
    model: x.model,
    route: x.match?.route.name ?? '',
    provider: x.answeredBy?.provider.name ?? '',
    target: x.answeredBy?.name ?? '',
    modelAnswered: x.answeredModel,
    operation: x.operation,
    stream: x.stream,
    status: x.status,
    outcome: x.error === null ? 'ok' : x.error.code,
    usage,
    charge: { nanoUsd: account.nanoUsd, estimated: account.estimated, priced: !account.unpriced },
    // Nobody was asked for it: it was there, or came with another's.
    cached: isServed(x),
    attempts: attempts.map(chargeOf),
    wouldRefuse: account.lease?.wouldRefuse ?? [],
    labels: principal.labels,
  }
}
