import { z } from 'zod'
import {
  KEY_HELP,
  duration,
  flag,
  integer,
  longText,
  name,
  optional,
  overridable,
  section,
  share,
  size,
  withDefault,
} from './fields.ts'

const MODE = z.enum(['off', 'exact', 'semantic', 'shadow'])

/** What one model may say differently. */
export const routeCacheShape = {
  mode: withDefault(
    MODE,
    'exact',
    '`exact`: the same request gets the same answer. `semantic`: so does one whose last question asks the same, within the error rate below. `shadow`: semantic, but only counted and never served. `off`: nothing.',
  ),
  scope: withDefault(
    z.enum(['key', 'user', 'team', 'tenant', 'identity', 'org']),
    'tenant',
    'Who shares answers: callers with the same key, user, team, tenant or mesh identity, or all (`org`). A caller of whom that is not known shares nothing.',
  ),
  ttl: withDefault(duration, '1h', 'An answer is served so long after it was made. At most `30d`.'),
  max_temperature: withDefault(
    z.number().min(0).max(2),
    0.3,
    'A request that asks for a greater temperature wants something new each time: it passes the cache by. One that names none does not.',
  ),
  replay_tokens_per_second: withDefault(integer(0, 10_000), 0, 'How fast hits are streamed. 0 = at once.'),
  max_wrong_per_request: optional(
    share,
    'Of all requests, at most so many get a semantic hit that is wrong. Left out, and without `max_wrong_per_hit`: 1%.',
  ),
  max_wrong_per_hit: optional(share, 'Of all semantic hits, at most so many are wrong. Stricter on small traffic.'),
  confidence: withDefault(share, '95%', 'How surely the error rate is kept, at all times together.'),
  time_words_ttl: withDefault(
    duration,
    '60s',
    'Questions about what is now (`today`, `latest`, `price`) are found by meaning only where `ttl` is at most this.',
  ),
}

const embedder = z
  .union(
    [
      z.literal('table'),
      z.strictObject({
        minilm: longText.describe(
          'Folder with `model.onnx` and `vocab.txt`, as `scripts/cache-model` makes them. Needs the package `onnxruntime-node`.',
        ),
      }),
      z.strictObject({
        provider: name.describe('An entry under `providers` that makes embeddings.'),
        model: name.describe('Its name there.'),
        dimensions: withDefault(integer(8, 4096), 1536, 'Numbers in one of its vectors.'),
      }),
    ],
    { error: 'must be `table`, a map with `minilm`, or a map with `provider` and `model`' },
  )
  .meta({ title: 'embedder' })

export const cacheSchema = z
  .optional(
    z.strictObject({
      ...routeCacheShape,
      max_bytes: withDefault(
        size,
        '64MiB',
        'Of answers in memory, for the process. What was used longest ago makes room.',
      ),
      max_entry: withDefault(size, '256KiB', 'A larger answer is not kept.'),
      single_flight: withDefault(
        flag,
        true,
        'Requests that ask the same at the same time share one call of the backend.',
      ),
      client_control: withDefault(
        flag,
        true,
        'Callers may send `cache-control: no-cache`, `no-store` or `max-age` and get what that means. None can ask for more than the configuration allows.',
      ),
      semantic: section(
        {
          embedder: withDefault(
            embedder,
            'table',
            'What makes vectors of questions. `table`: inside, nothing else is needed.',
          ),
          max_question: withDefault(size, '2KiB', 'A longer question is not compared.'),
          max_bytes: withDefault(size, '32MiB', 'Of vectors in memory, for a worker.'),
          max_entries: withDefault(integer(1, 10_000_000), 50_000, 'Of questions that are compared with each other.'),
          inserts_per_minute: withDefault(
            integer(1, 1_000_000),
            600,
            'Questions that one caller may add, for a worker: nobody fills the cache alone.',
          ),
        },
        'How questions are compared, where `mode` is `semantic` or `shadow`.',
      ),
      redis: optional(
        z.strictObject({
          budget: withDefault(duration, '5ms', 'A miss waits at most so long for Redis.'),
          encryption_key: z
            .union([longText, z.array(longText).min(1).max(8)], {
              error: KEY_HELP,
            })
            .describe(
              'Answers in Redis are encrypted with this: 32 bytes in base64, best as `${env:NAME}` or `${file:PATH}`. Of a list the first encrypts and all decrypt.',
            ),
        }),
        'A second tier for all replicas, in the Redis of `ledger.redis`. Left out: each process has its own.',
      ),
      snapshot: optional(longText, 'A file: what is in memory is written there at the end, and read at the start.'),
    }),
  )
  .describe('Answers are kept and served again. Left out: they are not, and nothing of it runs.')

export const modelCache = z
  .optional(
    z.union([MODE, z.strictObject(overridable(routeCacheShape))], {
      error: 'must be `off`, `exact`, `semantic`, `shadow`, or a map',
    }),
  )
  .describe('What this model says differently from `cache`. A word stands for its `mode`.')
