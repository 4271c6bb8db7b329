import { create } from '@bufbuild/protobuf'
import type { PickHints, Picker } from '../contracts/cluster.ts'
import type { HeaderList } from '../contracts/http.ts'
import type { StreamHandler } from '../protocol/grpc/calls.ts'
import type { Metadata } from '../protocol/grpc/gen/core_pb.ts'
import { GatewayError } from '../core/errors.ts'
import { requestId } from '../core/ids.ts'
import { GRPC } from '../protocol/grpc/status.ts'
import { errorHeaders, errorJson } from '../protocol/openai/errors.ts'
import { readRequest, rewriteRequest, type RequestFields } from '../protocol/openai/request.ts'
import {
  BodySendMode,
  ProcessingResponseSchema,
  type HttpBody,
  type HttpHeaders,
  type ProcessingRequest,
  type ProcessingResponse,
} from '../protocol/grpc/gen/ext_proc_pb.ts'
import { EndpointChoice, subsetOf } from './endpoint.ts'
import { callBody } from './ext-proc-call.ts'
import type { ProcStream } from './ext-proc-reply.ts'
import { findHeader, headerOptions, listOf } from './headers.ts'
import { Meter } from './meter.ts'
import { OpenStream, streamHandler, type StreamParts } from './streams.ts'
import { tooLarge } from './received.ts'

/** Names of the router that llm-d has made of the extension, then those before it: both are understood. */
const REWRITE = ['x-llm-d-model-name-rewrite', 'x-gateway-model-name-rewrite'] as const
const OBJECTIVE = ['x-llm-d-inference-objective', 'x-gateway-inference-objective'] as const
const SESSION = ['x-session-id', 'x-session-token'] as const
const DROPPED = 'x-llm-d-request-dropped-reason'

export interface PickerParts extends StreamParts {
  /** Of the configuration that serves now; null = it has no such provider, or one without discovery. */
  picker(): Picker | null
  /** < 0: requests of that objective may be refused when all endpoints are saturated. */
  priorityOf(objective: string): number
  maxStreams(): number
}

/** Endpoint picking for inference gateways (Gateway API Inference Extension): nothing but where a request should go. */
export function pickHandler(parts: PickerParts): StreamHandler<ProcessingRequest, ProcessingResponse> {
  return streamHandler(parts, {
    name: 'epp',
    maxStreams: () => parts.maxStreams(),
    begin: (stream) => new Picking(parts, stream),
  })
}

class Picking extends OpenStream {
  readonly #parts: PickerParts
  readonly #stream: ProcStream
  readonly #startedAt: number
  #head: HeaderList | null = null
  #subset: ReadonlySet<string> | null = null
  #body: Buffer[] = []
  #bodyBytes = 0
  #trailers = false
  #decided = false
  #choice: EndpointChoice | null = null
  #meter: Meter | null = null
  #status = 0
  #answerEnded = false
  #over = false

  constructor(parts: PickerParts, stream: ProcStream) {
    super()
    this.#parts = parts
    this.#stream = stream
    this.#startedAt = parts.services.clock.monotonic()
  }

  take(message: ProcessingRequest): void {
    if (this.#over) return
    try {
      this.#take(message)
    } catch (error) {
      if (this.#decided) {
        this.#over = true
        this.#stream.fail(GRPC.INTERNAL, 'the message could not be handled')
      } else this.#refuse(GatewayError.from(error))
    }
  }

  #take(message: ProcessingRequest): void {
    const { request, metadataContext, protocolConfig } = message
    switch (request.case) {
      case 'requestHeaders':
        this.#takeHead(request.value, metadataContext)
        return
      case 'requestBody':
        this.#takeBody(request.value)
        return
      case 'requestTrailers':
        this.#trailers = true
        this.#decide()
        return
      case 'responseHeaders':
        this.#takeAnswer(request.value, message, protocolConfig?.responseBodyMode)
        return
      case 'responseBody':
        if (request.value.endOfStream) this.#answerEnded = true
        this.#meter?.body(request.value)
        return
      case 'responseTrailers':
        this.#answerEnded = true
        this.#meter?.trailers()
        return
      case undefined:
        throw new GatewayError('invalid_request', 'a message without a part of a request')
    }
  }

