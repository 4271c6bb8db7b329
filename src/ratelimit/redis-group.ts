import type { CounterSet } from './counter.ts'
import type { Reply } from './redis-batch.ts'

/** Counters of one set that one script can see, by their places in the set. */
export interface Group {
  readonly tag: string
  readonly places: readonly number[]
  readonly keys: readonly string[]
}

/** The counter at `i` of the places took nothing: its limit is in shadow mode, and one of its rules would have refused. */
export const shadowRefused = (
  { counters }: CounterSet,
  places: readonly number[],
  reply: Reply,
  i: number,
): boolean => {
  const { rule } = counters[places[i]!]!
  if (!rule.shadow) return false
  return places.some((place, j) => counters[place]!.rule.limit === rule.limit && reply.list[j * 3 + 3] !== -1)
}
