import type { FetchedAnswer, FetchOptions } from '../core/http-client.ts'
import { systemClock } from '../core/clock.ts'
import { sleep } from '../core/sleep.ts'
import { LOOK_MS, proxyState, type MeshPorts, type ProxyName, type ProxyState } from './detect.ts'

export interface WaitOptions {
  readonly proxy: ProxyName
  readonly ports: MeshPorts
  /** Ms; 0 = one look. */
  readonly maxMs: number
  /** Ends the wait. */
  readonly stopped?: () => boolean
  /** Between two looks, ms. */
  readonly lookMs?: number
  /** Replaced in tests. */
  readonly fetchSmall?: (url: string, options?: FetchOptions) => Promise<FetchedAnswer>
  readonly now?: () => number
  readonly pause?: (ms: number) => Promise<void>
}

/**
 * Looks until the proxy is ready. Resolves with what was seen last: `ready`, or when the time is up (or the wait was
 * stopped) another state. What starts before the proxy would find no network behind it. Never rejects.
 */
export async function waitForProxy(options: WaitOptions): Promise<ProxyState> {
  const { proxy, ports, maxMs, stopped, lookMs = LOOK_MS, fetchSmall } = options
  const { now = systemClock.monotonic, pause = sleep } = options
  const until = now() + maxMs
  for (;;) {
    const state = await proxyState(proxy, ports, fetchSmall)
    if (state === 'ready' || stopped?.() === true || now() + lookMs > until) return state
    await pause(lookMs)
  }
}
