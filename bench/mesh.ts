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
  'off again': { sampled: null, config: '' },
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

const against = (all: ReadonlyMap<Name, number[]>, name: Name): number => low(all.get(name)!) - low(all.get('off')!)

const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
try {
  const backend = await start(['backend'])
  const sink = await start(['sink'])
  const gateways = new Map<Name, Awaited<ReturnType<typeof start>>>()
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
    gateways.set(name, await start(['gateway', file], env))
  }
  const thread = new Map<Name, number[]>(NAMES.map((name) => [name, []]))
  const whole = new Map<Name, number[]>(NAMES.map((name) => [name, []]))
  for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++) {
    // Each first in turn: the one after a pause finds a cooler machine.
    const order = NAMES.map((_, i) => NAMES[(i + round) % NAMES.length]!)
    for (const name of order) {
      const { threadMicros, processMicros } = await measured(gateways.get(name)!, burst)
      if (round < WARM_ROUNDS) continue
      thread.get(name)!.push(threadMicros / REQUESTS)
      whole.get(name)!.push(processMicros / REQUESTS)
    }
  }
  console.log(`CPU a request, lower quartiles of ${ROUNDS} rounds of ${REQUESTS} requests, microseconds\n`)
  console.log('| gateway | thread that serves | against off | whole process | against off |\n|---|---|---|---|---|')
  const percent = (all: ReadonlyMap<Name, number[]>, name: Name): string => {
    const difference = against(all, name)
    return `${difference >= 0 ? '+' : ''}${difference.toFixed(1)} (${((difference / low(all.get('off')!)) * 100).toFixed(1)} %)`
  }
  for (const name of NAMES) {
    const cells = [
      low(thread.get(name)!).toFixed(1),
      percent(thread, name),
      low(whole.get(name)!).toFixed(1),
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
      delays.set(name, [...(delays.get(name) ?? []), await measured(gateways.get(name)!, steady)])
  const delay = (name: Name, key: 'delayP99' | 'delayP999' | 'delayMax'): number =>
    median(delays.get(name)!.map((one) => one[key]))
  for (const name of delays.keys())
    console.log(
      `| ${name} | ${delay(name, 'delayP99').toFixed(2)} | ${delay(name, 'delayP999').toFixed(2)} | ${delay(name, 'delayMax').toFixed(2)} |`,
    )
  const difference = delay('all sampled', 'delayP999') - delay('off', 'delayP999')
  const metrics = await (await fetch(`${gateways.get('all sampled')!.admin}/metrics`)).text()
  console.log(
    metrics
      .split('\n')
      .filter((line) => line.startsWith('heddle_trace_spans_'))
      .join('\n'),
  )
  const share = (name: Name): number => against(thread, name) / low(thread.get('off')!)
  const lines = Object.entries(BARS).map(([name, bar]) => {
    const value = share(name as Name)
    return {
      name,
      value,
      bar,
      holds: value <= bar,
      text: `${name} ${value < 0 ? '' : '+'}${(value * 100).toFixed(1)} % (bar ${bar * 100} %)`,
    }
  })
  const late = {
    name: 'event loop, p99.9, all sampled minus off',
    value: difference,
    bar: DELAY_BAR_MS,
    holds: difference <= DELAY_BAR_MS,
    text: `event loop p99.9 ${difference < 0 ? '' : '+'}${difference.toFixed(2)} ms (bar ${DELAY_BAR_MS} ms)`,
  }
  const noise = Math.abs(share('off again'))
  const judged = [...lines, late].map((line) => `${line.text} ${line.holds ? 'holds' : 'NOT MET'}`)
  console.log(`\nbench:mesh: ${judged.join('; ')}; two equal gateways differ by ${(noise * 100).toFixed(1)} %`)
  if (values.json !== undefined) {
    const figures = Object.fromEntries(
      NAMES.map((name) => [name, { thread: thread.get(name), process: whole.get(name) }]),
    )
    writeFileSync(
      values.json,
      `${JSON.stringify({ rounds: ROUNDS, noise, bars: [...lines, late], figures }, null, 2)}\n`,
    )
  }
} finally {
  for (const child of children) child.kill()
  rmSync(folder, { recursive: true, force: true })
}
