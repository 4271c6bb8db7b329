/** Every figure that was measured, by target, metric and round. */
export class Samples {
  readonly #values = new Map<string, Map<string, Map<number, number>>>()

  add(target: string, metric: string, round: number, value: number | null): void {
    if (value === null || Number.isNaN(value)) return
    const metrics = this.#values.get(target) ?? new Map<string, Map<number, number>>()
    const rounds = metrics.get(metric) ?? new Map<number, number>()
    this.#values.set(target, metrics.set(metric, rounds.set(round, value)))
  }

  get(target: string, metric: string, round: number): number | null {
    return this.#values.get(target)?.get(metric)?.get(round) ?? null
  }

  all(target: string, metric: string): number[] {
    return [...(this.#values.get(target)?.get(metric)?.values() ?? [])]
  }

  median(target: string, metric: string): number | null {
    return median(this.all(target, metric))
  }

  /** Median over the rounds of `target / reference` of the same round: the machine's speed drifts from round to round. */
  ratio(target: string, reference: string, metric: string): number | null {
    return this.#paired(target, reference, metric, (value, base) => (base > 0 ? value / base : null))
  }

  /** Median over the rounds of `target - reference` of the same round. */
  difference(target: string, reference: string, metric: string): number | null {
    return this.#paired(target, reference, metric, (value, base) => value - base)
  }

  #paired(
    target: string,
    reference: string,
    metric: string,
    combine: (value: number, base: number) => number | null,
  ): number | null {
    const results: number[] = []
    for (const [round, value] of this.#values.get(target)?.get(metric) ?? []) {
      const base = this.get(reference, metric, round)
      const result = base === null ? null : combine(value, base)
      if (result !== null) results.push(result)
    }
    return median(results)
  }

  targets(): string[] {
    return [...this.#values.keys()]
  }

  /** Medians, for the JSON report. */
  toJSON(): Record<string, Record<string, { median: number | null; rounds: number[] }>> {
    const out: Record<string, Record<string, { median: number | null; rounds: number[] }>> = {}
    for (const [target, metrics] of this.#values) {
      const row: Record<string, { median: number | null; rounds: number[] }> = {}
      for (const [metric, rounds] of metrics)
        row[metric] = { median: median([...rounds.values()]), rounds: [...rounds.values()] }
      out[target] = row
    }
    return out
  }
}

const median = (values: readonly number[]): number | null => {
  if (values.length === 0) return null
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
