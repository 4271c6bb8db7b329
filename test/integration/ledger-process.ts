/** One replica with two workers under load, for ledger-chaos.test.ts. Prints a line for each call that was settled. */
import type { Lease } from '../../src/contracts/admission.ts'
import type { LimitConfig } from '../../src/contracts/config-limits.ts'
import { LedgerMemory } from '../../src/ratelimit/ledger-memory.ts'
import { createLimiter } from '../../src/ratelimit/limiter.ts'
import { RedisLedger } from '../../src/ratelimit/redis-ledger.ts'
import type { RedisConfig } from '../../src/store/redis.ts'
import { pause, queryOf, used } from './ledger-kit.ts'

/** One call: sent, admitted (epoch ms), estimate and use in tokens, 1 = this replica admitted it by itself. */
export type CallLine = readonly [number, number, number, number, 0 | 1]

const { config, limits } = JSON.parse(process.argv[2]!) as { config: RedisConfig; limits: readonly LimitConfig[] }

const stop = new AbortController()
process.stdin.on('data', () => stop.abort())

const buffer = new LedgerMemory(1024, { worker: 2, workers: 2 }).buffer
const workers = [0, 1].map((worker) => {
  const ledger = new RedisLedger({ config, maxScopes: 1000 })
  const memory = new LedgerMemory(buffer, { worker, workers: 2 })
  const limiter = createLimiter({ limits, tenants: [], memory, shared: ledger, replicas: config.replicas })
  return { ledger, limiter }
})

let slowest = 0

const call = async ({ ledger, limiter }: (typeof workers)[number]): Promise<void> => {
  const estimate = 10 + Math.floor(Math.random() * 190)
  const sent = Date.now()
  const started = performance.now()
  let lease: Lease | null = null
  try {
    lease = await limiter.admit(queryOf(estimate, estimate * 1e6))
  } catch {
    // Refused: the limits are there to be reached.
  }
  slowest = Math.max(slowest, performance.now() - started)
  if (lease === null) {
    await pause(10 + Math.random() * 30)
    return
  }
  const line = [sent, Date.now(), estimate] as const
  const alone = ledger.up ? 0 : 1
  await pause(5 + Math.random() * 55)
  // One in ten uses more than was expected of it.
  const tokens = Math.round(estimate * (Math.random() < 0.1 ? 1.3 : Math.random()))
  lease.settle(used(tokens, tokens * 1e6))
  process.stdout.write(`${JSON.stringify([...line, tokens, alone])}\n`)
}

const loops = workers.flatMap((worker) =>
  Array.from({ length: 8 }, async () => {
    while (!stop.signal.aborted) await call(worker)
  }),
)
await Promise.all(loops)
while (workers.some(({ ledger }) => ledger.pending > 0)) await pause(10)
for (const { ledger } of workers) await ledger.close()
process.stdout.write(`${JSON.stringify({ slowest })}\n`)
process.exit(0)
