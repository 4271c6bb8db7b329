import type { StreamHandler, StreamListener } from '../protocol/grpc/calls.ts'
import type { GatewayError } from '../core/errors.ts'
import type { ProcessingRequest, ProcessingResponse } from '../protocol/grpc/gen/ext_proc_pb.ts'
import type { ProcStream } from './ext-proc-reply.ts'
import type { PolicyParts } from './parts.ts'
import { OpenList, OpenMember } from '../core/open-list.ts'
import { GRPC } from '../protocol/grpc/status.ts'

/** What one stream of a proxy does; begun with its first message. */
export abstract class OpenStream extends OpenMember {
  abstract take(message: ProcessingRequest): void
  /** The proxy has nothing more to say. */
  abstract finish(): void
  /** The proxy reads again. */
  abstract drained(): void
  /** It is over, however it ended. Once. */
  abstract gone(): void
  /** The process ends before it does. */
  abstract fail(error: GatewayError): void
}

/** All streams of a worker's policy ports. */
export class OpenStreams {
  readonly #list = new OpenList<OpenStream>()
  open = 0

  add(stream: OpenStream): void {
    this.open++
    this.#list.add(stream)
  }

  remove(stream: OpenStream): void {
    this.open--
    this.#list.remove(stream)
  }

  failAll(error: GatewayError): void {
    for (const stream of this.#list.all()) stream.fail(error)
  }
}

export interface StreamParts extends PolicyParts {
  readonly streams: OpenStreams
}

interface StreamService {
  /** For metrics. */
  readonly name: string
  maxStreams(): number
  begin(stream: ProcStream): OpenStream
}

/** Takes streams while there is room and will; a refusal leaves the request to the filter's own fail mode. */
export function streamHandler(
  parts: StreamParts,
  service: StreamService,
): StreamHandler<ProcessingRequest, ProcessingResponse> {
  const { gate, streams } = parts
  return (stream) => {
    const closed = gate.refusal()
    const overload = closed === null ? gate.overload() : null
    const full = streams.open >= service.maxStreams()
    if (closed !== null || overload !== null || full) {
      parts.decided(service.name, 'unavailable', 0)
      const why = closed?.message ?? (full ? 'too many open streams' : `overloaded: ${overload}`)
      stream.fail(full ? GRPC.RESOURCE_EXHAUSTED : GRPC.UNAVAILABLE, why)
      return null
    }
    parts.inflight(1)
    const begun = service.begin(stream)
    streams.add(begun)
    return new Listener(parts, begun)
  }
}

class Listener implements StreamListener<ProcessingRequest> {
  readonly #parts: StreamParts
  readonly #stream: OpenStream

  constructor(parts: StreamParts, stream: OpenStream) {
    this.#parts = parts
    this.#stream = stream
  }

  onMessage(message: ProcessingRequest): void {
    this.#stream.take(message)
  }

  onEnd(): void {
    this.#stream.finish()
  }

  onDrain(): void {
    this.#stream.drained()
  }

  onGone(): void {
    this.#parts.streams.remove(this.#stream)
    this.#parts.inflight(-1)
    this.#stream.gone()
  }
}