  #takeHead({ headers, endOfStream }: HttpHeaders, metadata: Metadata | undefined): void {
    this.#head = listOf(headers)
    this.#subset = subsetOf(metadata)
    if (endOfStream) this.#decide()
  }

  #takeBody({ body, endOfStream }: HttpBody): void {
    if (this.#decided) return
    if (body.length > 0) this.#body.push(Buffer.from(body.buffer, body.byteOffset, body.byteLength))
    this.#bodyBytes += body.length
    const { limits } = this.#parts.services
    if (this.#bodyBytes > limits.body) this.#refuse(tooLarge(limits.body))
    else if (endOfStream) this.#decide()
  }

  #first(names: readonly string[]): string {
    for (const name of names) {
      const value = findHeader(this.#head ?? [], name)
      if (value !== undefined) return value
    }
    return ''
  }

  #decide(): void {
    if (this.#decided) return
    const picker = this.#parts.picker()
    if (picker === null) throw new GatewayError('upstream_unavailable', 'This picker has no endpoints to choose from.')
    const body = this.#body.length === 1 ? this.#body[0]! : Buffer.concat(this.#body)
    this.#body = []
    const fields = this.#fieldsOf(body)
    const model = this.#first(REWRITE)
    const sent = model === '' || fields === null ? body : withModel(fields, model)
    const hints: PickHints = {
      model: model === '' ? (fields?.model ?? '') : model,
      body: sent.length === 0 ? null : sent,
      promptTokens: fields?.promptTokens ?? 0,
      session: this.#first(SESSION),
      priority: this.#parts.priorityOf(this.#first(OBJECTIVE)),
    }
    const { clock } = this.#parts.services
    this.#choice = new EndpointChoice(picker, hints, this.#subset, clock.monotonic())
    this.#decided = true
    this.#sendChoice(this.#choice, sent)
    this.#parts.decided('epp', 'allowed', clock.monotonic() - this.#startedAt)
  }

  /** What cannot be read is no reason to refuse: the backend judges it. */
  #fieldsOf(body: Buffer): RequestFields | null {
    if (body.length === 0) return null
    const { jsonDepth, jsonKeys } = this.#parts.services.limits
    try {
      return readRequest('passthrough', body, { depth: jsonDepth, keys: jsonKeys })
    } catch {
      return null
    }
  }

  #sendChoice(choice: EndpointChoice, body: Buffer): void {
    const headerMutation = { setHeaders: headerOptions(choice.header, 'bytes') }
    this.#write({
      response: { case: 'requestHeaders', value: { response: { headerMutation, clearRouteCache: true } } },
      dynamicMetadata: choice.metadata,
    })
    if (this.#bodyBytes > 0 || this.#trailers) for (const part of callBody(body, this.#trailers)) this.#write(part)
  }

  #takeAnswer({ headers, endOfStream }: HttpHeaders, message: ProcessingRequest, mode: BodySendMode | undefined): void {
    const list = listOf(headers)
    this.#status = Number(findHeader(list, ':status') ?? 0)
    this.#choice?.answered(list, message, this.#parts.services.clock.monotonic())
    this.#meter = new Meter(this.#stream, list, mode ?? BodySendMode.FULL_DUPLEX_STREAMED)
    if (endOfStream) this.#answerEnded = true
    this.#meter.head(endOfStream)
  }

  /** 503 = no endpoint may be picked, 429 = the request was dropped (protocol 1.0). */
  #refuse(error: GatewayError): void {
    this.#over = true
    this.#decided = true
    const shed = error.code === 'overloaded'
    const id = requestId(undefined)
    const headers = ['content-type', 'application/json', 'x-request-id', id, ...errorHeaders(error)]
    if (shed) headers.push(DROPPED, 'saturated')
    this.#write({
      response: {
        case: 'immediateResponse',
        value: {
          status: { code: shed ? 429 : error.status },
          headers: { setHeaders: headerOptions(headers, 'bytes') },
          body: Buffer.from(errorJson(error, id)),
          details: `heddle_${error.code}`,
        },
      },
    })
    this.#stream.end()
    this.#parts.decided('epp', 'denied', this.#parts.services.clock.monotonic() - this.#startedAt)
  }

  #write(response: Parameters<typeof create<typeof ProcessingResponseSchema>>[1]): void {
    this.#stream.write(create(ProcessingResponseSchema, response))
  }

  finish(): void {
    this.#stream.end()
  }

  drained(): void {}

  /** Its answer is passed on as it is: only the proxy can end it well. */
  fail(error: GatewayError): void {
    if (this.#decided) this.#stream.fail(GRPC.UNAVAILABLE, error.message)
    else this.#refuse(error)
  }

  gone(): void {
    this.#over = true
    // Without a status the endpoint was not reached, or its client left first: that says nothing of it.
    const outcome = this.#status === 0 || !this.#answerEnded ? 'neutral' : this.#status >= 500 ? 'failed' : 'ok'
    this.#choice?.end(outcome, this.#parts.services.clock.monotonic())
  }
}

const withModel = (fields: RequestFields, model: string): Buffer =>
  fields.modelStart < 0
    ? rewriteRequest(fields, { modelJson: null, includeUsage: false })
    : rewriteRequest(fields, { modelJson: Buffer.from(JSON.stringify(model)), includeUsage: false })
