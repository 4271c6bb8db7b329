import type { Target } from '../contracts/routing.ts'
import type { Exchange } from './exchange.ts'
import { isRaw } from '../protocol/operations.ts'

/** Proxies end a call later than Heddle's timers do: an end that they make would count as the backend's failure. */
const PROXY_GRACE_MS = 100

interface CallContext {
  readonly x: Exchange
  readonly target: Target
  /** Of the call; '' = the request has no trace. */
  readonly spanId: string
  /** Clock.monotonic, ms. */
  readonly now: number
}

/**
 * What a call carries of the request it is made for. Workloads of the mesh get the trace, the request id by which proxies
 * decide about it, and how long anybody waits. Vendors get nothing of it, but the trace where the operator wants it told.
 */
export function addContext(to: string[], { x, target, spanId, now }: CallContext): void {
  const { config } = target.provider
  if (config.class === 'vendor') {
    if (config.propagateTrace) x.trace?.injectVendor(to, spanId)
    return
  }
  to.push('x-request-id', x.id)
  if (x.trace === null) passOn(to, x)
  else x.trace.injectMesh(to, spanId)
  addDeadline(to, x, now)
}

/** No span of ours is made: whoever comes next goes on where the caller stopped. */
function passOn(to: string[], { received: { signals } }: Exchange): void {
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined && value !== '') to.push(name, value)
  }
  add('traceparent', signals.traceparent)
  add('tracestate', signals.tracestate)
  add('b3', signals.b3)
  add('x-b3-traceid', signals.b3TraceId)
  add('x-b3-spanid', signals.b3SpanId)
  add('x-b3-parentspanid', signals.b3ParentSpanId)
  add('x-b3-sampled', signals.b3Sampled)
  add('x-b3-flags', signals.b3Flags)
  for (const text of signals.otherTracers) to.push(text)
}

/** Requests only: proxies count to the end of an answer, and would cut a stream that has begun in time. */
function addDeadline(to: string[], x: Exchange, now: number): void {
  const { mesh } = x.snapshot.policies
  if (mesh.kind === 'none') return
  if (mesh.ownsRetries) {
    to.push('x-envoy-max-retries', '0')
    if (mesh.linkerdHeaders) to.push('l5d-retry-limit', '0')
  }
  if (x.stream || isRaw(x.operation) || x.deadlineAt === Infinity) return
  const left = Math.max(1, Math.ceil(x.deadlineAt - now)) + PROXY_GRACE_MS
  to.push('x-envoy-upstream-rq-timeout-ms', String(left))
  if (mesh.linkerdHeaders) to.push('l5d-request-timeout', `${left}ms`)
}
