/** The options of a simulated pod as text: `blocks=2048;slow=3`. */
import type { PodServerOptions } from './pod.ts'

/** A mistake in such a text; the message is for people. */
export class PodSpecError extends Error {}

type Key = Exclude<keyof PodServerOptions, 'host' | 'port' | 'seed' | 'model'>

interface Row {
  readonly key: Key
  readonly least: number
  readonly most: number
  readonly whole: boolean
  /** Written as a duration: `30s`, `500ms`. */
  readonly duration?: boolean
  readonly help: string
}

const ROWS: Readonly<Record<string, Row>> = {
  max_running: { key: 'maxRunning', least: 1, most: 4096, whole: true, help: 'Requests in a batch; more wait (16).' },
  blocks: { key: 'blocks', least: 1, most: 1e6, whole: true, help: 'Blocks of 16 tokens in the KV cache (4096).' },
  prefill_rate: { key: 'prefillRate', least: 1, most: 1e9, whole: false, help: 'Prompt tokens a second (20000).' },
  step: {
    key: 'stepMs',
    least: 0.01,
    most: 1e5,
    whole: false,
    help: 'Ms of a step, which makes one token for each (15).',
  },
  step_each: { key: 'stepMsEach', least: 0, most: 1e5, whole: false, help: 'Ms more for each request in it (0.5).' },
  slow: { key: 'slow', least: 0.01, most: 1000, whole: false, help: 'All times by this; 3 = a slow pod (1).' },
  time_scale: { key: 'timeScale', least: 0.01, most: 1000, whole: false, help: 'Times are divided by this (1).' },
  max_lora: { key: 'maxLora', least: 0, most: 1000, whole: true, help: 'Adapters loaded at a time (0: none).' },
  tokens_per_event: {
    key: 'tokensPerEvent',
    least: 1,
    most: 4096,
    whole: true,
    help: 'Tokens in an event of a stream (1).',
  },
  die_after: {
    key: 'dieAfterMs',
    least: 1,
    most: 1e9,
    whole: false,
    duration: true,
    help: 'Closes its socket and all connections after this time, such as 30s (never).',
  },
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

function valueOf(name: string, text: string, { least, most, whole, duration }: Row): number {
  const parts = duration === true ? /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text) : /^(\d+(?:\.\d+)?)$/.exec(text)
  const value = Number(parts?.[1] ?? Number.NaN) * (duration === true ? (UNITS[parts?.[2] ?? ''] ?? 1) : 1)
  if (value >= least && value <= most && (!whole || Number.isInteger(value))) return value
  const wanted =
    duration === true ? 'a duration such as 30s' : `${whole ? 'an integer' : 'a number'} from ${least} to ${most}`
  throw new PodSpecError(`'${name}' wants ${wanted}, not '${text}'`)
}

/** Throws PodSpecError. */
export function parsePodOptions(text: string): PodServerOptions {
  const options: Partial<Record<Key, number>> = {}
  for (const part of text.split(';')) {
    if (part.trim() === '') continue
    const [name = '', value = ''] = part.split('=').map((piece) => piece.trim())
    const row = Object.hasOwn(ROWS, name) ? ROWS[name] : undefined
    if (row === undefined)
      throw new PodSpecError(`a pod has no option '${name}': there are ${Object.keys(ROWS).join(', ')}`)
    options[row.key] = valueOf(name, value, row)
  }
  return options
}

export const podOptionsText = (): string =>
  Object.entries(ROWS)
    .map(([name, { help }]) => `${name.padEnd(18)}${help}\n`)
    .join('')
