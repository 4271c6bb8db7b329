import { z } from 'zod'
import { duration, flag, integer, longText, name, optional, withDefault } from './fields.ts'
import { limitRuleSchema } from './limit-rules.ts'

const SCOPES = [
  'key',
  'user',
  'team',
  'tenant',
  'peer',
  'namespace',
  'service_account',
  'model',
  'target',
  'provider',
] as const
const SCOPE_HELP = `must be one of ${SCOPES.join(', ')}, or \`{ expression: CEL }\``

const scope = z.union(
  [z.enum(SCOPES), z.strictObject({ expression: longText.describe('CEL with a text as its result.') })],
  {
    error: SCOPE_HELP,
  },
)

const limitSchema = z
  .strictObject({
    per: withDefault(
      z.array(scope).max(6),
      [],
      'What has a counter of its own: each combination of these. Empty: one for all requests. A request that lacks one of them (no team, say) is not limited by this limit.',
    ),
    rules: z.array(limitRuleSchema).min(1, { error: 'must hold at least one rule' }).max(20).describe('How much.'),
    when: optional(longText, 'CEL; the limit applies to requests for which it is true.'),
    shadow: withDefault(flag, false, 'Report what it would refuse, and refuse nothing.'),
    on_store_failure: withDefault(
      z.enum(['local', 'open', 'closed']),
      'local',
      'While Redis cannot be asked: `local` enforces this replica’s part (the amount divided by `ledger.redis.replicas`), `open` lets requests through, `closed` refuses them with 503.',
    ),
    stop_streams: withDefault(
      flag,
      false,
      'End a stream with an error when it needs more than is left, instead of letting it go over.',
    ),
  })
  .meta({ id: 'Limit', title: 'limit' })

export const limitsSchema = z.optional(z.record(name, limitSchema)).describe('Limits and budgets by name.')

const URL_HELP = 'must be a URL such as `redis://redis:6379` or `rediss://redis:6380/0`'
const redisUrl = z.string({ error: URL_HELP }).regex(/^rediss?:\/\/[^\s]+$/, { error: URL_HELP })

const redisSchema = z
  .strictObject({
    url: z
      .union([redisUrl, z.array(redisUrl).min(1).max(32)], { error: URL_HELP })
      .describe('Where Redis is; `rediss://` uses TLS. With `cluster` a list of nodes to begin with.'),
    cluster: withDefault(flag, false, 'It is a Redis Cluster.'),
    username: optional(name, 'User of the ACL.'),
    password: optional(longText, 'Its password, best as `${env:NAME}` or `${file:PATH}`.'),
    tls: optional(
      z.strictObject({
        ca: optional(longText, 'Certificates to trust instead of the system’s, PEM; `${file:PATH}` reads a file.'),
        verify: withDefault(flag, true, 'Check the certificate. Off only for tests.'),
      }),
      'TLS, for `rediss://` URLs.',
    ),
    prefix: withDefault(
      z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, { error: 'must be 1 to 64 letters, digits, `_`, `.` or `-`' }),
      'heddle',
      'First part of every key in Redis.',
    ),
    deadline: withDefault(
      duration,
      '50ms',
      'A command that takes longer counts as failed, and Redis as away until it answers again.',
    ),
    replicas: withDefault(
      integer(1, 10_000),
      1,
      'Replicas of the gateway: while Redis is away each enforces its part of limits with `on_store_failure: local`.',
    ),
    lease: withDefault(
      duration,
      '15s',
      'What a replica that has died held of budgets and concurrency is free again after this.',
    ),
  })
  .meta({ id: 'LedgerRedis' })

export const ledgerSchema = z
  .optional(
    z.strictObject({
      redis: optional(redisSchema, 'Count in Redis, together with all other replicas.'),
      file: optional(longText, 'Keep budgets of calendar periods in this file over restarts. Not needed with Redis.'),
      max_scopes: withDefault(
        integer(64, 4_000_000),
        32_768,
        'Counters at a time; a counter that nothing is in any more makes room. About 1 KiB of memory each, taken when used.',
      ),
    }),
  )
  .describe('Where limits are counted: in this process, or in Redis for all replicas.')
