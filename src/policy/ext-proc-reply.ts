import { create, type JsonObject, type MessageInitShape } from '@bufbuild/protobuf'
import type { ClientSide, HeaderList, ReplyWriter } from '../contracts/http.ts'
import type { StreamCall } from '../protocol/grpc/calls.ts'
import { GRPC } from '../protocol/grpc/status.ts'
import {
  CommonResponse_ResponseStatus,
  ProcessingResponseSchema,
  type ProcessingResponse,
} from '../protocol/grpc/gen/ext_proc_pb.ts'
import { bytesOf, findHeader, headerOptions, namesOf } from './headers.ts'

export type ProcStream = StreamCall<ProcessingResponse>
type ResponseInit = MessageInitShape<typeof ProcessingResponseSchema>

/** Longest part of a body in one message: Envoy's own (64 KiB). */
const MAX_PART = 64 * 1024

/** Of the backend's answer, what the proxies on the way have written for themselves. */
const OF_PROXIES = /^(?::|x-envoy-|date$|server$|via$)/

/** Parts of a body as messages take them; one empty part of an empty body. */
export function* partsOf(body: Buffer): Generator<Buffer> {
  if (body.length <= MAX_PART) {
    yield body
    return
  }
  for (let at = 0; at < body.length; at += MAX_PART) yield body.subarray(at, at + MAX_PART)
}

/** The answer's side of one external-processing stream: what Envoy sends its client. */
export class ProcReply implements ReplyWriter {
  readonly #stream: ProcStream
  /** Numbers and names for the last message; asked when the answer is complete and counted. */
  readonly #metadata: () => JsonObject
  #ended = false
  #headSent = false
  #status = 0
  #headers: HeaderList = []
  /** The backend's head, while an answer to it is owed; null = the backend has not answered. */
  answerTo: HeaderList | null = null
  /** Told when the proxy reads again. */
  client: ClientSide | null = null
  /** The proxy has announced trailers: they end the answer. */
  trailersOwed = false
  /** The backend's answer is all head: what else is to be said must go with it. */
  bodyless = false

  constructor(stream: ProcStream, metadata: () => JsonObject) {
    this.#stream = stream
    this.#metadata = metadata
  }

  /** The end of the stream is on its way. */
  get closes(): boolean {
    return this.#ended
  }

  get open(): boolean {
    return !this.#ended && !this.#stream.cancelled
  }

  #send(response: ResponseInit): boolean {
    return this.#stream.write(create(ProcessingResponseSchema, response))
  }

  send(status: number, headers: HeaderList, body: Buffer | string): void {
    if (!this.open) return
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    // A good answer to what the backend said goes the way that it came; all else takes its place.
    if (this.answerTo !== null && status === 200 && !this.bodyless) {
      this.head(status, headers)
      this.end(bytes)
      return
    }
    this.#ended = true
    this.#sendImmediate(status, headers, bytes)
  }

  #sendImmediate(status: number, headers: HeaderList, body: Buffer): void {
    const code = status < 400 ? 'answered' : codeOf(body)
    this.#send({
      response: {
        case: 'immediateResponse',
        value: {
          status: { code: status },
          headers: { setHeaders: headerOptions(headers, 'bytes') },
          body,
          details: `heddle_${code}`,
        },
      },
      dynamicMetadata: this.#metadata(),
    })
    this.#stream.end()
  }

  head(status: number, headers: HeaderList): void {
    this.#status = status
    this.#headers = headers
  }

  flush(): void {
    if (this.open && !this.bodyless) this.#sendHead()
  }

  #sendHead(dynamicMetadata?: JsonObject): void {
    if (this.#headSent) return
    this.#headSent = true
    const given = this.answerTo
    if (given === null) {
      const headers = [':status', String(this.#status), ...this.#headers]
      const list = []
      for (let i = 0; i < headers.length; i += 2) list.push({ key: headers[i]!, rawValue: bytesOf(headers[i + 1]!) })
      this.#send({
        response: {
          case: 'streamedImmediateResponse',
          value: { response: { case: 'headersResponse', value: { headers: { headers: list } } } },
        },
      })
      return
    }
    const own = namesOf(this.#headers)
    const gone = [...namesOf(given)].filter((name) => !own.has(name) && !OF_PROXIES.test(name))
    const status = String(this.#status)
    const changed = findHeader(given, ':status') === status ? [] : [':status', status]
    this.#send({
      response: {
        case: 'responseHeaders',
        value: {
          response: {
            status: CommonResponse_ResponseStatus.CONTINUE,
            headerMutation: { setHeaders: headerOptions([...changed, ...this.#headers], 'bytes'), removeHeaders: gone },
          },
        },
      },
      ...(dynamicMetadata === undefined ? {} : { dynamicMetadata }),
    })
  }

  #sendPart(body: Buffer, endOfStream: boolean, dynamicMetadata?: JsonObject): boolean {
    const part = { body, endOfStream }
    const response: ResponseInit['response'] =
      this.answerTo === null
        ? { case: 'streamedImmediateResponse', value: { response: { case: 'bodyResponse', value: part } } }
        : {
            case: 'responseBody',
            value: { response: { bodyMutation: { mutation: { case: 'streamedResponse', value: part } } } },
          }
    return this.#send(dynamicMetadata === undefined ? { response } : { response, dynamicMetadata })
  }

  write(chunk: Buffer | string): boolean {
    if (!this.open) return true
    this.#sendHead()
    let taken = true
    for (const part of partsOf(typeof chunk === 'string' ? Buffer.from(chunk) : chunk))
      taken = this.#sendPart(part, false)
    return taken
  }

  end(chunk?: Buffer | string): void {
    if (!this.open) return
    if (!this.bodyless) this.#sendHead()
    this.#ended = true
    const parts = chunk === undefined ? [] : [...partsOf(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)]
    const last = parts.pop() ?? Buffer.alloc(0)
    for (const part of parts) this.#sendPart(part, false)
    // What the answer has used is counted right after it: the last message tells.
    queueMicrotask(() => this.#finish(last))
  }

  #finish(last: Buffer): void {
    if (this.#stream.cancelled) return
    const metadata = this.#metadata()
    if (this.bodyless) this.#sendHead(metadata)
    else if (!this.trailersOwed) this.#sendPart(last, true, metadata)
    else {
      this.#sendPart(last, false)
      this.#send({ response: { case: 'responseTrailers', value: {} }, dynamicMetadata: metadata })
    }
    this.#stream.end()
  }

  /** The proxy ends its client's connection: what came is not all. */
  destroy(): void {
    if (this.#ended) return
    this.#ended = true
    this.#stream.fail(GRPC.INTERNAL, 'the answer broke off')
  }
}

/** Code of an error envelope, for the proxy's log. */
function codeOf(body: Buffer): string {
  const found = /"code":"([a-z_]{1,60})"/.exec(body.toString('latin1', 0, 2048))
  return found?.[1] ?? 'error'
}
