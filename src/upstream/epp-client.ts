/**
 * Asks the endpoint picker of an InferencePool (Gateway API Inference Extension, proposal 004, protocol 1.0): ext_proc in
 * full duplex, headers and body to it; which endpoint, and perhaps another body, back. One stream a call, one channel for all.
 */
import { create } from '@bufbuild/protobuf'
import type * as Grpc from '@grpc/grpc-js'
import type { Client, ClientDuplexStream } from '@grpc/grpc-js'
import type { EppConfig } from '../contracts/config-cluster.ts'
import type { PickHints, PickOptions, RemotePicked, RemotePicker } from '../contracts/cluster.ts'
import { GatewayError } from '../core/errors.ts'
import { everyUnref } from '../core/every.ts'
import {
  ExternalProcessor,
  ProcessingRequestSchema,
  type ProcessingRequest,
  type ProcessingResponse,
} from '../protocol/grpc/gen/ext_proc_pb.ts'
import { grpcService } from '../protocol/grpc/service.ts'
import { EppAnswer } from './epp-answer.ts'
import { DESTINATION, headersFor, SERVED, SUBSET, SUBSET_SPACE } from './epp-headers.ts'

type Stream = ClientDuplexStream<ProcessingRequest, ProcessingResponse>

const PROCESS = grpcService('envoy.service.ext_proc.v3.ExternalProcessor', ExternalProcessor)['process']!
const FULL_DUPLEX_STREAMED = 4
/** As Envoy cuts bodies, bytes. */
const CHUNK = 64 * 1024
const MAX_MESSAGE = 8 * 1024 * 1024
/** A picker that has been told who served the call gets this long to end the stream. */
const LINGER_MS = 1000
const KEEPALIVE_MS = 30_000

const message = (init: Parameters<typeof create<typeof ProcessingRequestSchema>>[1]): ProcessingRequest =>
  create(ProcessingRequestSchema, init)

/** It could not be asked, or not in time. */
class Unasked extends Error {}

class EppClient implements RemotePicker {
  readonly #config: EppConfig
  readonly #client: Client

  constructor(grpc: typeof Grpc, config: EppConfig) {
    this.#config = config
    const { address, tls, ca, serverName } = config
    const credentials = tls
      ? grpc.credentials.createSsl(ca === null ? null : Buffer.from(ca))
      : grpc.credentials.createInsecure()
    this.#client = new grpc.Client(address, credentials, {
      'grpc.max_receive_message_length': MAX_MESSAGE,
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2000,
      'grpc.enable_retries': 0,
      ...(serverName === null
        ? {}
        : { 'grpc.ssl_target_name_override': serverName, 'grpc.default_authority': serverName }),
    })
  }

  async pick(hints: PickHints, headers: readonly string[], { subset }: PickOptions): Promise<RemotePicked> {
    const { address, failureMode } = this.#config
    const stream = this.#client.makeBidiStreamRequest(
      PROCESS.path,
      PROCESS.requestSerialize,
      PROCESS.responseDeserialize,
    ) as Stream
    try {
      const answer = await this.#ask(stream, hints, headers, subset ?? null)
      // Who is called gets the key of the provider: only members of the cluster do.
      const addresses = subset == null ? answer.addresses : answer.addresses.filter((address) => subset.has(address))
      if (addresses.length === 0) throw new Unasked('it named no endpoint of the cluster')
      return {
        addresses,
        headers: answer.headers,
        body: answer.bodyInPlaceOf(hints.body),
        served: (served, status) => finish(stream, served, status),
      }
    } catch (error) {
      stream.cancel()
      if (!(error instanceof Unasked)) throw error
      if (failureMode === 'open') return { addresses: [], headers: [], body: null, served: () => {} }
      throw new GatewayError('upstream_unavailable', 'The endpoint picker of the model cannot be asked now.', {
        detail: `endpoint picker ${address}: ${error.message}`,
        retryAfterMs: 1000,
      })
    }
  }

  /** Rejects with Unasked, or with what the picker says in the call's place. */
  #ask(
    stream: Stream,
    hints: PickHints,
    headers: readonly string[],
    subset: ReadonlySet<string> | null,
  ): Promise<EppAnswer> {
    const { timeoutMs } = this.#config
    const answer = new EppAnswer()
    let over = false
    return new Promise<EppAnswer>((resolve, reject) => {
      const stop = everyUnref(() => reject(new Unasked(`no answer within ${timeoutMs} ms`)), timeoutMs)
      const settle = (end: () => void): void => {
        over = true
        stop()
        end()
      }
      stream.on('data', (response: ProcessingResponse) => {
        try {
          if (over || !answer.take(response)) return
          settle(() => resolve(answer))
        } catch (error) {
          settle(() => reject(error))
        }
      })
      // For as long as the stream lives: what comes after the answer has no listener to hurt.
      stream.on('error', (error: Grpc.ServiceError) => settle(() => reject(new Unasked(`gRPC status ${error.code}`))))
      stream.on('end', () => settle(() => reject(new Unasked('it ended without naming an endpoint'))))
      send(stream, hints, headers, subset)
    })
  }

  close(): void {
    this.#client.close()
  }
}

function send(stream: Stream, hints: PickHints, headers: readonly string[], subset: ReadonlySet<string> | null): void {
  const body = hints.body ?? Buffer.alloc(0)
  stream.write(
    message({
      request: {
        case: 'requestHeaders',
        value: { headers: { headers: headersFor(hints, headers) }, endOfStream: body.length === 0 },
      },
      protocolConfig: { requestBodyMode: FULL_DUPLEX_STREAMED, responseBodyMode: FULL_DUPLEX_STREAMED },
      ...(subset === null || subset.size === 0
        ? {}
        : { metadataContext: { filterMetadata: { [SUBSET_SPACE]: { [SUBSET]: [...subset] } } } }),
    }),
  )
  for (let at = 0; at < body.length; at += CHUNK) {
    const end = Math.min(body.length, at + CHUNK)
    const value = { body: body.subarray(at, end), endOfStream: end === body.length }
    stream.write(message({ request: { case: 'requestBody', value } }))
  }
}

/** Tells it who has answered, and how; then the stream ends. */
function finish(stream: Stream, served: string, status: number): void {
  if (served === '') {
    stream.cancel()
    return
  }
  const pseudo = { key: ':status', rawValue: Buffer.from(String(status)) }
  stream.write(
    message({
      request: { case: 'responseHeaders', value: { headers: { headers: [pseudo] }, endOfStream: true } },
      metadataContext: { filterMetadata: { 'envoy.lb': { [SERVED]: served, [DESTINATION]: served } } },
    }),
  )
  stream.end()
  const stop = everyUnref(() => stream.cancel(), LINGER_MS)
  stream.on('close', stop)
  stream.on('end', stop)
  stream.on('error', stop)
}

/** Loads grpc-js. The channel connects with the first call. */
export async function createEppClient(config: EppConfig): Promise<RemotePicker> {
  return new EppClient(await import('@grpc/grpc-js'), config)
}
