/**
 * Counters and histograms as plain fields, so that counting costs an addition. Families are merged over workers and
 * written as OpenMetrics 1.0 or Prometheus 0.0.4 text when somebody scrapes.
 */

export type Labels = Readonly<Record<string, string>>

export class Counter {
  value = 0
  add(n: number): void {
    this.value += n
  }
}

export class Gauge {
  value = 0
  set(n: number): void {
    this.value = n
  }
  add(n: number): void {
    this.value += n
  }
}

/** One measurement that can be looked at: its trace is recorded. */
export interface Exemplar {
  readonly value: number
  readonly traceId: string
  readonly spanId: string
  /** Epoch ms. */
  readonly at: number
}

export class Histogram {
  readonly bounds: readonly number[]
  readonly counts: Float64Array
  sum = 0
  count = 0
  /** The last of each bucket; null = none yet. */
  exemplars: (Exemplar | undefined)[] | null = null

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    this.counts[this.#bucket(value)]!++
    this.sum += value
    this.count++
  }

  /** observe(), and the trace becomes the example of its bucket. Only for traces that are sampled. */
  observeTraced(value: number, { traceId, spanId }: Pick<Exemplar, 'traceId' | 'spanId'>, at: number): void {
    this.observe(value)
    this.exemplars ??= Array.from({ length: this.counts.length }, () => undefined)
    this.exemplars[this.#bucket(value)] = { value, traceId, spanId, at }
  }

  #bucket(value: number): number {
    let i = 0
    while (i < this.bounds.length && value > this.bounds[i]!) i++
    return i
  }
}

/** Seconds; the OpenTelemetry advice for GenAI durations, with finer steps below 10 ms for the gateway's own share. */
export const DURATION_BOUNDS = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
] as const
export const OVERHEAD_BOUNDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1] as const

type Kind = 'counter' | 'gauge' | 'histogram'
type Sample = Counter | Gauge | Histogram

interface Family {
  readonly name: string
  readonly kind: Kind
  readonly help: string
  readonly samples: Map<string, { readonly labels: Labels; readonly sample: Sample }>
}

/** Plain form that workers send to the thread that answers scrapes. */
export interface FamilySnapshot {
  readonly name: string
  readonly kind: Kind
  readonly help: string
  readonly samples: readonly {
    readonly labels: Labels
    readonly value: number
    readonly histogram?: {
      readonly bounds: readonly number[]
      readonly counts: readonly number[]
      readonly sum: number
      readonly count: number
      /** By bucket; undefined = no trace that was measured is recorded. */
      readonly exemplars?: readonly (Exemplar | undefined)[]
    }
  }[]
}

/** More label sets than this in one family and further ones are counted together under `other`. */
const MAX_SERIES = 2000

export class MetricRegistry {
  readonly #families = new Map<string, Family>()
  readonly #collectors: (() => void)[] = []

  counter(name: string, help: string, labels: Labels = {}): Counter {
    return this.#sample(name, 'counter', help, labels, () => new Counter())
  }

  gauge(name: string, help: string, labels: Labels = {}): Gauge {
    return this.#sample(name, 'gauge', help, labels, () => new Gauge())
  }

  histogram(name: string, help: string, bounds: readonly number[], labels: Labels = {}): Histogram {
    return this.#sample(name, 'histogram', help, labels, () => new Histogram(bounds))
  }

  /** Called before each snapshot, to set gauges from elsewhere. */
  onCollect(collect: () => void): void {
    this.#collectors.push(collect)
  }

  #sample<T extends Sample>(name: string, kind: Kind, help: string, labels: Labels, make: () => T): T {
    let family = this.#families.get(name)
    if (family === undefined) {
      family = { name, kind, help, samples: new Map() }
      this.#families.set(name, family)
    }
    let bounded = labels
    let key = JSON.stringify(labels)
    if (!family.samples.has(key) && family.samples.size >= MAX_SERIES) {
      bounded = Object.fromEntries(Object.keys(labels).map((k) => [k, 'other']))
      key = JSON.stringify(bounded)
    }
    let entry = family.samples.get(key)
    if (entry === undefined) {
      entry = { labels: bounded, sample: make() }
      family.samples.set(key, entry)
    }
    return entry.sample as T
  }

  snapshot(): FamilySnapshot[] {
    for (const collect of this.#collectors) collect()
    return [...this.#families.values()].map(({ name, kind, help, samples }) => ({
      name,
      kind,
      help,
      samples: [...samples.values()].map(({ labels, sample }) =>
        sample instanceof Histogram
          ? {
              labels,
              value: 0,
              histogram: {
                bounds: [...sample.bounds],
                counts: [...sample.counts],
                sum: sample.sum,
                count: sample.count,
                ...(sample.exemplars === null ? {} : { exemplars: [...sample.exemplars] }),
              },
            }
          : { labels, value: sample.value },
      ),
    }))
  }
}

