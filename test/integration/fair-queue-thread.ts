// One worker of the fair-queue test: calls a target with one place as often as it can, and says how often it could.
import { parentPort, workerData } from 'node:worker_threads'
import type { CapacityConfig, Grant } from '../../src/contracts/capacity.ts'
import type { Target } from '../../src/contracts/routing.ts'
import { systemClock } from '../../src/core/clock.ts'
import { TimerWheel } from '../../src/core/wheel.ts'
import { FairGate } from '../../src/ratelimit/fair-queue-gate.ts'
import { CapacityTable } from '../../src/ratelimit/fair-queue-table.ts'

const { buffer, inside, worker, outstanding, untilMs, concurrency } = workerData as {
  readonly buffer: SharedArrayBuffer
  readonly inside: SharedArrayBuffer
  readonly worker: number
  readonly outstanding: number
  readonly untilMs: number
  readonly concurrency: number
}
const table = new CapacityTable(buffer, { worker, workers: 2 })
const gate = new FairGate({ table, wheel: new TimerWheel(), clock: systemClock, slotOf: () => 0 })
const capacity: CapacityConfig = { concurrency, queueLength: 1000, queueWaitMs: 10_000, learn: false }
const target = { name: 'p/m', health: { busyUntil: 0 }, provider: { config: { capacity } } } as unknown as Target
const counts = new Int32Array(inside)
let served = 0

const run = (grant: Grant): void => {
  const now = Atomics.add(counts, 0, 1) + 1
  if (now > Atomics.load(counts, 1)) Atomics.store(counts, 1, now)
  setTimeout(() => {
    Atomics.sub(counts, 0, 1)
    served++
    grant.end(10)
    send()
  }, 1)
}
const send = (): void => {
  if (Date.now() >= untilMs) return
  const entry = gate.enter(target, { tenant: 't', tokens: 10, weight: 1, priority: 0 }, (grant) => run(grant!))
  if (entry !== null && 'end' in entry) run(entry)
}
for (let i = 0; i < outstanding; i++) send()
// The wheel does not keep a thread alive, and neither does waiting for another worker's place.
const alive = setInterval(() => {
  if (Date.now() < untilMs + 200) return
  clearInterval(alive)
  parentPort!.postMessage(served)
}, 50)
