import type { HedgeConfig } from '../contracts/config.ts'

const MINUTE_MS = 60_000

interface RouteBudget {
  requests: number
  hedges: number
  windowStart: number
  spent: number
}

/** What hedges may take of a route's traffic and money. The money is the process's: each worker spends its part. */
export class HedgeBudget {
  /** Workers that share the money. */
  workers = 1
  readonly #routes = new Map<string, RouteBudget>()

  #of(route: string): RouteBudget {
    let budget = this.#routes.get(route)
    if (budget === undefined) {
      budget = { requests: 0, hedges: 0, windowStart: 0, spent: 0 }
      this.#routes.set(route, budget)
    }
    return budget
  }

  request(route: string): void {
    const budget = this.#of(route)
    budget.requests++
    // Old traffic fades, so that a quiet night earns no burst in the morning.
    if (budget.requests > 10_000) {
      budget.requests /= 2
      budget.hedges /= 2
    }
  }

  /** price: US dollars, estimated. now: monotonic ms. False = over the share or the money of this minute. */
  take(route: string, config: HedgeConfig, price: number, now: number): boolean {
    const budget = this.#of(route)
    if (now - budget.windowStart > MINUTE_MS) {
      budget.windowStart = now
      budget.spent = 0
    }
    if (
      budget.hedges + 1 > Math.max(1, budget.requests * config.maxShare) ||
      budget.spent + price > config.maxCostPerMinute / this.workers
    )
      return false
    budget.hedges++
    budget.spent += price
    return true
  }
}

export const hedgeBudget = new HedgeBudget()
