import { z } from 'zod'
import { duration, flag, integer, longText, name, optional, port, withDefault } from './fields.ts'

const authz = z.prefault(
  z.strictObject({
    limits: withDefault(
      flag,
      true,
      'Limits count with the check, as estimated. Switch it off where the rate limit service is asked as well: each would count.',
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
        z.array(z.enum(['authz', 'ext_proc', 'ratelimit', 'epp'])).min(1),
        ['authz', 'ext_proc', 'ratelimit', 'epp'],
        'What is served: external authorization, external processing, the rate limit service, and picking endpoints for an inference gateway.',
      ),
      authz: authz.describe('External authorization.'),
      ext_proc: extProc.describe('External processing.'),
      settle_within: withDefault(
        duration,
        '15m',
        'What a check has taken of limits waits this long for the end of its call, then it counts as estimated.',
      ),
    })
    .meta({ id: 'PolicyService' }),
  'The policy service for proxies: a gRPC port on which an ingress or a waypoint asks for the decisions of this configuration.',
)
