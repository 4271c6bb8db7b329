import { create } from '@bufbuild/protobuf'
import type * as Grpc from '@grpc/grpc-js'
import type { Client, ClientDuplexStream } from '@grpc/grpc-js'
import type { Discovery } from '../../contracts/cluster.ts'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'
import { everyUnref } from '../../core/every.ts'
import { NodeSchema, StatusSchema } from '../../protocol/grpc/gen/core_pb.ts'
import {
  AggregatedDiscoveryService,
  DiscoveryRequestSchema,
  type ClusterLoadAssignment,
  type DiscoveryRequest,
  type DiscoveryResponse,
} from '../../protocol/grpc/gen/xds_pb.ts'
import { grpcService } from '../../protocol/grpc/service.ts'
import { DiscoveryFault, later, Loop, type DiscoveryParts, type FaultReason, type Told } from './parts.ts'
import { CDS, EDS, readAssignments, readClusters, readEndpoints, serviceOf } from './xds-read.ts'

type XdsConfig = Extract<DiscoveryConfig, { type: 'xds' }>
type Stream = ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>

/** One answer: control planes that ignore the names that are asked for send every cluster they know. */
const MAX_BYTES = 16 * 1024 * 1024
/** As long as Envoy waits for a resource at first (initial_fetch_timeout), ms. */
const FIRST_MS = 15_000
const KEEPALIVE_MS = 60_000
const ALIVE_MS = 15_000
const INVALID_ARGUMENT = 3

/** gRPC's status codes. */
const REASONS: Readonly<Record<number, FaultReason>> = {
  4: 'timeout',
  5: 'not_found',
  7: 'denied',
  8: 'too_large',
  13: 'invalid',
  14: 'unreachable',
  16: 'denied',
}

/**
 * CDS and EDS of one cluster over an aggregated stream, state of the world (xDS protocol, "The xDS transport protocol").
 * What is known and its versions outlive the stream.
 */
export class XdsDiscovery implements Discovery {
  readonly #config: XdsConfig
  readonly #parts: DiscoveryParts
  /** By type: what was last taken over. */
  readonly #versions = new Map<string, string>()
  /** Of the stream that is open. */
  #nonces = new Map<string, string>()
  /** What EDS is asked for; null = nothing. */
  #service: string | null = null
  #client: Client | null = null
  /** Ends the wait for what was asked for first. */
  #arrived = (): void => {}
  #loop: Loop | null = null

  constructor(config: XdsConfig, parts: DiscoveryParts) {
    this.#config = config
    this.#parts = parts
  }

