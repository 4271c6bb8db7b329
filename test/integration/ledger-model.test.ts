import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Lease } from '../../src/contracts/admission.ts'
import { Counter, toRules } from '../../src/ratelimit/counter.ts'
import { redisServer, TestRedis } from '../support/redis.ts'
import {
  atOnce,
  attempt,
  instanceOf,
  limitOf,
  principalOf,
  queryOf,
  redisConfig,
  until,
  used,
  yearly,
} from './ledger-kit.ts'

const LIMIT = 200
const PLACES = 6

const step = fc.record({
  kind: fc.constantFrom('reserve', 'reserve', 'reserve', 'settle', 'settle', 'late', 'extend'),
  worker: fc.nat({ max: 2 }),
  tokens: fc.integer({ min: 1, max: 60 }),
  share: fc.double({ min: 0, max: 1.5, noNaN: true }),
})

interface Held {
  readonly lease: Lease
  tokens: number
}

test.skipIf(redisServer === null)(
  'whatever is reserved, settled, extended and too late: Redis knows exactly what is settled and held',
  { timeout: 60_000 },
  async () => {
    const redis = await TestRedis.start()
    const rules = [yearly('tokens', LIMIT), atOnce(PLACES)]
    const limits = [limitOf(rules, { onStoreFailure: 'closed' })]
    const workers = [0, 1, 2].map(() => instanceOf(redisConfig(redis.url, { deadlineMs: 50, leaseMs: 30_000 }), limits))
    const quiet = (): Promise<void> => until(() => workers.every(({ ledger }) => ledger.up && ledger.pending === 0))
    let run = 0
    const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const keyId = `model-${run++}`
      const principal = principalOf(keyId)
      const held: Held[] = []
      let settled = 0
      await quiet()
      for (const { kind, worker, tokens, share } of steps) {
        const sum = settled + held.reduce((all, item) => all + item.tokens, 0)
        const query = queryOf(tokens, 0, principal)
        if (kind === 'reserve') {
          const lease = await attempt(workers[worker]!.limiter, query)
          // A machine under load may miss a deadline.
          if (lease !== 'overloaded') {
            expect(typeof lease === 'object').toBe(sum + tokens <= LIMIT && held.length < PLACES)
          }
          if (typeof lease === 'object') held.push({ lease, tokens })
        } else if (kind === 'late') {
          // The script runs when nobody waits for its answer any more.
          redis.freeze()
          const lease = await attempt(workers[worker]!.limiter, query)
          redis.thaw()
          expect(lease).toBe('overloaded')
        } else if (kind === 'extend') {
          const first = held[0]
          if (first === undefined) continue
          first.tokens += tokens
          first.lease.extend(used(first.tokens))
        } else {
          const first = held.shift()
          if (first === undefined) continue
          const actual = Math.round(first.tokens * share)
          settled += actual
          first.lease.settle(used(actual))
        }
        await quiet()
      }
      const counters = toRules(rules, limits[0]!).map(
        (rule) => new Counter(rule, [{ kind: 'key', value: keyId }], 'acme'),
      )
      const found = await workers[0]!.ledger.peek(counters.map(({ id, tag }) => ({ id, tag, windowMs: 0 })))
      const all = held.reduce((total, item) => total + item.tokens, 0)
      expect(found).toEqual([
        { used: settled + all, reserved: all },
        { used: held.length, reserved: held.length },
      ])
      for (const { lease } of held) lease.settle(used(0))
    })
    try {
      await fc.assert(property, { numRuns: 20, endOnFailure: true })
    } finally {
      for (const { ledger } of workers) await ledger.close()
      await redis.stop()
    }
  },
)
