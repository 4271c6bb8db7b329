// Istio's agent gives out certificates as Envoy asks for them: envoy.service.secret.v3, plaintext gRPC on a Unix socket
// (istio `security/pkg/nodeagent/sds`). One resource a stream, as Envoy does.
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf'
import type { ClientDuplexStream } from '@grpc/grpc-js'
import type { DataSource } from '../../protocol/grpc/gen/core_pb.ts'
import {
  DiscoveryRequestSchema,
  SecretDiscoveryService,
  SecretSchema,
  type DiscoveryRequest,
  type DiscoveryResponse,
  type Secret,
} from '../../protocol/grpc/gen/xds_pb.ts'
import { grpcService } from '../../protocol/grpc/service.ts'
import { certificatesOf, SvidFault, whyNot } from './material.ts'
import type { SourceHooks, StartSource } from './source.ts'
import { follow, type Following } from './stream.ts'

const SECRET = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
/** Names by which Istio gives out a workload's certificate, and the authorities of its mesh. */
const RESOURCES = ['default', 'ROOTCA'] as const
type Resource = (typeof RESOURCES)[number]

const SERVICE = grpcService('envoy.service.secret.v3.SecretDiscoveryService', SecretDiscoveryService)
/** google.rpc.Code */
const INVALID_ARGUMENT = 3

type Stream = ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>

export interface IstioSdsOptions {
  readonly socket: string
  readonly trustDomains: readonly string[]
}

const textOf = (source: DataSource | undefined, what: string): string => {
  const specifier = source?.specifier
  if (specifier?.case === 'inlineString') return specifier.value
  if (specifier?.case === 'inlineBytes') return Buffer.from(specifier.value).toString('latin1')
  throw new SvidFault('unreadable', `${what} is not in the answer itself`)
}

function secretOf({ resources, typeUrl }: DiscoveryResponse, name: Resource): Secret {
  if (typeUrl !== SECRET) throw new SvidFault('unreadable', 'the answer is of another type than secrets')
  for (const { value } of resources) {
    let secret: Secret
    try {
      secret = fromBinary(SecretSchema, value)
    } catch {
      throw new SvidFault('unreadable', 'the secret cannot be read')
    }
    if (secret.name === name) return secret
  }
  throw new SvidFault('unreadable', `the answer has no secret \`${name}\``)
}

interface Pair {
  readonly cert: string
  readonly key: string
}

/** Both secrets as far as they are known; they come one by one, and each may change alone. */
class Secrets {
  #pair: Pair | null = null
  #bundle: string | null = null
  readonly #hooks: SourceHooks
  readonly #trustDomains: readonly string[]

  constructor(hooks: SourceHooks, trustDomains: readonly string[]) {
    this.#hooks = hooks
    this.#trustDomains = trustDomains
  }

  /** What is refused takes the place of nothing. Throws SvidFault. */
  take(response: DiscoveryResponse, name: Resource): void {
    const { type } = secretOf(response, name)
    if (name === 'default' && type.case === 'tlsCertificate') {
      const cert = textOf(type.value.certificateChain, 'the certificate')
      const pair = { cert, key: textOf(type.value.privateKey, 'the private key') }
      this.#offer(pair, this.#bundle)
      this.#pair = pair
    } else if (name === 'ROOTCA' && type.case === 'validationContext') {
      const bundle = textOf(type.value.trustedCa, 'the bundle')
      certificatesOf(bundle, 'the bundle')
      // It stays although the pair, which may have come before it, is not usable: the next pair is.
      this.#bundle = bundle
      this.#offer(this.#pair, bundle)
    } else throw new SvidFault('unreadable', `the secret \`${name}\` is of another kind`)
  }

  #offer(pair: Pair | null, bundle: string | null): void {
    if (pair !== null && bundle !== null) this.#hooks.offer({ ...pair, bundle, trustDomains: this.#trustDomains })
  }
}

export const startIstioSds = async ({ socket, trustDomains }: IstioSdsOptions): Promise<StartSource> => {
  const grpc = await import('@grpc/grpc-js')
  const { path, requestSerialize, responseDeserialize } = SERVICE['streamSecrets']!
  return (hooks) => {
    const secrets = new Secrets(hooks, trustDomains)
    const stops = RESOURCES.map((name) => {
      let version = ''
      const ask = (stream: Stream, more: MessageInitShape<typeof DiscoveryRequestSchema>): void =>
        void stream.write(
          create(DiscoveryRequestSchema, { typeUrl: SECRET, resourceNames: [name], versionInfo: version, ...more }),
        )
      return follow<DiscoveryResponse>(grpc, {
        target: socket,
        begin: (client, metadata) => {
          const stream = client.makeBidiStreamRequest(
            path,
            requestSerialize,
            responseDeserialize as (bytes: Buffer) => DiscoveryResponse,
            metadata,
          ) as Stream
          version = ''
          ask(stream, { node: { id: 'heddle', cluster: 'heddle', userAgentName: 'heddle' } })
          return stream as Following<DiscoveryResponse>
        },
        message: (response, stream) => {
          const refused = whyNot(() => secrets.take(response, name))
          if (refused !== null) hooks.fault(refused)
          if (refused === null) version = response.versionInfo
          const answer = { responseNonce: response.nonce }
          ask(
            stream as Stream,
            refused === null
              ? answer
              : { ...answer, errorDetail: { code: INVALID_ARGUMENT, message: refused.message } },
          )
        },
        fault: (fault) => hooks.fault(fault),
      })
    })
    return () => {
      for (const stop of stops) stop()
    }
  }
}
