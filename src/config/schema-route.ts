import { z } from 'zod'
import { duration, flag, integer, overridable, section, share, size, withDefault } from './fields.ts'
import { modelCache } from './schema-cache.ts'

const timeouts = section(
  {
    connect: withDefault(duration, '5s', 'To connect to a backend, TLS included. A host that takes longer is down.'),
    first_token: withDefault(
      duration,
      '60s',
      'Streams: from sending an attempt to its first token. Long enough for a model that thinks first, short enough to try another target before the client gives up. An answer in JSON has its first token only when it is whole: it is governed by `attempt`, and by `idle` once it has begun. 0 = off.',
    ),
    idle: withDefault(
      duration,
      '60s',
      'Between two chunks of an answer: of a stream after its first token, of one in JSON after its headers. 0 = off.',
    ),
    attempt: withDefault(
      duration,
      '10m',
      'One attempt, start to end: what the OpenAI SDKs wait by default. Streams that have begun are governed by `idle` and `total`. 0 = off.',
    ),
    total: withDefault(
      duration,
      '15m',
      'All attempts together: until a stream begins, or a JSON answer is complete. 0 = off.',
    ),
  },
  'How long to wait. Each phase has its own timer, so a dead backend is noticed long before a slow one is cut.',
)

const status = z
  .number()
  .int()
  .min(400, { error: 'must be from 400 to 599' })
  .max(599, { error: 'must be from 400 to 599' })

const retries = section(
  {
    max_attempts: withDefault(
      integer(1, 20),
      3,
      'Attempts in all, over all targets, the first included. 1 = no retries.',
    ),
    per_target: withDefault(integer(1, 20), 1, 'Attempts on one target before the next is tried.'),
    statuses: withDefault(
      z.array(status).max(50),
      [408, 425, 429, 500, 502, 503, 504, 529],
      'Statuses of a backend that are worth another attempt. 529 is Anthropic being overloaded.',
    ),
    backoff: section(
      {
        base: withDefault(duration, '100ms', 'Upper bound of the first pause.'),
        max: withDefault(duration, '5s', 'Upper bound of every pause.'),
      },
      'Pause before the same target is tried again: random between 0 and a bound that doubles each time.',
    ),
    max_retry_after: withDefault(
      duration,
      '10s',
      'A longer `retry-after` of a backend is not waited for: the next target is tried, or the client is told.',
    ),
    budget: section(
      {
        ratio: withDefault(share, '20%', 'Retries as a share of requests.'),
        min_per_second: withDefault(z.number().min(0).max(1_000_000), 10, 'Retries a second that are always allowed.'),
      },
      'Bound on retries per model and worker, so that an outage is not multiplied by retrying it.',
    ),
  },
  'When and how often to try again before anything was sent to the client.',
)

const breaker = section(
  {
    enabled: withDefault(flag, true, 'Take failing targets out of rotation.'),
    consecutive_failures: withDefault(integer(1, 10_000), 5, 'Failures in a row that eject a target.'),
    failure_ratio: withDefault(share, '50%', 'Share of failures within `window` that ejects.'),
    min_requests: withDefault(integer(1, 1_000_000), 20, 'The share counts only from this many requests on.'),
    window: withDefault(duration, '10s', 'Time over which the share is taken.'),
    base_ejection: withDefault(duration, '5s', 'First ejection; each further one doubles.'),
    max_ejection: withDefault(duration, '60s', 'Longest ejection.'),
    max_ejected_share: withDefault(
      share,
      '50%',
      'Most targets of a model that failures may eject at once. The only target of a model is never ejected.',
    ),
    dead_key: withDefault(duration, '5m', 'A key the backend refuses (401, 402, 403) rests this long.'),
  },
  'Passive health checks: outlier ejection per target.',
)

const commit = section(
  {
    max_bytes: withDefault(
      size,
      '64KiB',
      'Most bytes of a stream held back while waiting for its first token. Until then another target can take over unseen.',
    ),
    max_wait: withDefault(duration, '60s', 'Longest time they are held back. 0 = as long as the other timers allow.'),
  },
  'When an answer begins to reach the client. After that there is no failover.',
)

export const hedgeShape = {
  after: withDefault(
    z.union([z.literal('auto'), duration], { error: 'must be `auto` or a duration such as `2s`' }),
    'auto',
    'Start a second attempt on another target when no first token came within this. `auto` = the target’s own p95.',
  ),
  max_share: withDefault(share, '5%', 'Most requests that are hedged.'),
  max_cost_per_minute: withDefault(
    z.number().min(0).max(1_000_000),
    1,
    'Most money a minute that goes into hedges, US dollars.',
  ),
}

export const hedgeSchema = z.strictObject(hedgeShape)

export const defaultsShape = {
  timeouts,
  retries,
  breaker,
  commit,
  hedge: withDefault(
    z.union([z.null(), hedgeSchema], { error: 'must be a map or null' }),
    null,
    'A second attempt beside a slow first one; the first token wins. `{}` turns it on, null off. It costs tokens twice.',
  ),
  unsupported: withDefault(
    z.enum(['refuse', 'drop']),
    'refuse',
    'What becomes of a request for something that its target’s wire cannot carry: an error, or an answer without it, which `x-heddle-dropped` names. Hints are always dropped, prompts never.',
  ),
  continuation: withDefault(
    flag,
    false,
    'Let another target go on when a chat stream breaks after its first token. The seam may show, so it is off.',
  ),
}

export const defaultsSchema = section(defaultsShape, 'What holds for every model that does not say otherwise.')

const { hedge: _hedge, ...plainDefaults } = defaultsShape

/** The same for one model: only what differs. */
export const overridesShape = {
  cache: modelCache,
  ...overridable(plainDefaults),
  hedge: z
    .optional(z.union([z.null(), z.strictObject(overridable(hedgeShape))], { error: 'must be a map or null' }))
    .describe(defaultsShape.hedge.description ?? ''),
}
