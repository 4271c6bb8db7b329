import { z } from 'zod'
import { KEY_HELP, duration, integer, longText, name, optional, size, withDefault } from './fields.ts'

export const responsesSchema = z
  .optional(
    z.strictObject({
      store: withDefault(
        z.enum(['memory', 'redis', 'off']),
        'memory',
        'Where answers are kept: `memory` of this process, `redis` (that of `ledger.redis`, for all replicas), or `off`.',
      ),
      ttl: withDefault(duration, '24h', 'An answer is kept so long after it was made, or gone on from. At most `30d`.'),
      max_bytes: withDefault(
        size,
        '256MiB',
        'Of all that is kept in memory; what was used longest ago makes room. Redis has a maximum of its own.',
      ),
      max_item: withDefault(size, '8MiB', 'Of one answer together with its input: a larger one is not kept.'),
      max_chain: withDefault(
        integer(1, 1000),
        200,
        'Answers that one conversation may consist of; `previous_response_id` of a longer one is refused.',
      ),
      background: withDefault(
        integer(0, 10_000),
        32,
        'Answers that a worker makes with `background: true` at a time; 0 = none are.',
      ),
      encryption_key: optional(
        z.union([longText, z.array(longText).min(1).max(8)], { error: KEY_HELP }),
        'What is kept in Redis is encrypted with this: 32 bytes in base64, best as `${env:NAME}` or `${file:PATH}`. Of a list the first encrypts and all decrypt, so that keys can be changed.',
      ),
    }),
  )
  .describe(
    'Answers of the Responses API on routes that are translated are kept, so that `previous_response_id`, retrieval and `background` work there. Left out: they are not.',
  )

export const batchesSchema = z
  .optional(
    z.strictObject({
      models: withDefault(
        z.array(name).min(1).max(1000),
        ['*'],
        'Public names of models whose batches run here; `*` stands for any text.',
      ),
      concurrency: withDefault(integer(1, 10_000), 8, 'Lines that a worker has under way at a time.'),
      max_file: withDefault(size, '100MiB', 'Of one uploaded file.'),
      max_lines: withDefault(integer(1, 1_000_000), 50_000, 'Of one batch.'),
      max_open: withDefault(integer(1, 10_000), 10, 'Batches that one caller may have under way.'),
      ttl: withDefault(duration, '7d', 'Files, batches and what came of them are kept so long. At most `30d`.'),
      priority: withDefault(
        integer(-1000, 1000),
        100,
        'Of lines in queues for backends: lower goes first. Those of other requests are 0 unless a tenant says otherwise.',
      ),
    }),
  )
  .describe(
    'The Batch API runs here, line by line through the same rules as other requests. Needs `responses`, whose store keeps files and results. Left out: it passes through to the provider.',
  )
