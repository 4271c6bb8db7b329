import { Worker } from 'node:worker_threads'

/**
 * Calls back every `micros` (at least 50). Timers of the event loop are no finer than a millisecond, and busy waiting would take
 * the core from the mock backend that shares it: a second thread sleeps with `Atomics.wait`, which is as fine as the kernel's timers.
 */
export const startTicker = (micros: number, onTick: () => void): (() => void) => {
  const state = new Int32Array(new SharedArrayBuffer(4))
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { state, millis } = workerData
    let next = performance.now()
    while (Atomics.load(state, 0) === 0) {
      next += millis
      const wait = next - performance.now()
      if (wait > 0) Atomics.wait(state, 0, 0, wait)
      else next -= wait
      parentPort.postMessage(0)
    }`
  const worker = new Worker(code, { eval: true, workerData: { state, millis: Math.max(50, micros) / 1000 } })
  worker.on('message', onTick)
  return () => {
    Atomics.store(state, 0, 1)
    Atomics.notify(state, 0)
    worker.off('message', onTick)
  }
}
