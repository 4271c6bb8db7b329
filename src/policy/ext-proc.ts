import { create, type JsonObject } from '@bufbuild/protobuf'
import type { PolicyServiceConfig } from '../contracts/config-policy.ts'
import type { ClientSide, HeaderList, ReplyWriter } from '../contracts/http.ts'
import type { Target } from '../contracts/routing.ts'
import type { Call, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import type { CallDoor } from '../pipeline/door.ts'
import type { StreamHandler } from '../protocol/grpc/calls.ts'
import { GatewayError } from '../core/errors.ts'
import { routeHeaders } from '../pipeline/decision.ts'
import { Exchange } from '../pipeline/exchange.ts'
import { GRPC } from '../protocol/grpc/status.ts'
import {
  BodySendMode,
  ProcessingResponseSchema,
  type HttpBody,
  type HttpHeaders,
  type ProcessingRequest,
  type ProcessingResponse,
} from '../protocol/grpc/gen/ext_proc_pb.ts'
import { callBody, callHead, type ResponseInit } from './ext-proc-call.ts'
import { ProcReply, type ProcStream } from './ext-proc-reply.ts'
import { ATTRIBUTES, EndpointChoice, subsetOf } from './endpoint.ts'
import { findHeader, headerObject, listOf } from './headers.ts'
import { Meter } from './meter.ts'
import { OpenStream, streamHandler, type StreamParts } from './streams.ts'
import { addressOf, identify, PolicyReceived, tooLarge, unfit, unpack, withoutPseudo } from './received.ts'

const METADATA_NAMESPACE = 'heddle'

export interface ProcParts extends StreamParts {
  config(): PolicyServiceConfig['extProc']
  /** Makes what decides; left out, the pipeline. */
  readonly begin?: (received: PolicyReceived, reply: ReplyWriter, door: CallDoor) => Begun
}

/** What a stream tells whoever decides about it. */
export interface Begun extends ClientSide {
  begin(): void
  fail(error: GatewayError): void
}

/** External processing (envoy.service.ext_proc.v3): a request and its answer pass through the pipeline. */
export function processHandler(parts: ProcParts): StreamHandler<ProcessingRequest, ProcessingResponse> {
  return streamHandler(parts, {
    name: 'ext_proc',
    maxStreams: () => parts.config().maxStreams,
    begin: (stream) => new Process(parts, stream),
  })
}

class Process extends OpenStream implements CallDoor {
  readonly name = 'ext_proc'
  readonly counts = true
  readonly decide = null
  readonly #parts: ProcParts
  readonly #stream: ProcStream
  readonly #reply: ProcReply
  readonly #startedAt: number
  #received: PolicyReceived | null = null
  #clientHeaders: HeaderList = []
  #body: Buffer[] | null = []
  #bodyBytes = 0
  #requestTrailers = false
  #begun: Begun | null = null
  #exchange: Exchange | null = null
  #sink: UpstreamSink | null = null
  #answerEnded = false
  /** The stream began with an answer: its request passed us by. */
  #meter: Meter | null = null
  #first = true
  /** Nothing that still comes is of interest. */
  #over = false
  #subset: ReadonlySet<string> | null = null
  #choice: EndpointChoice | null = null
  #status = 0
  used = false

  constructor(parts: ProcParts, stream: ProcStream) {
    super()
    this.#parts = parts
    this.#stream = stream
    this.#startedAt = parts.services.clock.monotonic()
    this.#reply = new ProcReply(stream, () => this.#metadata())
  }

  take(message: ProcessingRequest): void {
    if (this.#over) return
    try {
      this.#take(message)
    } catch (error) {
      this.#over = true
      const fault = GatewayError.from(error)
      if (this.#begun === null) this.#stream.fail(GRPC.INTERNAL, 'the message could not be handled')
      else this.#begun.fail(fault)
    }
  }

  #take(message: ProcessingRequest): void {
    if (message.observabilityMode) {
      this.#over = true
      return
    }
    const { request } = message
    if (this.#first) {
      this.#first = false
      if (!this.#modesFit(message)) return
    }
    switch (request.case) {
      case 'requestHeaders':
        this.#takeHead(message, request.value)
        return
      case 'requestBody':
        this.#takeBody(request.value)
        return
      case 'requestTrailers':
        this.#requestTrailers = true
        this.#begin()
        return
      case 'responseHeaders':
        this.#takeAnswerHead(message, request.value)
        return
      case 'responseBody':
        this.#takeAnswerBody(request.value)
        return
      case 'responseTrailers':
        if (this.#meter !== null) this.#meter.trailers()
        else {
          this.#reply.trailersOwed = true
          this.#endAnswer()
        }
        return
      case undefined:
        this.#protocolError('a message without a part of a request')
    }
  }

  /** Only full duplex lets an answer to a head wait for the body. */
  #modesFit({ request, protocolConfig }: ProcessingRequest): boolean {
    const { FULL_DUPLEX_STREAMED, NONE } = BodySendMode
    if (protocolConfig === undefined) return true
    const { requestBodyMode: asked, responseBodyMode: answered } = protocolConfig
    const whole = request.case === 'requestHeaders' && request.value.endOfStream
    const asksWell = asked === FULL_DUPLEX_STREAMED || whole || request.case !== 'requestHeaders'
    const answersWell = answered === FULL_DUPLEX_STREAMED || request.case !== 'requestHeaders' || answered === NONE
    if (asksWell && answersWell) return true
    this.#parts.services.log(
      'error',
      { request_body_mode: asked, response_body_mode: answered },
      'ext_proc: the filter’s processing_mode must be FULL_DUPLEX_STREAMED for bodies',
    )
    this.#over = true
    this.#reply.send(500, ['content-type', 'text/plain'], 'The processing mode of the proxy does not fit.')
    return false
  }

  #protocolError(what: string): void {
    this.#over = true
    this.#stream.fail(GRPC.INVALID_ARGUMENT, what)
  }

  // ── the request ───────────────────────────────────────────────────────────
  #takeHead(message: ProcessingRequest, { headers, endOfStream }: HttpHeaders): void {
    if (this.#received !== null) {
      this.#protocolError('a second head')
      return
    }
    const { services } = this.#parts
    const list = listOf(headers)
    const attributes = (message.attributes[ATTRIBUTES] ?? {}) as Readonly<Record<string, unknown>>
    const text = (name: string): string => (typeof attributes[name] === 'string' ? attributes[name] : '')
    this.#clientHeaders = list
    const raw = withoutPseudo(list)
    const authority = findHeader(list, ':authority')
    if (authority !== undefined && findHeader(raw, 'host') === undefined) raw.push('host', authority)
    const head = {
      method: findHeader(list, ':method') ?? '',
      url: findHeader(list, ':path') ?? '/',
      raw,
      peer: addressOf(text('source.address')),
      startedAt: this.#startedAt,
    }
    const principal = text('connection.uri_san_peer_certificate')
    this.#subset = subsetOf(message.metadataContext)
    const { policies } = services.current()
    const received = new PolicyReceived(head, principal, policies.headers)
    this.#received = received
    const later = (error: GatewayError): void => {
      if (this.#begun === null && !this.#over) this.#refuse(received, error)
    }
    const refusal = unfit(head, received, services.limits) ?? identify(received, policies.auth, later)
    if (refusal !== null) this.#refuse(received, refusal)
    else if (endOfStream) this.#begin()
  }

  /** Before all of it has come: what still comes of it is dropped. */
  #refuse(received: PolicyReceived, error: GatewayError): void {
    this.#body = null
    this.#make(received).fail(error)
  }

  #make(received: PolicyReceived): Begun {
    const { begin, services } = this.#parts
    const made =
      begin?.(received, this.#reply, this) ?? (this.#exchange = new Exchange(services, received, this.#reply, this))
    this.#begun = made
    this.#reply.client = made
    return made
  }

  #takeBody({ body, endOfStream, endOfStreamWithoutMessage }: HttpBody): void {
    const received = this.#received
    if (received === null || this.#body === null) {
      // After the decision: an answer of ours is on its way, and nobody wants the rest.
      if (received === null) this.#protocolError('a body before its head')
      return
    }
    if (body.length > 0) this.#body.push(Buffer.from(body.buffer, body.byteOffset, body.byteLength))
    this.#bodyBytes += body.length
    const { limits } = this.#parts.services
    if (this.#bodyBytes > limits.body) this.#refuse(received, tooLarge(limits.body))
    else if (endOfStream || endOfStreamWithoutMessage) this.#begin()
  }

  #begin(): void {
    const received = this.#received
    if (received === null) {
      this.#protocolError('trailers before a head')
      return
    }
    if (this.#body === null) return
    const { services } = this.#parts
    received.body = this.#body.length === 1 ? this.#body[0]! : Buffer.concat(this.#body)
    this.#body = null
    // The rules have changed while the body came: who it is now the new ones say.
    if (received.identifiedBy !== services.current().policies.auth) received.identity = null
    const exchange = this.#make(received)
    unpack(received, services.limits, (error) => {
      if (this.#over) return
      if (error === null) exchange.begin()
      else exchange.fail(error)
    })
  }

  // ── the call ──────────────────────────────────────────────────────────────
  call(target: Target, request: UpstreamRequest, sink: UpstreamSink): Call {
    const { body } = request
    const choice = this.#choose(target, request, sink)
    if (choice === undefined) return NO_CALL
    this.used = true
    this.#sink = sink
    const x = this.#exchange
    const route = x === null ? [] : routeHeaders(x, target, x.attempts.at(-1)?.model ?? '')
    this.#write(callHead({ config: this.#parts.config(), target, request, given: this.#clientHeaders, route, choice }))
    if (body !== null || this.#bodyBytes > 0 || this.#requestTrailers)
      for (const part of callBody(body ?? Buffer.alloc(0), this.#requestTrailers)) this.#write(part)
    return {
      // Whatever the exchange answers then takes the place of what the backend says.
      abort: () => {
        this.#sink = null
      },
      pause: () => this.#stream.pause(),
      resume: () => this.#stream.resume(),
    }
  }

  /** One of the target's addresses, where there are several and Heddle knows them; undefined = none can be chosen. */
  #choose(
    { provider }: Target,
    { pick, body }: UpstreamRequest,
    sink: UpstreamSink,
  ): EndpointChoice | null | undefined {
    const { picker } = provider.upstream
    if (picker === undefined || pick === undefined) return null
    try {
      this.#choice = new EndpointChoice(picker, { ...pick, body }, this.#subset, this.#parts.services.clock.monotonic())
      return this.#choice
    } catch (error) {
      const { message, detail } = GatewayError.from(error)
      // Told later, as the attempt must have its call first.
      queueMicrotask(() => sink.onFault({ kind: 'connect', detail: detail ?? message }))
      return undefined
    }
  }

  #write(response: ResponseInit): void {
    this.#stream.write(create(ProcessingResponseSchema, response))
  }

  // ── the answer ────────────────────────────────────────────────────────────
  #takeAnswerHead(message: ProcessingRequest, { headers, endOfStream }: HttpHeaders): void {
    const list = listOf(headers)
    if (this.#received === null) {
      this.#meter = new Meter(
        this.#stream,
        list,
        message.protocolConfig?.responseBodyMode ?? BodySendMode.FULL_DUPLEX_STREAMED,
      )
      this.#meter.head(endOfStream)
      return
    }
    // The proxy's own answer in place of the backend's, before it heard from us: nothing is asked of us but to let it go.
    if (!this.used) {
      this.#begun?.onClientGone()
      this.#meter = new Meter(this.#stream, list, BodySendMode.FULL_DUPLEX_STREAMED)
      this.#meter.head(endOfStream)
      return
    }
    this.#reply.answerTo = list
    const status = Number(findHeader(list, ':status') ?? 0)
    this.#status = status
    this.#choice?.answered(list, message, this.#parts.services.clock.monotonic())
    this.#reply.bodyless = endOfStream
    this.#sink?.onHead(status, headerObject(withoutPseudo(list)))
    if (endOfStream) this.#endAnswer()
  }

  #takeAnswerBody(part: HttpBody): void {
    if (this.#meter !== null) {
      this.#meter.body(part)
      return
    }
    if (part.body.length > 0)
      this.#sink?.onData(Buffer.from(part.body.buffer, part.body.byteOffset, part.body.byteLength))
    if (part.endOfStream || part.endOfStreamWithoutMessage) this.#endAnswer()
  }

  #endAnswer(): void {
    if (this.#answerEnded) return
    this.#answerEnded = true
    this.#sink?.onEnd()
  }

  // ── the end ───────────────────────────────────────────────────────────────
  /** What other filters, and the proxy's log, may want to know. */
  #metadata(): JsonObject {
    const x = this.#exchange
    if (x === null) return {}
    const { account, answeredBy, match, principal } = x
    const facts = {
      request_id: x.id,
      model: match?.route.name ?? '',
      target: answeredBy?.name ?? '',
      tenant: principal.tenant,
      input_tokens: account.inputTokens,
      output_tokens: account.outputTokens,
      total_tokens: account.inputTokens + account.outputTokens,
      cost_usd: account.nanoUsd / 1e9,
      usage: `${account.inputTokens},${account.outputTokens}`,
    }
    return { [METADATA_NAMESPACE]: facts }
  }

  /** The proxy has nothing more to say: its request is over, or its client has gone. What still is to be said is. */
  finish(): void {
    if (this.#meter === null && this.#reply.open && !this.#answerEnded) this.#begun?.onClientGone()
    if (!this.#reply.closes) this.#stream.end()
  }

  drained(): void {
    this.#reply.client?.onDrain()
  }

  fail(error: GatewayError): void {
    if (this.#begun !== null) this.#begun.fail(error)
    else this.#stream.fail(GRPC.UNAVAILABLE, error.message)
  }

  gone(): void {
    const x = this.#exchange
    if (!this.#over || x !== null) {
      const decision = x === null ? 'passed' : x.error === null ? 'allowed' : 'denied'
      this.#parts.decided('ext_proc', decision, this.#parts.services.clock.monotonic() - this.#startedAt)
    }
    this.#over = true
    this.#begun?.onClientGone()
    // Without a status the endpoint was not reached, or its client left first: that says nothing of it.
    const outcome = this.#status === 0 || !this.#answerEnded ? 'neutral' : this.#status >= 500 ? 'failed' : 'ok'
    this.#choice?.end(outcome, this.#parts.services.clock.monotonic())
  }
}

const NO_CALL: Call = { abort() {}, pause() {}, resume() {} }
