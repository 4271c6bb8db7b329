/** Authorities of trust domains, and stubs of those who give out SVIDs: Istio's agent and the SPIFFE Workload API. */
import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js'
import { SpiffeWorkloadAPI, X509SVIDResponseSchema } from '../../src/protocol/grpc/gen/workload_pb.ts'
import type { X509SVIDRequest, X509SVIDResponse } from '../../src/protocol/grpc/gen/workload_pb.ts'
import { DiscoveryResponseSchema, SecretDiscoveryService, SecretSchema } from '../../src/protocol/grpc/gen/xds_pb.ts'
import type { DiscoveryRequest, DiscoveryResponse } from '../../src/protocol/grpc/gen/xds_pb.ts'
import { grpcService } from '../../src/protocol/grpc/service.ts'

export interface Issued {
  readonly cert: string
  readonly key: string
  /** Lower-case hex. */
  readonly serial: string
}

export interface Authority {
  readonly pem: string
  /** uris: of the subject alternative name. days < 0: expired. */
  issue(uris: readonly string[], days?: number): Issued
}

export interface Mint {
  readonly folder: string
  authority(name: string): Authority
  close(): void
}

export const startMint = (): Mint => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-svid-'))
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
  const key = (name: string): string[] => {
    const curve = ['-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    return ['-newkey', 'ec', ...curve, '-keyout', `${name}.key`]
  }
  let count = 0
  return {
    folder,
    authority(name) {
      openssl('req', '-x509', ...key(name), '-out', `${name}.pem`, '-days', '2', '-subj', `/O=${name}`)
      return {
        pem: read(`${name}.pem`),
        issue(uris, days = 2) {
          const leaf = `${name}-${++count}`
          const lines = uris.map((uri, i) => `URI.${i + 1}=${uri}`)
          const san = uris.length === 0 ? '' : `subjectAltName=@names\n[names]\n${lines.join('\n')}\n`
          writeFileSync(join(folder, `${leaf}.ext`), `basicConstraints=CA:FALSE\n${san}`)
          openssl('req', ...key(leaf), '-out', `${leaf}.csr`, '-subj', '/O=workload')
          const signer = ['-CA', `${name}.pem`, '-CAkey', `${name}.key`, '-CAcreateserial', '-days', String(days)]
          openssl('x509', '-req', '-in', `${leaf}.csr`, ...signer, '-extfile', `${leaf}.ext`, '-out', `${leaf}.pem`)
          const cert = read(`${leaf}.pem`)
          return { cert, key: read(`${leaf}.key`), serial: new X509Certificate(cert).serialNumber.toLowerCase() }
        },
      }
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}

const listen = (server: Server, path: string): Promise<void> => {
  rmSync(path, { force: true })
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    )
  })
}

const SECRET = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
const SDS = grpcService('envoy.service.secret.v3.SecretDiscoveryService', SecretDiscoveryService)

export interface SdsStub {
  /** Names the answers that were refused, with the reason. */
  readonly refused: readonly string[]
  /** Of the resource names that were asked for first. */
  readonly asked: readonly string[]
  pair(issued: Pick<Issued, 'cert' | 'key'>): void
  bundle(pem: string): void
  start(): Promise<void>
  /** As an agent dies: streams break, nobody listens. */
  stop(): void
}

type SdsStream = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>

