/** One worker thread that reserves when it is told to, for ledger-threads.test.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { LedgerMemory } from '../../src/ratelimit/ledger-memory.ts'
import { createLimiter } from '../../src/ratelimit/limiter.ts'
import type { LimitConfig } from '../../src/contracts/config-limits.ts'
import { admitted, attempt, queryOf, used } from './ledger-kit.ts'

interface Order {
  readonly attempts: number
  readonly tokens: number
  readonly settle: boolean
}

const { buffer, worker, workers, limits } = workerData as {
  buffer: SharedArrayBuffer
  worker: number
  workers: number
  limits: readonly LimitConfig[]
}
const memory = new LedgerMemory(buffer, { worker, workers })
const limiter = createLimiter({ limits, tenants: [], memory, shared: null, replicas: 1 })

const carryOut = async ({ attempts, tokens, settle }: Order): Promise<void> => {
  let count = 0
  for (let i = 0; i < attempts; i++) {
    const leases = admitted([await attempt(limiter, queryOf(tokens))])
    count += leases.length
    if (settle) for (const lease of leases) lease.settle(used(tokens))
  }
  parentPort!.postMessage(count)
}

parentPort!.on('message', (order: Order) => void carryOut(order))
parentPort!.postMessage(0)
