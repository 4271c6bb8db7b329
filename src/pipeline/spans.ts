/** The spans of one request, written when it is over: SERVER, the logical call, and each call of a backend (CLIENT). */
import type { AttributeValue, Attributes, RequestTrace, SpanData, SpanEvent } from '../contracts/trace.ts'
import type { Operation } from '../contracts/config.ts'
import type { Usage } from '../contracts/usage.ts'
import type { AttemptRecord } from './attempt-record.ts'
import type { CacheRun } from './cache/run.ts'
import type { Exchange } from './exchange.ts'
import type { Place } from './places.ts'
import { parseAddress } from '../core/host-port.ts'
import { usdText } from '../core/usd.ts'
import { A, H } from '../telemetry/semconv.ts'
import { httpRoute, methodName, operationName, placeOfTarget, schemeOf } from './places.ts'
import { outputContent } from './spans-content.ts'
import { answerFacts } from './spans-answer.ts'

type Found = Record<string, AttributeValue>

const NO_EVENTS: readonly SpanEvent[] = []
const NO_LINKS: SpanData['links'] = []
const MAX_ATTEMPTS = 40
const MAX_TEXT = 256

const OPENAI_API: Readonly<Partial<Record<Operation, string>>> = { chat: 'chat_completions', responses: 'responses' }

const text = (to: Found, name: string, value: string | undefined): void => {
  if (value !== undefined && value !== '') to[name] = value.length > MAX_TEXT ? value.slice(0, MAX_TEXT) : value
}

/** Monotonic ms into epoch ms. The clocks are compared anew each time: the wall clock may have been set. */
let offset = 0
function offsetOf(x: Exchange): number {
  const now = x.services.clock.now() - x.services.clock.monotonic()
  // Kept while it only differs by what a clock of whole ms cannot say: spans of one trace stay in order.
  if (Math.abs(now - offset) > 2) offset = now
  return offset
}

/** What ended the request, for `error.type`; '' = it did not fail. The caller's going away is no failure. */
const failureOf = (x: Exchange): string => (x.error === null || x.error.code === 'client_closed' ? '' : x.error.code)

function serverSpan(x: Exchange, trace: RequestTrace, startAt: number): SpanData {
  const { received, principal } = x
  const route = httpRoute(x)
  const failure = failureOf(x)
  const failed = failure !== '' && x.status >= 500
  const found: Found = {
    [A.method]: methodName(x),
    [A.status]: x.status,
    [A.scheme]: schemeOf(x),
    [A.requestSize]: x.bytesIn,
    [A.responseSize]: x.bytesOut,
    [H.requestId]: x.id,
    [H.config]: x.snapshot.config.hash,
  }
  text(found, A.route, route)
  text(found, A.path, received.path)
  text(found, A.clientAddress, received.peer)
  text(found, A.userAgent, received.header('user-agent'))
  text(found, H.tenant, principal.tenant)
  text(found, H.keyId, principal.keyId)
  text(found, H.peer, principal.peer?.id)
  text(found, H.route, x.match?.route.name)
  text(found, H.cache, x.cache?.status)
  if (failed) found[A.errorType] = failure
  if (x.firstByteMs >= 0) found[H.overhead] = Math.max(0, x.firstByteMs - x.upstreamMs) / 1000
  return {
    traceId: trace.traceId,
    spanId: trace.spanId,
    parentSpanId: trace.parentSpanId,
    remoteParent: trace.parentSpanId !== '',
    traceState: trace.traceState,
    kind: 'server',
    name: route === '' ? spanMethod(x) : `${spanMethod(x)} ${route}`,
    startAt,
    endAt: startAt + Math.max(0, x.totalMs),
    attributes: found,
    events: decisions(x, trace, startAt),
    links: trace.link === null ? NO_LINKS : [trace.link],
    error: failed ? '' : null,
  }
}

/** By the conventions a span is not named after a method that nobody knows. */
const spanMethod = (x: Exchange): string => {
  const name = methodName(x)
  return name === '_OTHER' ? 'HTTP' : name
}

/** Limits, routing, retries, hedges and continuations, in the order of their times. */
function decisions(x: Exchange, trace: RequestTrace, startAt: number): readonly SpanEvent[] {
  const events: SpanEvent[] = [...trace.events]
  const add = (name: string, at: number, attributes: Attributes): void => void events.push({ name, at, attributes })
  for (const limit of x.account.lease?.wouldRefuse ?? []) add('heddle.limit.would_refuse', startAt, { [H.rule]: limit })
  for (const { target, reason } of x.passedOver ?? [])
    add('heddle.target.passed_over', startAt, { [H.target]: target, [H.reason]: reason })
  if (x.cache !== null) add('heddle.cache', startAt, cacheFacts(x.cache))
  const [first] = x.attempts
  if (first !== undefined)
    add('heddle.route.chosen', startAt + first.startMs, {
      [H.target]: first.target,
      ...(x.planNote === '' ? {} : { [H.reason]: x.planNote }),
    })
  for (let i = 1; i < x.attempts.length && i < MAX_ATTEMPTS; i++) {
    const { target, startMs, hedge } = x.attempts[i]!
    // What led to it: the one before, unless it runs beside that one.
    const cause = hedge ? {} : { [H.reason]: x.attempts[i - 1]!.result }
    add(hedge ? 'heddle.hedge' : 'heddle.retry', startAt + startMs, { [H.target]: target, ...cause })
  }
  if (x.continued > 0) add('heddle.continuation', startAt + x.totalMs, { count: x.continued })
  return events.length < 2 ? events : events.sort((a, b) => a.at - b.at)
}

