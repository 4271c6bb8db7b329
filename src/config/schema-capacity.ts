import { z } from 'zod'
import { duration, flag, integer, optional, section, withDefault } from './fields.ts'

export const capacityField = optional(
  z.strictObject({
    concurrency: withDefault(
      integer(0, 1_000_000),
      0,
      'Calls at a time of each target, over all workers of this process; 0 = not bounded.',
    ),
    queue: section(
      {
        length: withDefault(
          integer(0, 1_000_000),
          200,
          'Requests that may wait, per worker and target; more are refused at once.',
        ),
        wait: withDefault(duration, '30s', 'Longest wait; then the next target is tried. `0` = nobody waits.'),
      },
      'Where requests wait for their turn.',
    ),
    learn: withDefault(
      flag,
      true,
      'Take quotas from the limit headers of the answers, and hold calls back before the provider refuses them. Not with `credentials.keys`, whose keys have a quota each.',
    ),
  }),
  'What each target of the provider can take at a time; more waits in a fair queue.',
)
