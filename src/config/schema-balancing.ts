import { z } from 'zod'
import { duration, flag, integer, longText, name, optional, port, section, share, size, withDefault } from './fields.ts'

const weight = z.number().min(0, { error: 'must not be negative' }).max(100, { error: 'must be at most 100' })

const hostPort = z
  .string()
  .max(512)
  .regex(/^(?:\[[0-9a-fA-F:.]+\]|[^\s:/@[\]]+):\d{1,5}$/, { error: 'must be `host:port`' })

const scorers = section(
  {
    prefix: withDefault(weight, 3, 'How much of the prompt is in the endpoint’s cache.'),
    queue: withDefault(weight, 2, 'How few requests wait there; or its utilisation, where it reports that alone.'),
    kv: withDefault(weight, 1, 'How empty its KV cache is.'),
    lora: withDefault(weight, 2, 'Whether the adapter that `model` names is loaded, or has room.'),
    inflight: withDefault(weight, 2, 'How few calls and prompt tokens of ours are under way there: never stale.'),
    latency: withDefault(weight, 1, 'How soon its answers have begun of late.'),
    zone: withDefault(weight, 1, 'Whether it is in `zone`, or meant for it.'),
  },
  'What speaks for an endpoint: each counts from 0 to 1, times its weight here; the highest sum gets the call. `0` = not looked at.',
)

const prefix = section(
  {
    block_bytes: withDefault(
      integer(8, 65_536),
      256,
      'Bytes of a prompt that make one block, a multiple of 8. An end that fills none is not looked at.',
    ),
    blocks_per_endpoint: withDefault(
      integer(16, 32_768),
      16_384,
      'Blocks that an endpoint is taken to remember, where its metrics do not tell (vLLM’s do).',
    ),
    max_bytes: withDefault(size, '256KiB', 'No more of a prompt is looked at.'),
  },
  'How Heddle knows which caches may have a prompt.',
)

const metrics = z.union(
  [
    z.literal(false),
    z.strictObject({
      path: withDefault(
        z
          .string()
          .max(512)
          .regex(/^\/[\x21-\x7e]*$/, { error: 'must be a path that begins with `/`' }),
        '/metrics',
        'Where the endpoint’s metrics are, in Prometheus’ text format.',
      ),
      port: optional(port, 'Port of the metrics, when it is not that of the endpoint.'),
      interval: withDefault(duration, '1s', 'Time between two looks at an endpoint.'),
      engine: withDefault(
        z.enum(['auto', 'vllm', 'sglang', 'triton', 'tgi']),
        'auto',
        'Whose names of metrics are read. `auto`: whichever are there.',
      ),
    }),
  ],
  { error: 'must be `false`, or a part with `path`, `port`, `interval`, `engine`' },
)

const epp = z.strictObject({
  address: hostPort.describe('`host:port` of the endpoint picker: the service that `endpointPickerRef` names.'),
  tls: withDefault(flag, true, 'Speak TLS with it.'),
  ca: optional(longText, 'Certificates (PEM) to believe instead of the system’s; `${file:/path/ca.pem}` reads a file.'),
  server_name: optional(name, 'Name in its certificate, when it is not the host of `address`.'),
  failure_mode: withDefault(
    z.enum(['open', 'close']),
    'close',
    'When it cannot be asked: `open` = Heddle picks itself, `close` = the call fails with 503.',
  ),
  timeout: withDefault(duration, '1s', 'Longest wait for its choice.'),
})

export const balancingField = optional(
  z.strictObject({
    owner: withDefault(
      z.enum(['gateway', 'mesh']),
      'gateway',
      'Who chooses an address. `mesh`: calls go to the host of `base_url`, and the proxies choose.',
    ),
    policy: withDefault(
      z.enum(['scored', 'least_busy', 'round_robin', 'random']),
      'scored',
      'How an endpoint is chosen: by `scorers`, the less busy of two, in turn, or at random.',
    ),
    scorers,
    prefix,
    metrics: withDefault(
      metrics,
      {},
      'What endpoints say of their load is asked for this way, without TLS; `false` = it is not. Only with `policy: scored`, and where `base_url` is https only with `port`.',
    ),
    orca: withDefault(
      flag,
      false,
      'Ask for a load report with each answer (ORCA, `endpoint-load-metrics`); vLLM and Triton know it.',
    ),
    saturation: section(
      {
        queue: withDefault(integer(0, 1_000_000), 5, 'More waiting requests than this.'),
        kv: withDefault(share, 0.8, 'A KV cache fuller than this.'),
      },
      'From when on an endpoint gets nothing while another is below.',
    ),
    zone: optional(name, 'Where this process runs, such as `eu-west-1a`; endpoints there score.'),
    epp: optional(
      epp,
      'Ask an endpoint picker of the Gateway API Inference Extension for each call, instead of choosing by `scorers`.',
    ),
  }),
  'How calls are spread over the addresses of `discovery`.',
)
