import { z } from 'zod'
import { flag, longText, optional, section, withDefault } from './fields.ts'

export const classField = optional(
  z.enum(['mesh', 'vendor']),
  '`mesh`: a workload beside Heddle, which gets traces, the request id and deadlines. `vendor`: gets none of them. Left out: `mesh` for names of the cluster, such as `vllm` or `vllm.llm.svc.cluster.local`, for `http://service.namespace:PORT` and `http://…svc.YOUR.DOMAIN:PORT` without a key, and for `sim`.',
)

export const egressField = section(
  {
    mode: withDefault(
      z.enum(['direct-tls', 'mesh-originate', 'egress-gateway', 'connect-proxy']),
      'direct-tls',
      'How calls leave: by TLS of Heddle’s own; in clear to the sidecar, which speaks TLS (checked before the key is sent); as the mesh routes them; or through an HTTP proxy.',
    ),
    proxy: optional(longText, 'URL of the HTTP proxy of `connect-proxy`. Left out: HTTPS_PROXY.'),
    plaintext_key: withDefault(
      flag,
      false,
      'Accept that the key crosses the network in clear, where `base_url` is http and no mesh is in between.',
    ),
  },
  'How calls leave the house.',
)

export const propagateField = withDefault(flag, false, 'Tell this vendor the trace (`traceparent`) of each call.')
