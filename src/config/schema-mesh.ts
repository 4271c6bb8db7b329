import { z } from 'zod'
import { svidField } from './schema-svid.ts'
import { duration, flag, name, optional, section, withDefault } from './fields.ts'

const cidr = z
  .string()
  .max(64)
  .regex(/^[0-9a-fA-F:.]+(?:\/\d{1,3})?$/, { error: 'must be an address or CIDR range' })
const principal = z
  .string()
  .max(2048)
  .regex(/^spiffe:\/\/\S+$/, {
    error: 'must be a SPIFFE id such as `spiffe://cluster.local/ns/llm/sa/heddle`, in which `*` stands for any text',
  })
const headerName = z
  .string()
  .max(128)
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, { error: 'is not an HTTP header name (RFC 9110 token)' })

const identity = section(
  {
    trust: withDefault(
      z.enum(['none', 'loopback-sidecar', 'mtls', 'attested', 'cidr']),
      'none',
      'Whose identity headers are believed: nobody’s; the pod’s own sidecar; peers verified by `server.tls`; anybody who can connect (you state that only a waypoint can); or the addresses in `cidrs`. From all others they are taken away before anything reads them.',
    ),
    cidrs: optional(z.array(cidr).min(1).max(100), 'Addresses of `trust: cidr`.'),
    forwarders: optional(
      z.array(name).min(1).max(100),
      'With `trust: mtls`: identities that may speak for others, with `*`, such as an ingress. They can say to be anybody; of all other peers the certificate itself counts.',
    ),
    own_principals: optional(
      z.array(principal).min(1).max(20),
      'SPIFFE ids of this workload (or of the proxy that writes the header): `By` in `x-forwarded-client-cert` must be one of them.',
    ),
    payload_header: optional(
      headerName,
      'Header with the payload of a token that the proxy has verified (Istio: `outputPayloadToHeader`).',
    ),
    claim_headers: optional(
      z.record(name, headerName),
      'Claim by claim the header in which the proxy gives it (Istio: `outputClaimToHeaders`).',
    ),
    claims_from: optional(
      z.array(name).min(1).max(100),
      'Callers, by identity with `*`, whose `payload_header` and `claim_headers` are believed, such as an ingress that verifies tokens. `*`: all, with an identity or without; you state that the proxy lets nobody through without a token.',
    ),
  },
  'Who calls, as the mesh says.',
)

const retries = section(
  {
    owner: withDefault(
      z.enum(['gateway', 'mesh']),
      'gateway',
      'Who tries a failed call of a target again. `mesh`: Heddle only fails over to other targets.',
    ),
    veto: withDefault(
      flag,
      true,
      'Tell the proxies in front that a final answer must not be asked for again (`x-envoy-ratelimited`). Only in a mesh.',
    ),
  },
  'One layer retries, not each.',
)

export const meshSchema = section(
  {
    kind: withDefault(
      z.enum(['none', 'istio', 'istio-ambient', 'linkerd', 'auto']),
      'auto',
      'The mesh around this process. `auto`: looked for at the start, in Kubernetes only. Changes need a restart.',
    ),
    wait_for_proxy: withDefault(
      duration,
      '60s',
      'At the start hold outbound work (key sets, Redis, providers) until the proxy is ready, at most this long. 0 = do not wait.',
    ),
    identity,
    svid: svidField,
    retries,
    provider_failure: withDefault(
      z.enum(['passthrough', 'mesh-safe', 'auto']),
      'auto',
      '`mesh-safe`: when a provider fails and no other target can help, the caller gets 424 in place of 5xx, so that outlier detection does not eject this healthy pod. `auto`: in a mesh.',
    ),
    linkerd_headers: withDefault(
      flag,
      false,
      'Send `l5d-*` request headers. Linkerd’s control plane must run with `--allow-l5d-request-headers`.',
    ),
    orca: withDefault(
      flag,
      false,
      'Answers tell how busy this process is (`endpoint-load-metrics`, ORCA), for proxies that weigh by it, such as Envoy’s `client_side_weighted_round_robin`. Not at an edge to strangers: they would see it too.',
    ),
    proxy_shutdown: withDefault(
      flag,
      false,
      'When `heddle check` and the like end in a pod, end its proxy too, so that a Job can complete.',
    ),
  },
  'How Heddle behaves inside a service mesh.',
)
