import type { Operation } from '../contracts/config.ts'
import type { Credential } from '../contracts/credentials.ts'
import type { Wire } from '../contracts/dialect.ts'
import type { RouteMatch, Target } from '../contracts/routing.ts'
import type { PickFacts } from '../contracts/upstream.ts'
import type { Attempt, AttemptPlan } from './attempt.ts'
import type { AttemptRecord } from './attempt-record.ts'
import type { Exchange } from './exchange.ts'
import type { Permit } from './permit.ts'
import type { StreamDialect } from '../protocol/openai/answer.ts'
import { GatewayError } from '../core/errors.ts'
import { messagesStream } from '../protocol/anthropic/pass.ts'
import { cohereStream } from '../protocol/cohere/pass.ts'
import { geminiStream } from '../protocol/gemini/pass.ts'
import { embedAsked } from '../protocol/openai/embed.ts'
import { chatStream, responsesStream } from '../protocol/openai/answer.ts'
import { isRaw } from '../protocol/operations.ts'
import { usageHints } from '../protocol/usage.ts'
import { upstreamModel } from '../routing/table.ts'
import { EmbedReader, NativeReader, TranslatedReader } from './answer-reader.ts'
import { credentialScope } from './attempt-secrets.ts'
import { addContext } from './context.ts'
import { FrameStream } from './frame-stream.ts'
import { JsonAttempt } from './json-attempt.ts'
import { RerankReader } from './rerank-call.ts'
import { RawAttempt } from './raw-attempt.ts'
import { startShadowCall } from './shadow.ts'
import { StreamAttempt } from './stream-attempt.ts'
import { TranslatedStream } from './translated-stream.ts'
import { WholeStream } from './whole-stream.ts'
import { prepareCall, upstreamRequest, type PreparedCall } from './upstream-request.ts'

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
  const prepared = prepareOrRefusal(x, target, model, options.continueFrom ?? null)
  const call = GatewayError.is(prepared) ? null : prepared
  const attempt = attemptFor(x, plan, call, options.continueFrom !== undefined)
  if (call !== null) attempt.dropped = call.dropped
  if (refusal !== null || call === null) {
    attempt.refuse(refusal ?? (prepared as GatewayError))
    return attempt
  }
  let request = upstreamRequest(x, target, call, credential)
  if (target.provider.config.balancing !== null) request = { ...request, pick: pickFacts(x, model) }
  const more = [...(request.more ?? NO_HEADERS)]
  addContext(more, { x, target, spanId: record.spanId, now })
  attempt.start(more.length === 0 ? request : { ...request, more })
  return attempt
}

const NO_HEADERS: readonly string[] = []

function prepareOrRefusal(
  x: Exchange,
  target: Target,
  model: string,
  continueFrom: string | null,
): PreparedCall | GatewayError {
  try {
    return prepareCall(x, target, model, continueFrom)
  } catch (error) {
    const refusal = GatewayError.from(error)
    if (refusal.code === 'internal') throw error
    return refusal
  }
}

type Plan = Omit<AttemptPlan, 'owner'> & { readonly owner: Exchange }

/** What reads the answer. call: null = there will be none. */
function attemptFor(x: Exchange, plan: Plan, call: PreparedCall | null, resumes: boolean): Attempt {
  const { operation } = x
  const wire = call?.wire ?? null
  if (x.upgrade !== null) return x.upgrade.attempt(plan)
  if (isRaw(operation) || x.counting || (operation === 'ollama_chat' && wire === null)) return new RawAttempt(plan)
  if (operation === 'rerank') {
    const attempt = new JsonAttempt({ ...plan, reader: new RerankReader(x, plan.target) })
    return attempt
  }
  if (wire !== null && operation === 'embeddings')
    return new JsonAttempt({ ...plan, reader: new EmbedReader(wire.embed!, embedAsked(x.json(), x.model)) })
  if (wire !== null) return translatedAttempt(x, plan, call as TranslatedCall, resumes)
  if (!x.stream) {
    const hints = usageHints(plan.target.provider.config.type)
    return new JsonAttempt({ ...plan, reader: new NativeReader(operation, hints) })
  }
  if (operation === 'converse') return new FrameStream({ ...plan, resumes })
  return new StreamAttempt({
    ...plan,
    dialect: STREAMS[operation] ?? chatStream,
    dropUsage: call?.includeUsage === true,
    keepText: plan.rules.continuation && operation === 'chat' && !x.needs.tools && !x.needs.jsonSchema,
    resumes,
  })
}

type TranslatedCall = PreparedCall & { readonly wire: Wire }

function translatedAttempt(x: Exchange, plan: Plan, call: TranslatedCall, resumes: boolean): Attempt {
  const { client, context } = x.translation
  const { wire, asked, dropped } = call
  const attempt = !x.stream
    ? new JsonAttempt({ ...plan, reader: new TranslatedReader(wire, client, context, asked) })
    : wire.streams === false
      ? new WholeStream({ ...plan, wire, client, context, asked, resumes })
      : new TranslatedStream({ ...plan, wire, client, context, asked, resumes })
  attempt.dropped = dropped
  return attempt
}

const STREAMS: Readonly<Partial<Record<Operation, StreamDialect>>> = {
  responses: responsesStream,
  messages: messagesStream,
  generate_content: geminiStream,
  cohere_chat: cohereStream,
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
  if (isRaw(x.operation) || x.counting) return
  const model = upstreamModel(target, match)
  const credential = chooseCredential(x, target, model, x.services.clock.monotonic())
  if (GatewayError.is(credential)) {
    x.services.telemetry.shadow(target, 'no_key', 0)
    return
  }
  const call = prepareOrRefusal(x, target, model, null)
  if (GatewayError.is(call)) {
    x.services.telemetry.shadow(target, 'unfit', 0)
    return
  }
  const request = upstreamRequest(x, target, call, credential)
  const { pricing } = x.snapshot.policies
  startShadowCall(x.services, target, request, {
    timeouts: match.route.timeouts,
    charge: (usage) => pricing.charge(target, model, usage, false),
  })
}
