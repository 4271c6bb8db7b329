import { create } from '@bufbuild/protobuf'
import type { StreamCall, StreamListener, StreamHandler, UnaryHandler } from '../protocol/grpc/calls.ts'
import {
  HealthCheckResponse_ServingStatus as Status,
  HealthCheckResponseSchema,
  type HealthCheckRequest,
  type HealthCheckResponse,
} from '../protocol/grpc/gen/health_pb.ts'
import { everyUnref } from '../core/every.ts'
import { GRPC } from '../protocol/grpc/status.ts'

const WATCH_MS = 1000

/** grpc.health.v1: whether this instance decides. known: names of services that are served here; '' is all of them. */
export function healthService(
  known: readonly string[],
  ready: () => boolean,
): {
  readonly check: UnaryHandler<HealthCheckRequest, HealthCheckResponse>
  readonly watch: StreamHandler<HealthCheckRequest, HealthCheckResponse>
} {
  const names = new Set(['', ...known])
  const statusOf = (service: string): Status =>
    !names.has(service)
      ? Status.SERVICE_UNKNOWN
      : service === 'liveness' || ready()
        ? Status.SERVING
        : Status.NOT_SERVING
  return {
    check: (call, { service }) => {
      const status = statusOf(service)
      // For a name that is not known a check fails, and only a watch says so (health.proto).
      if (status === Status.SERVICE_UNKNOWN) call.fail(GRPC.NOT_FOUND, 'no such service')
      else call.answer(create(HealthCheckResponseSchema, { status }))
    },
    watch: (call) => new Watch(call, statusOf),
  }
}

/** Tells how it stands, and then each change. */
class Watch implements StreamListener<HealthCheckRequest> {
  readonly #call: StreamCall<HealthCheckResponse>
  readonly #statusOf: (service: string) => Status
  #last: Status | null = null
  #stop: (() => void) | null = null

  constructor(call: StreamCall<HealthCheckResponse>, statusOf: (service: string) => Status) {
    this.#call = call
    this.#statusOf = statusOf
  }

  onMessage({ service }: HealthCheckRequest): void {
    const tell = (): void => {
      const status = this.#statusOf(service)
      if (status === this.#last) return
      this.#last = status
      this.#call.write(create(HealthCheckResponseSchema, { status }))
    }
    tell()
    this.#stop = everyUnref(tell, WATCH_MS)
  }

  onEnd(): void {}
  onDrain(): void {}

  onGone(): void {
    this.#stop?.()
  }
}
