import type { handleServerStreamingCall, handleUnaryCall } from '@grpc/grpc-js'
import { create } from '@bufbuild/protobuf'
import {
  HealthCheckResponse_ServingStatus as Status,
  HealthCheckResponseSchema,
  type HealthCheckRequest,
  type HealthCheckResponse,
} from '../protocol/grpc/gen/health_pb.ts'
import { everyUnref } from '../core/every.ts'

const WATCH_MS = 1000

/** grpc.health.v1: whether this instance decides. known: names of services that are served here; '' is all of them. */
export function healthService(
  known: readonly string[],
  ready: () => boolean,
): {
  readonly check: handleUnaryCall<HealthCheckRequest, HealthCheckResponse>
  readonly watch: handleServerStreamingCall<HealthCheckRequest, HealthCheckResponse>
} {
  const names = new Set(['', ...known])
  const statusOf = (service: string): Status =>
    !names.has(service)
      ? Status.SERVICE_UNKNOWN
      : service === 'liveness' || ready()
        ? Status.SERVING
        : Status.NOT_SERVING
  return {
    check: (call, answer) => {
      const status = statusOf(call.request.service)
      // For a name that is not known a check fails, and only a watch says so (health.proto).
      if (status === Status.SERVICE_UNKNOWN)
        answer(Object.assign(new Error('no such service'), { code: 5, details: 'no such service' }))
      else answer(null, create(HealthCheckResponseSchema, { status }))
    },
    watch: (call) => {
      let last: Status | null = null
      const tell = (): void => {
        const status = statusOf(call.request.service)
        if (status === last) return
        last = status
        call.write(create(HealthCheckResponseSchema, { status }))
      }
      tell()
      const stop = everyUnref(tell, WATCH_MS)
      call.on('cancelled', () => {
        stop()
        call.end()
      })
      call.on('close', stop)
    },
  }
}
