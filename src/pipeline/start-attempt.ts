import type { Operation } from '../contracts/config.ts'
import type { Credential } from '../contracts/credentials.ts'
import type { RouteMatch, Target } from '../contracts/routing.ts'
import type { PickFacts, UpstreamRequest } from '../contracts/upstream.ts'
import type { Attempt } from './attempt.ts'
import type { AttemptRecord } from './attempt-record.ts'
import type { Exchange } from './exchange.ts'
import type { Permit } from './permit.ts'
import type { RequestFields } from '../protocol/openai/request.ts'
import { GatewayError } from '../core/errors.ts'
import { chatStream, responsesStream } from '../protocol/openai/answer.ts'
import { replaceFormField } from '../protocol/multipart.ts'
import { asksForUsage, rewriteRequest } from '../protocol/openai/request.ts'
import { upstreamModel } from '../routing/table.ts'
import { credentialScope } from './attempt-secrets.ts'
import { addContext } from './context.ts'
import { continuationBody } from './continuation.ts'
import { JsonAttempt } from './json-attempt.ts'
import { RawAttempt } from './raw-attempt.ts'
import { startShadowCall } from './shadow.ts'
import { StreamAttempt } from './stream-attempt.ts'

/** Client headers that mean something to a backend and carry no identity. */
const FORWARD = ['openai-beta', 'idempotency-key'] as const
const NO_HEADERS: readonly string[] = []
/** The simulated backend takes its faults from these. */
const FORWARD_SIM = ['x-sim-fault', 'x-sim-seed'] as const

export interface AttemptOptions {
  /** Clock.monotonic, ms, when the caller has just read it. */
  readonly now?: number
  readonly hedge?: boolean
  /** What the call holds while it lasts. */
  readonly permit?: Permit | null
  /** Text that another target sent before it broke off: this one goes on with it. */
  readonly continueFrom?: string
}

/** Starts one call of one target. */
export function startAttempt(x: Exchange, target: Target, match: RouteMatch, options: AttemptOptions = {}): Attempt {
  const model = upstreamModel(target, match)
  const now = options.now ?? x.services.clock.monotonic()
  const record: AttemptRecord = {
    target: target.name,
    model,
    hedge: options.hedge === true,
    startMs: now - x.received.startedAt,
    ms: 0,
    status: 0,
    firstTokenMs: -1,
    result: 'open',
    nanoUsd: -1,
    usage: null,
    estimated: false,
    unpriced: false,
    spanId: x.trace?.newSpanId() ?? '',
    origin: '',
    errorType: '',
    proxyMs: -1,
    endpoint: '',
    endpointNote: '',
  }
  x.attempts.push(record)
  const chosen = chooseCredential(x, target, model, now)
  const refusal = GatewayError.is(chosen) ? chosen : null
  const credential = GatewayError.is(chosen) ? null : chosen
  const plan = { owner: x, target, model, record, now, rules: match.route, permit: options.permit ?? null, credential }
  let attempt: Attempt
  let includeUsage = false
  if (x.operation === 'passthrough') attempt = new RawAttempt(plan)
  else if (!x.stream) attempt = new JsonAttempt({ ...plan, operation: x.operation })
  else {
    const responses = x.operation === 'responses'
    includeUsage = wantsUsage(x.operation, true, target, x.fields!)
    attempt = new StreamAttempt({
      ...plan,
      dialect: responses ? responsesStream : chatStream,
      dropUsage: includeUsage,
      keepText: match.route.continuation && x.operation === 'chat' && !x.needs.tools && !x.needs.jsonSchema,
      resumes: options.continueFrom !== undefined,
    })
  }
  if (refusal !== null) {
    attempt.refuse(refusal)
    return attempt
  }
  const { continueFrom } = options
  const body =
    continueFrom === undefined
      ? bodyFor(x, model, includeUsage)
      : continuationBody(x.json(), continueFrom, model, includeUsage)
  let request = upstreamRequest(x, target, body, credential)
  if (target.provider.config.balancing !== null) request = { ...request, pick: pickFacts(x, model) }
  const more = [...(request.more ?? NO_HEADERS)]
  addContext(more, { x, target, spanId: record.spanId, now })
  attempt.start(more.length === 0 ? request : { ...request, more })
  return attempt
}

