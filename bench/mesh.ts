/**
 * What being in the mesh costs: `npm run bench:mesh -- [--rounds N] [--json FILE]`, about three minutes. Gateways that differ in
 * nothing but their traces, or in whether they read who calls, are measured in turn, slice by slice, each a process of its own,
 * with a real exporter to a collector in another one. Prints microseconds of CPU a request, of the thread that serves and of the
 * whole process, and how late the event loop was at 1,000 requests a second (AC-TR-7). Figures of one run are compared with each
 * other only.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Measured } from './mesh-child.ts'
import { identityOnly, XFCC } from './identity.ts'

interface Variant {
  /** Share of traces that are sampled; null = nothing is exported. */
  readonly sampled: string | null
  /** Added to the configuration. */
  readonly config: string
}

const VARIANTS = {
  off: { sampled: null, config: '' },
  'not sampled': { sampled: '0', config: '' },
  '10 % sampled': { sampled: '0.1', config: '' },
  'all sampled': { sampled: '1', config: '' },
  'identity from XFCC': { sampled: null, config: identityOnly },
} as const satisfies Record<string, Variant>
type Name = keyof typeof VARIANTS
const NAMES = Object.keys(VARIANTS) as Name[]

/** Most that the thread which serves may spend more than with everything off, as a share. */
const BARS: Readonly<Partial<Record<Name, number>>> = {
  'not sampled': 0.03,
  '10 % sampled': 0.1,
  'identity from XFCC': 0.03,
}
const DELAY_BAR_MS = 2
/** Of each kind: what the compiler makes of the same code differs from one process to the next. */
const COPIES = 2

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '8' }, json: { type: 'string' } } })
const ROUNDS = Number(values.rounds)
/** The code of spans that one request in ten makes is compiled late. */
const WARM_ROUNDS = 10
const REQUESTS = 3000
const AT_A_TIME = 16
const RATE = 1000
const RATE_MS = 4000
const RATE_RUNS = 5
const TICK_MS = 5
const BODY = JSON.stringify({
  model: 'm',
  messages: [{ role: 'user', content: 'The shuttle carries the weft. '.repeat(7) }],
  temperature: 0.2,
})
const children: ChildProcess[] = []

const once = <T>(child: ChildProcess): Promise<T> =>
  new Promise((resolve) => void child.once('message', resolve as never))

async function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = fork(join(import.meta.dirname, 'mesh-child.ts'), args, { env: { ...process.env, ...env } })
  children.push(child)
  return { child, ...(await once<{ port: number; admin: string }>(child)) }
}

const agent = new Agent({ keepAlive: true, maxSockets: 256 })

const ask = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const req = request(
      {
        agent,
        port,
        host: '127.0.0.1',
        method: 'POST',
        path: '/v1/chat/completions',
        headers: { 'content-type': 'application/json', 'content-length': BODY.length, 'x-forwarded-client-cert': XFCC },
      },
      (res) => {
        res.resume()
        res.on('end', () => (res.statusCode === 200 ? resolve() : reject(new Error(`answered ${res.statusCode}`))))
      },
    )
    req.on('error', reject)
    req.end(BODY)
  })

/** So many requests, so many at a time. */
async function burst(port: number): Promise<void> {
  let left = REQUESTS
  const client = async (): Promise<void> => {
    while (left-- > 0) await ask(port)
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, client))
}

/** A steady rate, whatever the answers take. */
async function steady(port: number): Promise<void> {
  const begun = performance.now()
  const open: Promise<void>[] = []
  while (performance.now() - begun < RATE_MS) {
    const due = ((performance.now() - begun) / 1000) * RATE
    while (open.length < due) open.push(ask(port))
    await new Promise((resolve) => void setTimeout(resolve, TICK_MS))
  }
  await Promise.all(open)
}

async function measured(gateway: { child: ChildProcess; port: number }, load: (port: number) => Promise<void>) {
  gateway.child.send('begin')
  await once(gateway.child)
  await load(gateway.port)
  gateway.child.send('end')
  return once<Measured>(gateway.child)
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** What a quarter of the rounds stay below: neighbours on the machine only ever add to it. */
const low = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 2] ?? Number.NaN

/** By kind, then by process, microseconds a request. */
type Samples = ReadonlyMap<Name, readonly number[][]>

const none = (): Samples => new Map(NAMES.map((name) => [name, Array.from({ length: COPIES }, (): number[] => [])]))
const mean = (all: Samples, name: Name): number => all.get(name)!.reduce((sum, values) => sum + low(values), 0) / COPIES
const against = (all: Samples, name: Name): number => mean(all, name) - mean(all, 'off')

/** What equal gateways differ by, as a share: no bar can be judged more closely. */
const noiseOf = (all: Samples): number => {
  const offs = all.get('off')!.map(low)
  return (Math.max(...offs) - Math.min(...offs)) / mean(all, 'off')
}

const signed = (value: number, digits: number): string => `${value < 0 ? '' : '+'}${value.toFixed(digits)}`

/** A machine that disturbs equal gateways by more than the bar has shown nothing, whichever way it turned out. */
function verdict({
  value,
  bar,
  noise,
}: {
  readonly value: number
  readonly bar: number
  readonly noise: number
}): string {
  if (noise > bar) return 'UNDECIDED'
  return value <= bar ? 'holds' : 'NOT MET'
}

