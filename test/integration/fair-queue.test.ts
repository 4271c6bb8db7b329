// Two worker threads at one bounded backend.
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { CapacityTable } from '../../src/ratelimit/fair-queue-table.ts'

const NODE = new URL('./fair-queue-thread.ts', import.meta.url)

test.each([
  [1, 20, 20],
  [3, 60, 6],
])(
  '%i places, %i and %i callers: never more inside than places, both workers get their part',
  async (concurrency, a, b) => {
    const { buffer } = new CapacityTable(1, { worker: 0, workers: 2 })
    const inside = new SharedArrayBuffer(8)
    const untilMs = Date.now() + 1500
    const served = await Promise.all(
      [a, b].map(
        (outstanding, worker) =>
          new Promise<number>((resolve, reject) => {
            const thread = new Worker(NODE, {
              workerData: { buffer, inside, worker, outstanding, untilMs, concurrency },
            })
            thread.on('message', (count: number) => resolve(count))
            thread.on('error', reject)
          }),
      ),
    )
    const counts = new Int32Array(inside)
    expect(counts[1]).toBeLessThanOrEqual(concurrency)
    const [first = 0, second = 0] = served
    expect(Math.min(first, second)).toBeGreaterThan((first + second) * 0.25)
    // Without announcements the worker that holds the places would keep nearly all of them.
    expect(new CapacityTable(buffer, { worker: 0, workers: 2 }).inUse(0)).toBe(0)
  },
)
