// SPIFFE Workload API, X.509-SVID profile: SpiffeWorkloadAPI.FetchX509SVID, a stream whose every message is the whole state.
import { create } from '@bufbuild/protobuf'
import {
  SpiffeWorkloadAPI,
  X509SVIDRequestSchema,
  type X509SVID,
  type X509SVIDResponse,
} from '../../protocol/grpc/gen/workload_pb.ts'
import { grpcService } from '../../protocol/grpc/service.ts'
import { MAX_BYTES, SvidFault, whyNot, type Material } from './material.ts'
import type { StartSource } from './source.ts'
import { follow, type Following } from './stream.ts'

const SERVICE = grpcService('SpiffeWorkloadAPI', SpiffeWorkloadAPI)
/** Keeps other software from being tricked into asking (SPIFFE Workload Endpoint section 5). */
const MARK = 'workload.spiffe.io'

export interface SpiffeOptions {
  /** `unix:PATH` or `IP:PORT`. */
  readonly socket: string
  readonly spiffeId: string | null
  readonly hint: string | null
}

/** ASN.1 values one after another (X.690 8.1.3, definite lengths). Throws SvidFault. */
export function splitDer(bytes: Uint8Array): readonly Uint8Array[] {
  const parts: Uint8Array[] = []
  if (bytes.length > MAX_BYTES) throw new SvidFault('unreadable', 'the certificates are too large')
  for (let at = 0; at < bytes.length;) {
    const short = bytes[at + 1] ?? 0x80
    const count = short < 0x80 ? 0 : short & 0x7f
    let length = count === 0 ? short : 0
    for (let i = 0; i < count; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0)
    const end = at + 2 + count + length
    if (bytes[at] !== 0x30 || short === 0x80 || count > 4 || end > bytes.length)
      throw new SvidFault('unreadable', 'the certificates are no DER')
    parts.push(bytes.subarray(at, end))
    at = end
  }
  return parts
}

const pem = (label: string, der: Uint8Array): string => {
  const lines = Buffer.from(der.buffer, der.byteOffset, der.byteLength)
    .toString('base64')
    .match(/.{1,64}/g)
  return `-----BEGIN ${label}-----\n${(lines ?? []).join('\n')}\n-----END ${label}-----\n`
}

const certificates = (der: Uint8Array): string =>
  splitDer(der)
    .map((one) => pem('CERTIFICATE', one))
    .join('')

function choose({ svids }: X509SVIDResponse, { spiffeId, hint }: SpiffeOptions): X509SVID {
  const found =
    spiffeId !== null
      ? svids.find((svid) => svid.spiffeId === spiffeId)
      : hint !== null
        ? svids.find((svid) => svid.hint === hint)
        : svids[0]
  if (found !== undefined) return found
  throw new SvidFault(
    'identity',
    svids.length === 0 ? 'the source has no id for us' : 'none of the ids is the wanted one',
  )
}

/** Throws SvidFault. */
export function materialOf(response: X509SVIDResponse, options: SpiffeOptions): Material {
  const svid = choose(response, options)
  // By the SPIFFE id of a trust domain, or by its name.
  const federated = Object.entries(response.federatedBundles).map(
    ([domain, der]) => [domain.replace(/^spiffe:\/\//, ''), certificates(der)] as const,
  )
  return {
    id: svid.spiffeId,
    cert: certificates(svid.x509Svid),
    key: pem('PRIVATE KEY', svid.x509SvidKey),
    bundle: certificates(svid.bundle),
    federated: Object.fromEntries(federated),
  }
}

export const startSpiffe = async (options: SpiffeOptions): Promise<StartSource> => {
  const grpc = await import('@grpc/grpc-js')
  const { path, requestSerialize, responseDeserialize } = SERVICE['fetchX509SVID']!
  return (hooks) =>
    follow<X509SVIDResponse>(grpc, {
      target: options.socket,
      begin: (client, metadata) => {
        metadata.set(MARK, 'true')
        return client.makeServerStreamRequest(
          path,
          requestSerialize,
          responseDeserialize as (bytes: Buffer) => X509SVIDResponse,
          create(X509SVIDRequestSchema),
          metadata,
        ) as Following<X509SVIDResponse>
      },
      message: (response) => {
        const refused = whyNot(() => hooks.offer(materialOf(response, options)))
        if (refused !== null) hooks.fault(refused)
      },
      fault: (fault) => hooks.fault(fault),
    })
}
