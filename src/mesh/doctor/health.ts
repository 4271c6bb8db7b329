import { create } from '@bufbuild/protobuf'
import type { ServiceError } from '@grpc/grpc-js'
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as Status,
  type HealthCheckResponse,
} from '../../protocol/grpc/gen/health_pb.ts'
import { systemClock } from '../../core/clock.ts'
import { grpcService } from '../../protocol/grpc/service.ts'

const SERVICE = grpcService('grpc.health.v1.Health', Health)

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(Status).map(([name, value]) => [value, name]))

export interface HealthOptions {
  /** `host:port`. */
  readonly address: string
  readonly tls: boolean
  /** PEM; null = the system's. */
  readonly ca: string | null
  /** Name in the certificate; left out = the host of `address`. */
  readonly serverName?: string | null
  /** '' = the server as a whole. */
  readonly service: string
  readonly patienceMs: number
}

/** `SERVING`, another state by its name, or the status with which the call failed (gRPC health checking). */
export async function health({
  address,
  tls,
  ca,
  serverName = null,
  service,
  patienceMs,
}: HealthOptions): Promise<string> {
  const grpc = await import('@grpc/grpc-js')
  const credentials = tls
    ? grpc.credentials.createSsl(ca === null ? null : Buffer.from(ca))
    : grpc.credentials.createInsecure()
  const client = new grpc.Client(address, credentials, {
    'grpc.enable_http_proxy': 0,
    ...(serverName === null ? {} : { 'grpc.ssl_target_name_override': serverName }),
  })
  const { path, requestSerialize, responseDeserialize } = SERVICE['check']!
  try {
    return await new Promise((resolve) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize as (bytes: Buffer) => HealthCheckResponse,
        create(HealthCheckRequestSchema, { service }),
        new grpc.Metadata(),
        { deadline: systemClock.now() + patienceMs },
        (error: ServiceError | null, answer?: HealthCheckResponse) => {
          if (error !== null) resolve(grpc.status[error.code] ?? 'failed')
          else resolve(NAMES.get(answer?.status ?? Status.UNKNOWN) ?? 'UNKNOWN')
        },
      )
    })
  } finally {
    client.close()
  }
}