const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
try {
  const backend = await start(['backend'])
  const sink = await start(['sink'])
  const gateways = new Map<Name, Awaited<ReturnType<typeof start>>[]>()
  for (const [index, name] of NAMES.entries()) {
    const { sampled, config } = VARIANTS[name]
    const file = join(folder, `heddle-${index}.yaml`)
    writeFileSync(
      file,
      `server: { workers: 1, log: { level: error, access: false } }
providers: { mock: { type: openai_compatible, base_url: "http://127.0.0.1:${backend.port}/v1", class: mesh } }
models: { m: mock/m }
mesh: { kind: none }
${config}`,
    )
    const exporter = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${sink.port}/v1/traces` }
    const env = sampled === null ? {} : { ...exporter, OTEL_TRACES_SAMPLER_ARG: sampled }
    const copies: Awaited<ReturnType<typeof start>>[] = []
    while (copies.length < COPIES) copies.push(await start(['gateway', file], env))
    gateways.set(name, copies)
  }
  const thread = none()
  const whole = none()
  const slices = NAMES.flatMap((name) => Array.from({ length: COPIES }, (_, copy) => [name, copy] as const))
  for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++) {
    // Each first in turn: the one after a pause finds a cooler machine.
    const order = slices.map((_, i) => slices[(i + round) % slices.length]!)
    for (const [name, copy] of order) {
      const { threadMicros, processMicros } = await measured(gateways.get(name)![copy]!, burst)
      if (round < WARM_ROUNDS) continue
      thread.get(name)![copy]!.push(threadMicros / REQUESTS)
      whole.get(name)![copy]!.push(processMicros / REQUESTS)
    }
  }
  console.log(
    `CPU a request, microseconds: means of ${COPIES} processes, of each the lower quartile of ${ROUNDS} rounds of ${REQUESTS} requests\n`,
  )
  console.log('| gateway | thread that serves | against off | whole process | against off |\n|---|---|---|---|---|')
  const percent = (all: Samples, name: Name): string => {
    const difference = against(all, name)
    return `${difference >= 0 ? '+' : ''}${difference.toFixed(1)} (${((difference / mean(all, 'off')) * 100).toFixed(1)} %)`
  }
  for (const name of NAMES) {
    const cells = [
      mean(thread, name).toFixed(1),
      percent(thread, name),
      mean(whole, name).toFixed(1),
      percent(whole, name),
    ]
    console.log(`| ${name} | ${cells.join(' | ')} |`)
  }
  console.log(
    `\nEvent loop at ${RATE} requests a second, how late, ms (medians of ${RATE_RUNS} runs of ${RATE_MS / 1000} s)\n`,
  )
  console.log('| gateway | p99 | p99.9 | longest |\n|---|---|---|---|')
  const delays = new Map<Name, Measured[]>()
  for (let run = 0; run < RATE_RUNS; run++)
    for (const name of ['off', 'all sampled'] as const)
      delays.set(name, [...(delays.get(name) ?? []), await measured(gateways.get(name)![0]!, steady)])
  const delay = (name: Name, key: 'delayP99' | 'delayP999' | 'delayMax'): number =>
    median(delays.get(name)!.map((one) => one[key]))
  for (const name of delays.keys())
    console.log(
      `| ${name} | ${delay(name, 'delayP99').toFixed(2)} | ${delay(name, 'delayP999').toFixed(2)} | ${delay(name, 'delayMax').toFixed(2)} |`,
    )
  const difference = delay('all sampled', 'delayP999') - delay('off', 'delayP999')
  const metrics = await (await fetch(`${gateways.get('all sampled')![0]!.admin}/metrics`)).text()
  console.log(
    metrics
      .split('\n')
      .filter((line) => line.startsWith('heddle_trace_spans_'))
      .join('\n'),
  )
  const noise = noiseOf(thread)
  const lines = Object.entries(BARS).map(([name, bar]) => {
    const value = against(thread, name as Name) / mean(thread, 'off')
    return { name, value, bar, noise, text: `${name} ${signed(value * 100, 1)} % (bar ${bar * 100} %)` }
  })
  const delayText = `event loop p99.9 ${signed(difference, 2)} ms (bar ${DELAY_BAR_MS} ms)`
  const late = { name: 'event loop p99.9', value: difference, bar: DELAY_BAR_MS, noise: 0, text: delayText }
  const bars = [...lines, late].map((line) => ({ ...line, verdict: verdict(line) }))
  const judged = bars.map(({ text, verdict: said }) => `${text} ${said}`)
  console.log(`\nbench:mesh: ${judged.join('; ')}; equal gateways differ by ${(noise * 100).toFixed(1)} %`)
  if (values.json !== undefined) {
    const figures = Object.fromEntries(
      NAMES.map((name) => [name, { thread: thread.get(name), process: whole.get(name) }]),
    )
    writeFileSync(values.json, `${JSON.stringify({ rounds: ROUNDS, noise, bars, figures }, null, 2)}\n`)
  }
} finally {
  for (const child of children) child.kill()
  rmSync(folder, { recursive: true, force: true })
}
