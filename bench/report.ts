import { hasCoresFor } from './machine.ts'
import type { Samples } from './samples.ts'
import { DIRECT, FLOOR, HEDDLE, HEDDLE_JWT, HEDDLE_KEY, HEDDLE_REDIS, HEDDLE_TWO, IN_PROCESS } from './targets.ts'

export interface Bar {
  readonly name: string
  readonly value: number | null
  readonly limit: number
  readonly unit: string
  /** Most of them are upper limits. */
  readonly atLeast?: boolean
  readonly met: boolean | null
  readonly note: string
}

const number = (value: number | null, digits = 0): string =>
  value === null ? '–' : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })

const micros = (value: number | null): string => {
  if (value === null) return '–'
  return Math.abs(value) >= 10_000 ? `${number(value / 1000, 1)} ms` : `${number(value)} µs`
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [
    `| ${head.join(' | ')} |`,
    `|---|${'--:|'.repeat(head.length - 1)}`,
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n')

/** Cheapest first, the backend alone on top. */
const ordered = (samples: Samples): string[] => {
  const cost = (name: string): number => (name === DIRECT ? -1 : (samples.median(name, 'cpu.chat') ?? Infinity))
  return samples
    .targets()
    .filter((name) => name !== IN_PROCESS)
    .sort((a, b) => cost(a) - cost(b))
}

const requestTable = (samples: Samples): string =>
  table(
    [
      'small JSON, one core',
      'CPU µs a request',
      '× floor',
      'requests/s',
      'core used',
      'added p50 at half load',
      'added p99',
      'CPU µs at half load',
    ],
    ordered(samples).map((name) => [
      name,
      number(samples.median(name, 'cpu.chat'), 1),
      number(samples.ratio(name, FLOOR, 'cpu.chat'), 2),
      number(samples.median(name, 'rate')),
      name === DIRECT ? '–' : `${number((samples.median(name, 'cores') ?? 0) * 100)} %`,
      name === DIRECT
        ? `(${micros(samples.median(name, 'half.p50'))})`
        : micros(samples.difference(name, DIRECT, 'half.p50')),
      name === DIRECT
        ? `(${micros(samples.median(name, 'half.p99'))})`
        : micros(samples.difference(name, DIRECT, 'half.p99')),
      number(samples.median(name, 'half.cpu'), 1),
    ]),
  )

const bodyTable = (samples: Samples, streams: readonly number[]): string =>
  table(
    [
      'other bodies and memory',
      'CPU µs, 100 KB prompt',
      '× floor',
      'CPU µs, embeddings',
      '× floor',
      'CPU µs an SSE chunk',
      '× floor',
      'CPU µs a lone chunk',
      '× floor',
      'RSS idle, MB',
      ...streams.map((count) => `KB a stream, ${number(count)} open`),
      'orphan streams',
      'first answer, ms',
    ],
    ordered(samples)
      .filter((name) => name !== DIRECT && samples.all(name, 'cpu.big').length > 0)
      .map((name) => [
        name,
        ...['cpu.big', 'cpu.embeddings', 'cpu.event', 'cpu.paced'].flatMap((metric) => [
          number(samples.median(name, metric), metric === 'cpu.event' ? 2 : 1),
          number(samples.ratio(name, FLOOR, metric), 2),
        ]),
        number(samples.median(name, 'rss')),
        ...streams.map((count) => number(samples.median(name, `stream.${count}`), 1)),
        number(samples.median(name, 'orphans')),
        number(samples.median(name, 'startup')),
      ]),
  )

const bar = (name: string, value: number | null, limit: number, unit: string, note = '', atLeast = false): Bar => ({
  name,
  value,
  limit,
  unit,
  note,
  ...(atLeast ? { atLeast } : {}),
  met: value === null ? null : atLeast ? value >= limit : value <= limit,
})

const overFloor = (samples: Samples, name: string, metric: string, limit: number): Bar => {
  const pair = `${number(samples.median(HEDDLE, metric), 1)} against ${number(samples.median(FLOOR, metric), 1)} µs`
  return bar(name, samples.ratio(HEDDLE, FLOOR, metric), limit, '× floor', pair)
}

/** What Heddle promises of itself, each as one number against one limit. */
export const judge = (samples: Samples, streams: readonly number[]): Bar[] => {
  const added = samples.difference(HEDDLE, DIRECT, 'half.p99')
  const floorAdded = samples.difference(FLOOR, DIRECT, 'half.p99')
  const tail = added === null || floorAdded === null || floorAdded <= 0 ? null : added / floorAdded
  const bars = [
    overFloor(samples, 'small JSON, CPU a request', 'cpu.chat', 1.3),
    overFloor(samples, '100 KB prompt, CPU a request', 'cpu.big', 1.2),
    overFloor(samples, 'embeddings, CPU a request', 'cpu.embeddings', 1.3),
    overFloor(samples, 'SSE, CPU a chunk', 'cpu.event', 1.25),
    overFloor(samples, 'SSE, CPU a lone chunk', 'cpu.paced', 1.25),
    bar('added p99 at half load', tail, 2, '× floor', `${micros(added)} against ${micros(floorAdded)}`),
    ...streams.map((count) =>
      bar(`idle stream, ${number(count)} open`, samples.median(HEDDLE, `stream.${count}`), 25, 'KB'),
    ),
    bar('idle RSS, one worker', samples.median(HEDDLE, 'rss'), 100, 'MB'),
    bar(
      'first answer, installed, empty cache',
      samples.median(HEDDLE, 'startup.installed'),
      800,
      'ms',
      `${number(samples.median(HEDDLE, 'startup.cpu'))} ms of it CPU`,
    ),
    bar('orphan backend streams', samples.median(HEDDLE, 'orphans'), 0, ''),
  ]
  bars.push(...policyBars(samples))
  if (samples.all(HEDDLE_TWO, 'cpu.chat').length > 0) {
    bars.push(bar('2 workers, CPU a request', samples.ratio(HEDDLE_TWO, HEDDLE, 'cpu.chat'), 1.11, '× 1 worker'))
    if (hasCoresFor(2))
      bars.push(bar('2 workers, rate', samples.ratio(HEDDLE_TWO, HEDDLE, 'rate'), 1.8, '× 1 worker', '', true))
  }
  return bars
}

/** What identity and limits add to Heddle without them, in the same run. */
const policyBars = (samples: Samples): Bar[] => {
  const measured = (name: string): boolean => samples.all(name, 'cpu.chat').length > 0
  const added = (name: string): string => `${micros(samples.difference(name, HEDDLE, 'cpu.chat'))} more`
  const bars: Bar[] = []
  const share = (title: string, name: string, limit: number): void => {
    if (measured(name)) bars.push(bar(title, samples.ratio(name, HEDDLE, 'cpu.chat'), limit, '× heddle', added(name)))
  }
  share('key and two limits, CPU a request', HEDDLE_KEY, 1.08)
  share('JWT seen before, CPU a request', HEDDLE_JWT, 1.1)
  if (measured(HEDDLE_REDIS)) {
    const more = samples.difference(HEDDLE_REDIS, HEDDLE, 'cpu.chat')
    bars.push(bar('key and two limits in Redis, CPU added', more, 40, 'µs'))
    const trips = samples.median(HEDDLE_REDIS, 'redis.calls')
    bars.push(bar('Redis, scripts a request', trips, 1.05, '', 'admissions and settlements together'))
  }
  bars.push(...inProcessBars(samples))
  return bars
}

/** The same without sockets, set against what a whole request costs: the machine's noise is smaller than what is looked for. */
const inProcessBars = (samples: Samples): Bar[] => {
  const whole = samples.median(HEDDLE, 'cpu.chat')
  const added = (name: string, base = 'plain'): number | null => {
    const [plain, more] = [samples.median(IN_PROCESS, base), samples.median(IN_PROCESS, name)]
    return plain === null || more === null ? null : more - plain
  }
  const share = (title: string, name: string, limit: number, base = 'plain'): Bar => {
    const micro = added(name, base)
    const value = micro === null || whole === null ? null : 1 + micro / whole
    return bar(`${title}, in process`, value, limit, '× heddle', `${number(micro, 1)} µs of ${number(whole, 1)}`)
  }
  if (samples.all(IN_PROCESS, 'plain').length === 0) return []
  const bars = [share('key and two limits', 'key', 1.08), share('JWT seen before', 'jwt', 1.1)]
  if (samples.all(IN_PROCESS, 'xfcc').length > 0) bars.push(share('mesh identity', 'xfcc', 1.03, 'header'))
  if (samples.all(IN_PROCESS, 'redis').length > 0)
    bars.push(bar('key and two limits in Redis, in process, CPU added', added('redis'), 40, 'µs'))
  return bars
}

const verdict = (met: boolean | null): string => (met === null ? 'not measured' : met ? 'met' : 'NOT MET')

const shown = ({ value, unit }: Bar): string => `${number(value, value !== null && value < 100 ? 2 : 0)} ${unit}`.trim()

export const barLines = (bars: readonly Bar[]): string =>
  bars
    .map((one) => {
      const sign = one.atLeast === true ? '>=' : '<='
      const note = one.note === '' ? '' : ` (${one.note})`
      return `- ${verdict(one.met)}: ${one.name} ${shown(one)} ${sign} ${one.limit}${note}`
    })
    .join('\n')

export const tables = (samples: Samples, streams: readonly number[]): string =>
  `${requestTable(samples)}\n\n${bodyTable(samples, streams)}`

export const BUSY =
  'BUSY MACHINE: the floor got less than 80 % of its core. Rates, latencies and start-up times mean little; ratios of CPU hold better.'

/** In the closed loop a Node gateway can only leave its core idle when something else takes it, or the load side is too slow. */
export const wasBusy = (samples: Samples): boolean => (samples.median(FLOOR, 'cores') ?? 1) < 0.8

/** The one line to quote. */
export const closingLine = (samples: Samples, bars: readonly Bar[]): string => {
  const judged = bars.filter(({ met }) => met !== null)
  const missed = judged.filter(({ met }) => met === false).map(({ name }) => name)
  const ratio = (metric: string): string => `${number(samples.ratio(HEDDLE, FLOOR, metric), 2)}x`
  const notMet = missed.length > 0 ? `, not met: ${missed.join('; ')}` : ''
  const notMeasured = judged.length < bars.length ? `, ${bars.length - judged.length} not measured` : ''
  const figures = [
    `${number(samples.median(HEDDLE, 'cpu.chat'), 1)} µs CPU a request (${ratio('cpu.chat')} floor)`,
    `${number(samples.median(HEDDLE, 'rate'))} requests/s on one core`,
    `added p99 ${micros(samples.difference(HEDDLE, DIRECT, 'half.p99'))}`,
    `SSE chunk ${ratio('cpu.event')}`,
    `100 KB ${ratio('cpu.big')}`,
    `idle ${number(samples.median(HEDDLE, 'rss'))} MB`,
  ]
  return `bench: ${figures.join(', ')}; ${judged.length - missed.length} of ${bars.length} bars met${notMet}${notMeasured}`
}
