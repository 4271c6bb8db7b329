/**
 * Time for everything outside src/core. Injected where logic depends on it, so that tests hold the clock.
 */
export interface Clock {
  /** Wall clock, epoch ms. For TTLs and windows shared between processes. */
  readonly now: () => number
  /** Never goes back; ms, the same origin in every thread of the process. For latencies and deadlines. */
  readonly monotonic: () => number
}

const origin = performance.timeOrigin

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => origin + performance.now(),
}

export interface Random {
  /** [0, 1) */
  next(): number
}

export const systemRandom: Random = { next: () => Math.random() }