/** Adds up the same series of several workers. Gauges add up too: those of one worker only count what it holds. */
export function mergeSnapshots(all: readonly (readonly FamilySnapshot[])[]): FamilySnapshot[] {
  const merged = new Map<string, { family: FamilySnapshot; samples: Map<string, FamilySnapshot['samples'][number]> }>()
  for (const family of all.flat()) {
    let entry = merged.get(family.name)
    if (entry === undefined) {
      entry = { family, samples: new Map() }
      merged.set(family.name, entry)
    }
    for (const sample of family.samples) {
      const key = JSON.stringify(sample.labels)
      const before = entry.samples.get(key)
      entry.samples.set(key, before === undefined ? sample : addSamples(before, sample))
    }
  }
  return [...merged.values()].map(({ family, samples }) => ({ ...family, samples: [...samples.values()] }))
}

function addSamples(
  a: FamilySnapshot['samples'][number],
  b: FamilySnapshot['samples'][number],
): FamilySnapshot['samples'][number] {
  if (a.histogram === undefined || b.histogram === undefined) return { labels: a.labels, value: a.value + b.value }
  const counts = a.histogram.counts.map((c, i) => c + (b.histogram!.counts[i] ?? 0))
  return {
    labels: a.labels,
    value: 0,
    histogram: {
      bounds: a.histogram.bounds,
      counts,
      sum: a.histogram.sum + b.histogram.sum,
      count: a.histogram.count + b.histogram.count,
      ...latestExemplars(a.histogram.exemplars, b.histogram.exemplars),
    },
  }
}

function latestExemplars(a: readonly (Exemplar | undefined)[] | undefined, b: typeof a): { exemplars?: typeof a & {} } {
  if (a === undefined || b === undefined) {
    const exemplars = a ?? b
    return exemplars === undefined ? {} : { exemplars }
  }
  return { exemplars: Array.from(a, (one, i) => ((b[i]?.at ?? -1) > (one?.at ?? -1) ? b[i] : one)) }
}

const escapeLabel = (value: string): string => value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))

function labelText(labels: Labels, extra?: readonly [string, string]): string {
  const pairs = Object.entries(labels)
  if (extra !== undefined) pairs.push([extra[0], extra[1]])
  return pairs.length === 0 ? '' : `{${pairs.map(([k, v]) => `${k}="${escapeLabel(v)}"`).join(',')}}`
}

export const OPENMETRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8'
export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** OpenMetrics 1.0, "Exemplars": after the value of a bucket; the older format has no place for them. */
const exemplarText = (exemplar: Exemplar | undefined): string =>
  exemplar === undefined
    ? ''
    : ` # {trace_id="${exemplar.traceId}",span_id="${exemplar.spanId}"} ${exemplar.value} ${exemplar.at / 1000}`

/** Exposition text. OpenMetrics names counter families without `_total`; both forms name the samples alike. */
export function renderMetrics(families: readonly FamilySnapshot[], openMetrics: boolean): string {
  const lines: string[] = []
  for (const { name, kind, help, samples } of families) {
    if (samples.length === 0) continue
    const familyName = openMetrics && kind === 'counter' ? name.replace(/_total$/, '') : name
    lines.push(`# HELP ${familyName} ${help}`, `# TYPE ${familyName} ${kind}`)
    for (const { labels, value, histogram } of samples) {
      if (histogram === undefined) {
        lines.push(`${name}${labelText(labels)} ${value}`)
        continue
      }
      let cumulated = 0
      const example = (i: number): string => (openMetrics ? exemplarText(histogram.exemplars?.[i]) : '')
      histogram.bounds.forEach((bound, i) => {
        cumulated += histogram.counts[i]!
        lines.push(`${name}_bucket${labelText(labels, ['le', String(bound)])} ${cumulated}${example(i)}`)
      })
      lines.push(
        `${name}_bucket${labelText(labels, ['le', '+Inf'])} ${histogram.count}${example(histogram.bounds.length)}`,
        `${name}_sum${labelText(labels)} ${histogram.sum}`,
        `${name}_count${labelText(labels)} ${histogram.count}`,
      )
    }
  }
  if (openMetrics) lines.push('# EOF')
  return `${lines.join('\n')}\n`
}