const cacheFacts = ({ status, reason, similarity, confidence }: CacheRun): Attributes => ({
  [H.cache]: status,
  ...(reason === '' ? {} : { [H.reason]: reason }),
  ...(similarity < 0 ? {} : { [H.similarity]: similarity, [H.confidence]: confidence }),
})

function usageOf(found: Found, usage: Usage): void {
  found[A.inputTokens] = usage.inputTokens
  found[A.outputTokens] = usage.outputTokens
  if (usage.cachedInputTokens > 0) found[A.cacheRead] = usage.cachedInputTokens
  const written = usage.cacheWrite5mTokens + usage.cacheWrite1hTokens
  if (written > 0) found[A.cacheCreation] = written
  if (usage.reasoningTokens > 0) found[A.reasoning] = usage.reasoningTokens
}

function noteAnswerFacts(found: Found, x: Exchange, trace: RequestTrace, place: Place | undefined): void {
  if (x.usage !== null) usageOf(found, x.usage)
  if (x.account.nanoUsd > 0) found[H.costUsd] = usdText(x.account.nanoUsd)
  if (x.error === null && x.operation !== 'passthrough') {
    const facts = answerFacts(trace.answer)
    text(found, A.responseId, facts.id)
    text(found, A.responseModel, facts.model || x.answeredModel)
    text(found, A.openaiResponseTier, place?.provider === 'openai' ? facts.tier : '')
    if (facts.finishReason !== '') found[A.finishReasons] = [facts.finishReason]
  }
  if (trace.content !== 'off') Object.assign(found, outputContent(trace.answer, x.stream, trace.content, x.operation))
}

function callSpan(x: Exchange, trace: RequestTrace, startAt: number): SpanData {
  const operation = operationName(x.operation)
  const answered = x.answeredBy?.name ?? x.attempts.at(-1)?.target ?? ''
  const place = placeOfTarget(x.snapshot, answered)
  const failure = failureOf(x)
  const found: Found = { [A.operation]: operation, ...trace.request }
  if (place !== undefined) {
    found[A.provider] = place.provider
    found[A.serverAddress] = place.address
    found[A.serverPort] = place.port
    const api = OPENAI_API[x.operation]
    if (place.provider === 'openai' && api !== undefined) found[A.openaiApi] = api
  }
  text(found, A.requestModel, x.model)
  text(found, H.target, answered)
  noteAnswerFacts(found, x, trace, place)
  const [first] = x.attempts
  const begun = first?.startMs ?? x.totalMs
  if (x.stream && x.firstByteMs >= 0) found[A.firstChunk] = Math.max(0, x.firstByteMs - begun) / 1000
  if (failure !== '') found[A.errorType] = failure
  return {
    traceId: trace.traceId,
    spanId: trace.callSpanId,
    parentSpanId: trace.spanId,
    remoteParent: false,
    traceState: trace.traceState,
    kind: 'client',
    name: x.model === '' ? operation : `${operation} ${x.model.slice(0, MAX_TEXT)}`,
    startAt: startAt + begun,
    endAt: startAt + Math.max(begun, x.totalMs),
    attributes: found,
    events: NO_EVENTS,
    links: NO_LINKS,
    error: failure === '' ? null : '',
  }
}

/** resend: how many calls came before it. */
function attemptSpan(
  x: Exchange,
  trace: RequestTrace,
  record: AttemptRecord,
  resend: number,
  startAt: number,
): SpanData {
  const place = placeOfTarget(x.snapshot, record.target)
  const { result, status } = record
  const ok = result === 'ok'
  const found: Found = { [A.method]: methodName(x), [H.target]: record.target, [H.result]: result }
  if (place !== undefined) {
    found[A.serverAddress] = place.address
    found[A.serverPort] = place.port
    text(found, A.urlFull, place.url + x.upstreamPath)
  }
  // Of several addresses the one that had the call.
  const peer = record.endpoint === '' ? null : parseAddress(record.endpoint)
  if (peer !== null) {
    found[A.peerAddress] = peer.host
    found[A.peerPort] = peer.port
  }
  if (status > 0) found[A.status] = status
  if (resend > 0) found[A.resendCount] = resend
  if (!ok) found[A.errorType] = record.errorType || (result === `http_${status}` ? String(status) : result)
  if (record.hedge) found[H.hedge] = true
  text(found, H.origin, record.origin)
  if (record.proxyMs >= 0) found[H.proxyTime] = record.proxyMs / 1000
  const begun = startAt + record.startMs
  return {
    traceId: trace.traceId,
    spanId: record.spanId,
    parentSpanId: trace.callSpanId,
    remoteParent: false,
    traceState: trace.traceState,
    kind: 'client',
    name: spanMethod(x),
    startAt: begun,
    endAt: begun + Math.max(0, record.ms),
    attributes: found,
    events: NO_EVENTS,
    links: NO_LINKS,
    error: ok || result === 'cancelled' ? null : '',
  }
}

export { noteRequest } from './spans-request.ts'

/** Once, when the request is over; only of requests whose trace is sampled. Never throws. */
export function writeSpans(x: Exchange): void {
  const { trace } = x
  if (trace === null || !trace.sampled) return
  try {
    const startAt = x.received.startedAt + offsetOf(x)
    const spans = [serverSpan(x, trace, startAt)]
    if (x.attempts.length > 0) spans.push(callSpan(x, trace, startAt))
    const count = Math.min(x.attempts.length, MAX_ATTEMPTS)
    for (let i = 0; i < count; i++) spans.push(attemptSpan(x, trace, x.attempts[i]!, i, startAt))
    trace.record(spans)
  } catch (error) {
    x.services.log('error', { request_id: x.id, err: String(error) }, 'spans could not be written')
  }
}
