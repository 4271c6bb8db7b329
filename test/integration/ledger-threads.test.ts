import { Worker } from 'node:worker_threads'
import { afterEach, expect, test } from 'vitest'
import type { LimitConfig } from '../../src/contracts/config-limits.ts'
import { listCounters } from '../../src/ratelimit/ledger-list.ts'
import { LedgerMemory } from '../../src/ratelimit/ledger-memory.ts'
import { atOnce, limitOf, sliding, yearly } from './ledger-kit.ts'

const threads: Worker[] = []

afterEach(async () => {
  await Promise.all(threads.splice(0).map((thread) => thread.terminate()))
})

const message = (thread: Worker): Promise<number> => new Promise((resolve) => void thread.once('message', resolve))

const startThreads = async (workers: number, limits: readonly LimitConfig[]) => {
  const main = new LedgerMemory(1024, { worker: workers, workers })
  const started = Array.from({ length: workers }, (_, worker) => {
    const workerData = { buffer: main.buffer, worker, workers, limits }
    return new Worker(new URL('ledger-thread.ts', import.meta.url), { workerData })
  })
  threads.push(...started)
  await Promise.all(started.map(message))
  const order = (thread: Worker, attempts: number, tokens: number, settle = false): Promise<number> => {
    const answer = message(thread)
    thread.postMessage({ attempts, tokens, settle })
    return answer
  }
  return { main, started, order }
}

const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0)

test('120 requests of 4 threads at once against 20 a minute: exactly 20', async () => {
  const { started, order } = await startThreads(4, [limitOf([sliding('requests', 20, 60_000)])])
  expect(total(await Promise.all(started.map((thread) => order(thread, 30, 1))))).toBe(20)
})

test('threads that race over a budget lose no token and gain none', async () => {
  const limits = [limitOf([yearly('tokens', 100_000), atOnce(1000)])]
  const { main, started, order } = await startThreads(4, limits)
  const count = total(await Promise.all(started.map((thread) => order(thread, 20_000, 3, true))))
  expect(count).toBe(Math.floor(100_000 / 3))
  const budget = listCounters(main).find(({ unit }) => unit === 'tokens')
  expect(budget).toMatchObject({ used: count * 3, reserved: 0 })
})

test('a thread that ends holds nothing any more', async () => {
  const { main, started, order } = await startThreads(2, [limitOf([yearly('tokens', 100), atOnce(4)])])
  const [one, two] = started
  expect(await order(one!, 10, 10)).toBe(4)
  expect(await order(two!, 10, 10)).toBe(0)
  await one!.terminate()
  expect(await order(two!, 1, 10)).toBe(0)
  main.forget(0)
  expect(await order(two!, 10, 10)).toBe(4)
})

test('threads that are ended in the midst of their work leave no lock and no lease behind', async () => {
  for (let round = 0; round < 5; round++) {
    const { main, started, order } = await startThreads(2, [limitOf([yearly('tokens', 1e9), atOnce(5)])])
    void order(started[0]!, 10_000_000, 1, true)
    await order(started[1]!, 2000, 1, true)
    await started[0]!.terminate()
    main.forget(0)
    expect(await order(started[1]!, 9, 1)).toBe(5)
    await started[1]!.terminate()
  }
})
