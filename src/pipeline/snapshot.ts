import type { HeddleConfig } from '../contracts/config.ts'
import type { Policies } from './policies.ts'
import type { RouteTable } from '../routing/table.ts'

/**
 * The whole compiled configuration; never changed, only replaced. A request keeps the one it began with, so that a
 * reload cannot change the rules under it.
 */
export class Snapshot {
  readonly config: HeddleConfig
  readonly table: RouteTable
  readonly policies: Policies
  readonly loadedAt: number
  readonly #dispose: () => void
  #holders = 1

  /** dispose runs when the snapshot has been replaced and its last request has ended. */
  constructor(config: HeddleConfig, table: RouteTable, policies: Policies, loadedAt: number, dispose: () => void) {
    this.config = config
    this.table = table
    this.policies = policies
    this.loadedAt = loadedAt
    this.#dispose = dispose
  }

  retain(): void {
    this.#holders++
  }

  /** Once for each retain(), and once by whoever replaces it. */
  release(): void {
    if (--this.#holders === 0) this.#dispose()
  }
}