  start(on: Told): void {
    this.#loop = new Loop(this.#parts, on, async (signal) => {
      const grpc = await import('@grpc/grpc-js')
      if (signal.aborted) return 0
      await this.#follow(this.#open(grpc), on, signal)
      throw new DiscoveryFault('unreachable', `${this.#config.server}: the stream has ended`)
    })
  }

  close(): void {
    this.#loop?.close()
    this.#client?.close()
  }

  #open(grpc: typeof Grpc): Stream {
    const { server, tls, ca } = this.#config
    this.#client ??= new grpc.Client(
      server,
      tls ? grpc.credentials.createSsl(ca === null ? null : Buffer.from(ca)) : grpc.credentials.createInsecure(),
      {
        'grpc.max_receive_message_length': MAX_BYTES,
        'grpc.keepalive_time_ms': KEEPALIVE_MS,
        'grpc.initial_reconnect_backoff_ms': 200,
        'grpc.max_reconnect_backoff_ms': 5000,
        'grpc.enable_retries': 0,
      },
    )
    const methods = grpcService('envoy.service.discovery.v3.AggregatedDiscoveryService', AggregatedDiscoveryService)
    const { path, requestSerialize, responseDeserialize } = methods['streamAggregatedResources']!
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize) as Stream
  }

  /** Until the stream ends; rejects when it fails. */
  #follow(stream: Stream, on: Told, signal: AbortSignal): Promise<void> {
    this.#nonces = new Map()
    const cancel = (): void => stream.cancel()
    signal.addEventListener('abort', cancel, { once: true })
    // A server that has nothing newer than what is known says nothing at all.
    const known = this.#versions.has(CDS) && (this.#service === null || this.#versions.has(EDS))
    let heard = known
    // The transport's own pings tell whether anybody is there while nothing changes.
    const stop = everyUnref(() => {
      if (heard && Number(this.#client?.getChannel().getConnectivityState(false)) === READY) on.alive()
    }, ALIVE_MS)
    const done = new Promise<void>((resolve, reject) => {
      stream.on('data', (response: DiscoveryResponse) => {
        heard = true
        this.#take(stream, response, on)
      })
      stream.on('end', resolve)
      stream.on('error', (error: Grpc.ServiceError) => {
        const detail = `${this.#config.server}: gRPC status ${error.code}`
        reject(this.#late ?? new DiscoveryFault(REASONS[error.code] ?? 'failed', detail))
      })
    })
    this.#late = null
    if (!known) this.#expect(stream, 'the cluster')
    this.#ask(stream, CDS, [this.#config.cluster])
    if (this.#service !== null) this.#ask(stream, EDS, [this.#service])
    return done.finally(() => {
      stop()
      this.#arrived()
      signal.removeEventListener('abort', cancel)
      stream.cancel()
    })
  }

  /** Why the stream was given up. */
  #late: DiscoveryFault | null = null

  /** What does not come in time is asked for anew. */
  #expect(stream: Stream, what: string): void {
    this.#arrived()
    this.#arrived = later(() => {
      this.#late = new DiscoveryFault('not_found', `${this.#config.server}: nothing came of ${what}`)
      stream.cancel()
    }, FIRST_MS)
  }

  /** Also the answer to an answer: with the version that is in use, and what is wrong with the one that is refused. */
  #ask(stream: Stream, typeUrl: string, resourceNames: readonly string[], refusal: DiscoveryFault | null = null): void {
    const { nodeId, nodeCluster } = this.#config
    // Said once; the server keeps it for the stream.
    const node =
      this.#nonces.size > 0 || typeUrl !== CDS
        ? {}
        : {
            node: create(NodeSchema, {
              id: nodeId,
              cluster: nodeCluster,
              userAgentName: 'heddle',
              userAgentVersion: this.#parts.version,
            }),
          }
    const detail =
      refusal === null
        ? {}
        : { errorDetail: create(StatusSchema, { code: INVALID_ARGUMENT, message: refusal.message }) }
    stream.write(
      create(DiscoveryRequestSchema, {
        typeUrl,
        resourceNames: [...resourceNames],
        versionInfo: this.#versions.get(typeUrl) ?? '',
        responseNonce: this.#nonces.get(typeUrl) ?? '',
        ...node,
        ...detail,
      }),
    )
  }

  #take(stream: Stream, response: DiscoveryResponse, on: Told): void {
    const { typeUrl, nonce, versionInfo } = response
    if (typeUrl !== CDS && typeUrl !== EDS) return
    this.#nonces.set(typeUrl, nonce)
    const names = (): readonly string[] =>
      typeUrl === CDS ? [this.#config.cluster] : this.#service === null ? [] : [this.#service]
    try {
      const before = this.#service
      const apply = typeUrl === CDS ? this.#readCluster(response, on) : this.#readAssignment(response, on)
      this.#versions.set(typeUrl, versionInfo)
      this.#ask(stream, typeUrl, names())
      apply()
      if (this.#service === before && (typeUrl === EDS || before !== null)) return
      this.#arrived()
      if (this.#service === null) return
      this.#expect(stream, 'the endpoints')
      this.#ask(stream, EDS, [this.#service])
    } catch (error) {
      if (!(error instanceof DiscoveryFault)) throw error
      this.#ask(stream, typeUrl, names(), error)
      on.error(error.reason, error.message)
    }
  }

  /** Throws before anything has changed; what it returns makes the change. */
  #readCluster({ resources }: DiscoveryResponse, on: Told): () => void {
    const cluster = readClusters(resources).find(({ name }) => name === this.#config.cluster)
    // State of the world: a cluster that is not in the answer is not there.
    if (cluster === undefined)
      return () => {
        this.#service = null
        this.#versions.delete(EDS)
        on.endpoints([])
      }
    const service = serviceOf(cluster)
    return () => {
      // Endpoints of another service are another state: the version of the old one says nothing.
      if (service !== this.#service) this.#versions.delete(EDS)
      this.#service = service
      if (service === null) this.#tell(cluster.loadAssignment!, on)
      else on.alive()
    }
  }

  #readAssignment({ resources }: DiscoveryResponse, on: Told): () => void {
    const assignment = readAssignments(resources).find(({ clusterName }) => clusterName === this.#service)
    // Unlike clusters, endpoints that are not in an answer have not changed.
    if (assignment === undefined) return () => on.alive()
    return () => {
      this.#arrived()
      this.#tell(assignment, on)
    }
  }

  #tell(assignment: ClusterLoadAssignment, on: Told): void {
    const { endpoints, skipped } = readEndpoints(assignment)
    if (endpoints.length === 0 && skipped > 0)
      return on.error('invalid', `none of ${skipped} endpoints has a usable address`)
    on.endpoints(endpoints)
    if (skipped > 0) on.skipped('invalid', `${skipped} endpoints without a usable address`)
  }
}

/** connectivityState.READY of grpc-js, which is loaded only when it is used. */
const READY = 2