/** What tells one address of a cluster from another for this call. */
function pickFacts(x: Exchange, model: string): PickFacts {
  // Those of other targets among them do no harm: they are no members here, or the same servers.
  const failed = x.attempts.length < 2 ? [] : x.attempts.map(({ endpoint }) => endpoint).filter((at) => at !== '')
  return {
    ...(failed.length === 0 ? {} : { failed }),
    model,
    promptTokens: x.fields?.promptTokens ?? 0,
    session: x.received.header('x-session-id') ?? '',
    priority: 0,
    explain: x.received.header('x-heddle-explain') !== undefined,
  }
}

/** null = the provider wants none; the error says why none can be used. */
function chooseCredential(x: Exchange, target: Target, model: string, now: number): Credential | GatewayError | null {
  const { credentials } = target.provider
  if (credentials === null) return null
  try {
    return credentials.choose(x.principal.tenant, now, credentialScope(target, model))
  } catch (error) {
    return GatewayError.from(error)
  }
}

/** Heddle asks for the usage chunk itself: it may, the backend knows it, and the client did not. */
export function wantsUsage(operation: Operation, stream: boolean, target: Target, fields: RequestFields): boolean {
  return (
    stream &&
    operation !== 'responses' &&
    operation !== 'passthrough' &&
    target.provider.config.streamUsage &&
    !asksForUsage(fields)
  )
}

/** The received body with what must change for this target. */
export function spliceBody(fields: RequestFields, model: string, includeUsage: boolean): Buffer {
  const modelJson = model === fields.model || fields.modelStart < 0 ? null : Buffer.from(JSON.stringify(model))
  return rewriteRequest(fields, { modelJson, includeUsage })
}

function bodyFor(x: Exchange, model: string, includeUsage: boolean): Buffer | null {
  if (x.fields === null) {
    if (x.formModel !== '' && model !== x.formModel)
      return replaceFormField(x.received.body, x.received.header('content-type') ?? '', 'model', model)
    return x.received.body.length === 0 ? null : x.received.body
  }
  return spliceBody(x.fields, model, includeUsage)
}

function upstreamRequest(
  x: Exchange,
  target: Target,
  body: Buffer | null,
  credential: Credential | null,
): UpstreamRequest {
  const { provider } = target
  const raw = x.operation === 'passthrough'
  const { method } = x.received
  const path = provider.basePath + x.upstreamPath + joinQuery(provider.query, raw ? x.received.query : '')
  let headers = raw ? provider.rawHeaders : x.stream ? provider.streamHeaders : provider.jsonHeaders
  // First, so that what it makes of the provider's list can be kept; no signature covers what follows.
  if (credential !== null) headers = credential.sign(headers, method, path, body)
  if (raw) {
    const type = x.received.header('content-type')
    if (type !== undefined && body !== null) headers = [...headers, 'content-type', type]
  }
  let more: string[] | null = null
  for (const name of provider.config.type === 'sim' ? [...FORWARD, ...FORWARD_SIM] : FORWARD) {
    const value = x.received.header(name)
    if (value !== undefined) (more ??= []).push(name, value)
  }
  const request = { method, path, headers, body, longAnswer: x.stream }
  return more === null ? request : { ...request, more }
}

const joinQuery = (own: string, client: string): string =>
  client === '' || client === '?' ? own : own === '' ? client : `${own}&${client.slice(1)}`

/** A copy is a disclosure like any other: it goes nowhere where the request itself might not. */
export function startShadows(x: Exchange, match: RouteMatch): void {
  const { access } = x.principal
  const { pricing } = x.snapshot.policies
  for (const shadow of match.route.shadows) {
    if (x.services.random.next() >= shadow.shadow) continue
    const allowed = access.anyTarget || access.target(shadow, x, match.asked) === null
    if (!allowed || pricing.refuses(shadow, upstreamModel(shadow, match)) !== null)
      x.services.telemetry.shadow(shadow, 'denied', 0)
    else startShadow(x, shadow, match)
  }
}

/** Copies the request to a target whose answer nobody waits for. */
function startShadow(x: Exchange, target: Target, match: RouteMatch): void {
  if (x.operation === 'passthrough') return
  const model = upstreamModel(target, match)
  const credential = chooseCredential(x, target, model, x.services.clock.monotonic())
  if (GatewayError.is(credential)) {
    x.services.telemetry.shadow(target, 'no_key', 0)
    return
  }
  const includeUsage = x.fields !== null && wantsUsage(x.operation, x.stream, target, x.fields)
  const request = upstreamRequest(x, target, bodyFor(x, model, includeUsage), credential)
  const { pricing } = x.snapshot.policies
  startShadowCall(x.services, target, request, {
    timeouts: match.route.timeouts,
    charge: (usage) => pricing.charge(target, model, usage, false),
  })
}
