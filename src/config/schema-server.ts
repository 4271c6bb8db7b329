import { z } from 'zod'
import { policyField } from './schema-policy.ts'
import { duration, flag, integer, longText, name, optional, port, section, size, withDefault } from './fields.ts'

const limits = section(
  {
    body: withDefault(size, '32MiB', 'Largest request body as received. Room for a few images in base64.'),
    decompressed_body: withDefault(
      size,
      '64MiB',
      'Largest request body after decompression: stops decompression bombs.',
    ),
    header_bytes: withDefault(size, '16KiB', 'Largest request head.'),
    header_count: withDefault(integer(1, 10_000), 100, 'Most header lines of a request.'),
    header_timeout: withDefault(duration, '5s', 'A request head must be complete within this (slowloris).'),
    body_timeout: withDefault(duration, '60s', 'A request body must be complete within this.'),
    client_stall: withDefault(duration, '60s', 'A client that does not read its answer for this long is dropped.'),
    json_depth: withDefault(integer(1, 1000), 64, 'Deepest nesting of a JSON body.'),
    json_keys: withDefault(integer(1, 10_000_000), 100_000, 'Most object keys in a JSON body, all levels together.'),
    response_body: withDefault(size, '64MiB', 'Largest JSON answer of a backend; it is held in memory whole.'),
    sse_event: withDefault(size, '8MiB', 'Largest single SSE event of a backend; images come as one event.'),
  },
  'Bounds on what clients and backends may send.',
)

const shed = section(
  {
    max_inflight: withDefault(
      integer(1, 1_000_000),
      10_000,
      'Requests in flight per worker; above it new ones get 503 at once.',
    ),
    max_loop_delay: withDefault(
      duration,
      '1s',
      'Mean event-loop delay over the last second above which new requests get 503. 0 = off.',
    ),
  },
  'When to refuse new work to keep what is running alive.',
)

const orAuto = <T extends z.ZodType>(schema: T) => z.union([z.literal('auto'), schema])

const drain = section(
  {
    propagation: withDefault(
      orAuto(duration),
      'auto',
      'After SIGTERM keep accepting for this long while readiness already says no: the time that load balancers need to notice. `auto`: 5s in a mesh, else 0.',
    ),
    max: withDefault(duration, '5m', 'Open requests may go on for this long after that; then they are cut.'),
  },
  'How to stop.',
)

const readiness = section(
  {
    require: optional(
      z.array(name).min(1).max(100),
      'Models without which readiness says no: each needs a target that is neither resting nor ejected. Left out: none, for replicas share their providers, and all would leave at the same time.',
    ),
  },
  'When `/healthz/ready` and `/readyz` say yes.',
)

const pem = longText.regex(/-----BEGIN [A-Z0-9 ]+-----/, {
  error: 'must be PEM text; `${file:/path/file.pem}` reads it from a file',
})

const tls = z
  .strictObject({
    port: withDefault(port, 8443, 'Port of the API with TLS. 0 = any free one.'),
    cert: optional(pem, 'Certificate chain, PEM. A new one is used without a restart. Needed unless `svid`.'),
    key: optional(pem, 'Private key, PEM. Needed unless `svid`.'),
    svid: withDefault(
      flag,
      false,
      'Certificate, key and whom to believe are those of `mesh.svid`; peers are who their one SPIFFE id says.',
    ),
    client_ca: optional(pem, 'Certificates that client certificates must lead to, PEM.'),
    client_cert: withDefault(
      z.enum(['none', 'optional', 'required']),
      'none',
      'Whether clients show a certificate; `auth.peers` says what one may do.',
    ),
  })
  .meta({ id: 'Tls' })

const log = section(
  {
    level: withDefault(
      z.enum(['debug', 'info', 'warn', 'error', 'silent']),
      'info',
      'Least important line that is written.',
    ),
    access: withDefault(flag, true, 'One line per request.'),
  },
  'What goes to standard output, as JSON lines.',
)

export const serverShape = {
  host: withDefault(name, '127.0.0.1', 'Address of the API. Anything but loopback needs `auth`, or `insecure: true`.'),
  port: withDefault(port, 8080, 'Port of the API. 0 = any free one.'),
  admin_host: withDefault(
    name,
    '127.0.0.1',
    'Address of health, readiness, metrics and the admin API. Anything but loopback needs `admin_token`, or `insecure: true`.',
  ),
  admin_port: withDefault(port, 8081, 'Port of health, readiness and metrics. 0 = any free one.'),
  workers: withDefault(
    z.union([z.literal('auto'), integer(1, 1024)], { error: 'must be `auto` or a number from 1 to 1024' }),
    1,
    'Threads that share the port. `auto` = one per core.',
  ),
  insecure: withDefault(
    flag,
    false,
    'Listen beyond loopback although callers are not asked who they are. Only behind a mesh, a proxy or a firewall that decides who may call.',
  ),
  tls: optional(tls, 'A second port of the API with TLS, and with client certificates where asked for.'),
  policy: policyField,
  admin_token: optional(
    longText.regex(/^[\x21-\x7e]{16,}$/, { error: 'must be at least 16 characters without blanks' }),
    'Bearer token that the admin API wants. Without one it asks for none, and lets nobody change anything unless it listens on loopback.',
  ),
  limits,
  shed,
  drain,
  readiness,
  heartbeat: withDefault(
    duration,
    '15s',
    'An open stream that has been silent for this long gets a comment, which clients ignore and idle timers of proxies do not. 0 = none.',
  ),
  keep_alive: withDefault(
    orAuto(duration),
    'auto',
    'Idle connections of clients are closed after this. 0 = never. `auto`: never in a mesh, whose proxies would meet the closing connection with a request; else 75s.',
  ),
  server_timing: withDefault(
    orAuto(flag),
    'auto',
    'Tell callers how long what took (`server-timing`). `auto`: in a mesh.',
  ),
  log,
}

export const serverSchema = section(serverShape, 'The process itself. Changes need a restart; all else reloads.')
