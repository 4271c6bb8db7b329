import type { MappedDialect, MappingConfig } from '../contracts/config-mapping.ts'
import { kserveGrpc } from '../protocol/kserve/grpc.ts'
import { tensorflowGrpc } from '../protocol/tensorflow/grpc.ts'
import { GrpcUpstream, type GrpcUpstreamOptions } from './grpc-upstream.ts'

interface Served {
  readonly wire: MappedDialect
  readonly mapping: MappingConfig
  readonly maxAnswer: number
  readonly deadlineMs: number
}

/** A model server that is called by gRPC. Loaded when a configuration has one, with the messages that it speaks. */
export function grpcUpstream(
  options: Pick<GrpcUpstreamOptions, 'origin' | 'tls' | 'connectTimeoutMs' | 'clear'>,
  { wire, mapping, maxAnswer, deadlineMs }: Served,
): GrpcUpstream {
  const codec = wire === 'tensorflow.predict' ? tensorflowGrpc(mapping) : kserveGrpc
  return new GrpcUpstream({ ...options, codec, maxAnswer, deadlineMs })
}
