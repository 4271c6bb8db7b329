/** One source, and what it tells. */
import type { Discovery, Endpoint } from '../../src/contracts/cluster.ts'
import type { DiscoveryConfig } from '../../src/contracts/config-cluster.ts'
import { systemClock } from '../../src/core/clock.ts'
import { formatAddress } from '../../src/core/host-port.ts'
import { createDiscovery } from '../../src/mesh/discovery/index.ts'
import { until } from './etcd.ts'

export class Heard {
  readonly sets: (readonly Endpoint[])[] = []
  readonly errors: { readonly reason: string; readonly detail: string }[] = []
  readonly skipped: { readonly reason: string; readonly detail: string }[] = []
  alive = 0
  #discovery: Discovery | null = null

  /** backoffMs: longest pause after a failure. */
  static async of(config: DiscoveryConfig, backoffMs = 100): Promise<Heard> {
    const heard = new Heard()
    const backoff = { baseMs: Math.min(20, backoffMs), maxMs: backoffMs }
    const parts = { clock: systemClock, random: { next: () => 0.5 }, version: 'test', backoff }
    heard.follow(await createDiscovery(config, parts))
    return heard
  }

  follow(discovery: Discovery): void {
    this.#discovery = discovery
    discovery.start({
      endpoints: (list) => void this.sets.push(list),
      error: (reason, detail) => void this.errors.push({ reason, detail }),
      alive: () => void this.alive++,
      skipped: (reason, detail) => void this.skipped.push({ reason, detail }),
    })
  }

  get last(): readonly Endpoint[] {
    return this.sets.at(-1) ?? []
  }

  get addresses(): readonly string[] {
    return this.last.map(({ host, port }) => formatAddress(host, port)).sort()
  }

  get reasons(): readonly string[] {
    return [...new Set(this.errors.map(({ reason }) => reason))]
  }

  /** Waits for exactly these. */
  expect(...addresses: readonly string[]): Promise<void> {
    const wanted = [...addresses].sort().join()
    return until(`members ${wanted}`, () => this.sets.length > 0 && this.addresses.join() === wanted).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}; they are ${this.addresses.join()}; errors ${JSON.stringify(this.errors)}`)
      },
    )
  }

  expectError(reason: string): Promise<void> {
    return until(`error ${reason}`, () => this.errors.some((error) => error.reason === reason)).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}; heard ${JSON.stringify(this.errors)}`)
      },
    )
  }

  close(): void {
    this.#discovery?.close()
  }
}
