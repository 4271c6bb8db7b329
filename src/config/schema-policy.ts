import { z } from 'zod'
import { duration, flag, integer, longText, name, optional, port, withDefault } from './fields.ts'

const authz = z.prefault(
  z.strictObject({
    limits: withDefault(
      z.enum(['off', 'estimate', 'settle']),
      'estimate',
      'What a check takes of limits: nothing; what its call is expected to use, for good; or the same until the rate limit service is told what was really used.',
    ),
  }),
  {},
)

const extProc = z.prefault(
  z.strictObject({
    credentials: withDefault(
      flag,
      true,
      'Put the provider’s credentials on the call. Off where the proxy, or somebody behind it, does.',
    ),
    rewrite: withDefault(
      flag,
      true,
      'Give the call the path that the provider has in `base_url`, and its host. Off where routes of the proxy do.',
    ),
    max_streams: withDefault(
      integer(1, 1_000_000),
      10_000,
      'Open streams per worker; beyond it new ones are refused, and the filter’s own fail mode decides.',
    ),
  }),
  {},
)

export const policyField = optional(
  z
    .strictObject({
      host: withDefault(
        name,
        '127.0.0.1',
        'Address of the port. Anything but loopback needs `auth`, `tls` or `insecure: true`.',
      ),
      port: withDefault(port, 9002, 'gRPC port, HTTP/2 without TLS unless `tls`. 0 = any free one.'),
      socket: optional(longText, 'Path of a Unix socket that is listened on as well.'),
      tls: withDefault(flag, false, 'The port speaks TLS, with the certificates of `server.tls`.'),
      services: withDefault(
        z.array(z.enum(['authz', 'ext_proc', 'ratelimit'])).min(1),
        ['authz', 'ext_proc', 'ratelimit'],
        'What is served: external authorization, external processing, the rate limit service.',
      ),
      authz: authz.describe('External authorization.'),
      ext_proc: extProc.describe('External processing.'),
      pickers: withDefault(
        z
          .array(
            z.strictObject({
              port: port.describe(
                'gRPC port of the picker (an InferencePool’s `endpointPickerRef`). 0 = any free one.',
              ),
              provider: name.describe('Provider with `discovery`, whose endpoints are picked.'),
              objectives: withDefault(
                z.record(name, integer(-1000, 1000)),
                {},
                'Priority of each inference objective that requests may name. Below 0: refused (429) while all endpoints are saturated. Not listed: 0.',
              ),
            }),
          )
          .max(32),
        [],
        'Ports on which inference gateways ask which endpoint a request should go to (Gateway API Inference Extension).',
      ),
      settle_within: withDefault(
        duration,
        '15m',
        'What a check has taken of limits waits this long for the end of its call, then it counts as estimated.',
      ),
    })
    .meta({ id: 'PolicyService' }),
  'The policy service for proxies: a gRPC port on which an ingress or a waypoint asks for the decisions of this configuration.',
)
