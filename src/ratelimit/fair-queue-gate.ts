import type { CapacityConfig, CapacityGate, Grant, OnTurn, Ticket, Waiting } from '../contracts/capacity.ts'
import type { Target } from '../contracts/routing.ts'
import type { Clock } from '../core/clock.ts'
import type { TimerWheel } from '../core/wheel.ts'
import type { CapacityTable } from './fair-queue-table.ts'
import { TargetQueue } from './fair-queue-target.ts'

export interface GateParts {
  readonly table: CapacityTable
  readonly wheel: TimerWheel
  readonly clock: Clock
  /** Slot of a target in the table; the same in all workers, over reloads. */
  readonly slotOf: (target: Target) => number
}

/**
 * Places at backends, and quotas learned from them: what does not fit waits in a fair queue instead of being refused by
 * the backend. One per worker; places and quotas are shared by all workers of the process, each has queues of its own.
 */
export class FairGate implements CapacityGate {
  readonly #parts: GateParts
  readonly #queues: (TargetQueue | undefined)[] = []

  constructor(parts: GateParts) {
    this.#parts = parts
  }

  enter(target: Target, ticket: Ticket, onTurn: OnTurn): Grant | Waiting | null {
    const { capacity } = target.provider.config
    if (capacity === null || (capacity.concurrency === 0 && !capacity.learn)) return null
    return this.#queue(target, capacity).enter(ticket, onTurn)
  }

  #queue(target: Target, config: CapacityConfig): TargetQueue {
    const slot = this.#parts.slotOf(target)
    let queue = this.#queues[slot]
    if (queue === undefined) {
      queue = new TargetQueue(target, slot, config, this.#parts)
      this.#queues[slot] = queue
    } else if (queue.config !== config) queue.reconfigure(config)
    return queue
  }

  /** What waits in this worker, by target, for admin and metrics. */
  waiting(): readonly { readonly target: string; readonly waiting: number; readonly inUse: number }[] {
    return this.#queues.flatMap((queue) =>
      queue === undefined ? [] : [{ target: queue.target, waiting: queue.waiting, inUse: queue.inUse }],
    )
  }
}
