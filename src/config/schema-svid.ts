import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { name, optional, withDefault } from './fields.ts'

/** SPIFFE-ID section 2.1: lower case, and nothing that would need an escape. */
const trustDomain = z
  .string()
  .regex(/^[a-z0-9._-]{1,255}$/, { error: 'must be a trust domain such as `cluster.local`' })
const file = z.string().min(1).max(4096).refine(isAbsolute, { error: 'must be an absolute path' })
const unixSocket = z
  .string()
  .max(4096)
  .regex(/^unix:(?:\/\/)?\/[^\0]+$/, { error: 'must be the path of a Unix socket, such as `unix:/run/sds/socket`' })
// The Workload API allows addresses only, so that nobody's DNS says who gives out keys (SPIFFE Workload Endpoint 4).
const workloadSocket = z
  .string()
  .max(4096)
  .regex(/^(?:unix:(?:\/\/)?\/[^\0?#]+|tcp:\/\/(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):\d{1,5})$/, {
    error: 'must be `unix:///PATH` or `tcp://IP:PORT`',
  })

const trustDomains = optional(
  z.array(trustDomain).min(1).max(100),
  'Trust domains besides its own that the bundle vouches for (Istio: `trustDomainAliases`).',
)

const files = z.strictObject({
  source: z.literal('files').describe('PEM files, taken as a set whenever they have changed.'),
  cert: file.describe('Certificate chain, leaf first.'),
  key: file.describe('Its private key.'),
  bundle: file.describe('Certificates that peers must lead to.'),
  trust_domains: trustDomains,
})

const istioSds = z.strictObject({
  source: z.literal('istio-sds').describe('Istio’s agent beside this process, without its Envoy.'),
  socket: withDefault(unixSocket, 'unix:/var/run/secrets/workload-spiffe-uds/socket', 'Where it listens.'),
  trust_domains: trustDomains,
})

const spiffe = z.strictObject({
  source: z.literal('spiffe').describe('The SPIFFE Workload API, of SPIRE’s agent for example.'),
  socket: optional(workloadSocket, 'Where it listens. Left out: SPIFFE_ENDPOINT_SOCKET.'),
  spiffe_id: optional(
    z.string().regex(/^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._-]+)*$/, { error: 'is not a SPIFFE id' }),
    'Of several ids the one to use. Left out: the first.',
  ),
  hint: optional(name, 'Of several ids the one with that hint.'),
})

export const svidField = optional(
  z.discriminatedUnion('source', [files, istioSds, spiffe]),
  'This workload’s own certificate (X.509 SVID), for pods without a sidecar. It is renewed while the process runs; `server.tls` and providers use it with `svid: true`.',
)

export const svidSocket = workloadSocket
