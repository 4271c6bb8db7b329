/** An xDS control plane for tests: ADS, state of the world; tells what it wants when it wants and notes what is answered. */
import { create, toBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf'
import { AnySchema, type Any } from '@bufbuild/protobuf/wkt'
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import {
  AggregatedDiscoveryService,
  DiscoveryResponseSchema,
  type DiscoveryRequest,
  type DiscoveryResponse,
} from '../../src/protocol/grpc/gen/xds_pb.ts'
import { grpcService } from '../../src/protocol/grpc/service.ts'

type Stream = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>

export const anyOf = <T extends DescMessage>(typeUrl: string, schema: T, message: MessageShape<T>): Any =>
  create(AnySchema, { typeUrl, value: toBinary(schema, message) })

export class ControlPlane {
  readonly requests: DiscoveryRequest[] = []
  readonly #resources = new Map<string, { readonly version: string; readonly resources: readonly Any[] }>()
  readonly #streams = new Set<Stream>()
  #server: Server | null = null
  #port = 0
  #nonce = 0
  streams = 0

  static async start(): Promise<ControlPlane> {
    const plane = new ControlPlane()
    await plane.start()
    return plane
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  async start(): Promise<void> {
    const server = new Server()
    server.addService(
      grpcService('envoy.service.discovery.v3.AggregatedDiscoveryService', AggregatedDiscoveryService),
      { streamAggregatedResources: (stream: Stream) => this.#serve(stream) },
    )
    this.#port = await new Promise((resolve, reject) =>
      server.bindAsync(`127.0.0.1:${this.#port}`, ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    )
    this.#server = server
  }

  stop(): void {
    this.#server?.forceShutdown()
    this.#server = null
    this.#streams.clear()
  }

  /** From now on this is what there is of a type. */
  set(typeUrl: string, version: string, resources: readonly Any[]): void {
    this.#resources.set(typeUrl, { version, resources })
    for (const stream of this.#streams) this.#send(stream, typeUrl)
  }

  #send(stream: Stream, typeUrl: string): void {
    const known = this.#resources.get(typeUrl)
    if (known === undefined) return
    const { version: versionInfo, resources } = known
    const nonce = String(++this.#nonce)
    stream.write(create(DiscoveryResponseSchema, { typeUrl, versionInfo, nonce, resources: [...resources] }))
  }

  #serve(stream: Stream): void {
    this.streams++
    this.#streams.add(stream)
    stream.on('data', (request: DiscoveryRequest) => {
      this.requests.push(request)
      // An acknowledgement, or a refusal, of what was sent is no question.
      const known = this.#resources.get(request.typeUrl)
      const answered = request.versionInfo === known?.version || request.errorDetail !== undefined
      if (!answered) this.#send(stream, request.typeUrl)
    })
    stream.on('end', () => stream.end())
    stream.on('close', () => this.#streams.delete(stream))
    stream.on('error', () => this.#streams.delete(stream))
  }
}