/** As Istio's agent serves `default` and `ROOTCA`: on each stream the resource that its first request names. */
export const sdsStub = (path: string): SdsStub => {
  const streams = new Map<SdsStream, string>()
  const secrets = new Map<string, Uint8Array>()
  const refused: string[] = []
  const asked: string[] = []
  let version = 0
  let server: Server | null = null
  const send = (stream: SdsStream, name: string): void => {
    const value = secrets.get(name)
    if (value === undefined) return
    const versionInfo = String(++version)
    const resources = [{ typeUrl: SECRET, value }]
    stream.write(create(DiscoveryResponseSchema, { versionInfo, nonce: `n${versionInfo}`, typeUrl: SECRET, resources }))
  }
  const put = (name: string, secret: Uint8Array): void => {
    secrets.set(name, secret)
    for (const [stream, wanted] of streams) if (wanted === name) send(stream, name)
  }
  const bytes = (text: string) =>
    ({ specifier: { case: 'inlineBytes', value: new Uint8Array(Buffer.from(text)) } }) as const
  const streamSecrets = (stream: SdsStream): void => {
    stream.on('data', ({ resourceNames: [name = ''], errorDetail }: DiscoveryRequest) => {
      if (errorDetail !== undefined) refused.push(`${name}: ${errorDetail.message}`)
      if (streams.has(stream)) return
      streams.set(stream, name)
      asked.push(name)
      send(stream, name)
    })
    const gone = (): void => void streams.delete(stream)
    stream.on('error', gone)
    stream.on('end', () => {
      gone()
      stream.end()
    })
    stream.on('cancelled', gone)
  }
  return {
    refused,
    asked,
    pair({ cert, key }) {
      const value = { certificateChain: bytes(cert), privateKey: bytes(key) }
      const secret = create(SecretSchema, { name: 'default', type: { case: 'tlsCertificate', value } })
      put('default', toBinary(SecretSchema, secret))
    },
    bundle(pem) {
      const value = { trustedCa: bytes(pem) }
      put(
        'ROOTCA',
        toBinary(SecretSchema, create(SecretSchema, { name: 'ROOTCA', type: { case: 'validationContext', value } })),
      )
    },
    async start() {
      server = new Server()
      server.addService(SDS, { streamSecrets })
      await listen(server, path)
    },
    stop() {
      streams.clear()
      server?.forceShutdown()
      server = null
    },
  }
}

const WORKLOAD = grpcService('SpiffeWorkloadAPI', SpiffeWorkloadAPI)

export interface GivenSvid {
  readonly id: string
  readonly issued: Issued
  readonly bundle: string
  readonly hint?: string
}

export interface WorkloadStub {
  /** Calls without the header that the specification wants. */
  readonly unmarked: number
  give(svids: readonly GivenSvid[], federated?: Readonly<Record<string, string>>): void
  start(): Promise<void>
  stop(): void
}

const der = (pem: string): Uint8Array => {
  const blocks = pem.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? []
  const parts = blocks.map((block) => Buffer.from(block.replace(/-----[^-]+-----|\s/g, ''), 'base64'))
  return new Uint8Array(Buffer.concat(parts))
}
const pkcs8 = (pem: string): Uint8Array =>
  new Uint8Array(createPrivateKey(pem).export({ format: 'der', type: 'pkcs8' }))

export const workloadStub = (path: string): WorkloadStub => {
  type Stream = ServerWritableStream<X509SVIDRequest, X509SVIDResponse>
  const streams = new Set<Stream>()
  let state: X509SVIDResponse | null = null
  let server: Server | null = null
  let unmarked = 0
  const fetchX509SVID = (stream: Stream): void => {
    if (stream.metadata.get('workload.spiffe.io')[0] !== 'true') unmarked++
    streams.add(stream)
    stream.on('cancelled', () => streams.delete(stream))
    if (state !== null) stream.write(state)
  }
  return {
    get unmarked() {
      return unmarked
    },
    give(svids, federated = {}) {
      state = create(X509SVIDResponseSchema, {
        svids: svids.map(({ id, issued, bundle, hint = '' }) => ({
          spiffeId: id,
          x509Svid: der(issued.cert),
          x509SvidKey: pkcs8(issued.key),
          bundle: der(bundle),
          hint,
        })),
        federatedBundles: Object.fromEntries(Object.entries(federated).map(([domain, pem]) => [domain, der(pem)])),
      })
      for (const stream of streams) stream.write(state)
    },
    async start() {
      server = new Server()
      server.addService(WORKLOAD, { fetchX509SVID })
      await listen(server, path)
    },
    stop() {
      streams.clear()
      server?.forceShutdown()
      server = null
    },
  }
}
