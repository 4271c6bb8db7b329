/**
 * What the policy service costs: `npm run bench:policy -- [--rounds N] [--json FILE]`, about two minutes. First how soon an
 * external authorization is answered at 2,000 a second (AC-PS-5), beside a call of the same port that decides nothing; then
 * microseconds of CPU a request of the thread that serves, of the proxy itself and of each way to ask it, with the same
 * policies (a key, limits of requests and of tokens), slice by slice in turn. Figures of one run are compared with each other only.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Measured } from './mesh-child.ts'
import { KEY, keyAndLimits } from './policies.ts'
import { ProxySide } from './policy-client.ts'

const RATE = 2000
const RATE_MS = 4000
const RATE_RUNS = 5
const TICK_MS = 1
const BAR_MS = 2
const WARM_ROUNDS = 6
const REQUESTS = 1500
const AT_A_TIME = 16
const BODY = JSON.stringify({
  model: 'm',
  messages: [{ role: 'user', content: 'The shuttle carries the weft. '.repeat(7) }],
  temperature: 0.2,
})
const ANSWER = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'y'.repeat(400) }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 50, completion_tokens: 100, total_tokens: 150 },
})

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' }, json: { type: 'string' } } })
const ROUNDS = Number(values.rounds)
const children: ChildProcess[] = []
const once = <T>(child: ChildProcess): Promise<T> =>
  new Promise((resolve) => void child.once('message', resolve as never))

async function start(...args: string[]) {
  const child = fork(join(import.meta.dirname, 'mesh-child.ts'), args)
  children.push(child)
  return { child, ...(await once<{ port: number; policy: number }>(child)) }
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
const median = (list: readonly number[]): number =>
  quantile(
    list.toSorted((a, b) => a - b),
    0.5,
  )
const low = (list: readonly number[]): number =>
  quantile(
    list.toSorted((a, b) => a - b),
    0.25,
  )

/** A steady rate, whatever the answers take; ms of each from the moment when it was due. */
async function steady(ask: () => Promise<unknown>): Promise<number[]> {
  const took: number[] = []
  const open: Promise<void>[] = []
  const begun = performance.now()
  let asked = 0
  const one = async (due: number): Promise<void> => {
    await ask()
    took.push(performance.now() - due)
  }
  while (performance.now() - begun < RATE_MS) {
    const now = performance.now()
    while (asked < ((now - begun) / 1000) * RATE) {
      asked++
      open.push(one(now))
    }
    await new Promise((resolve) => void setTimeout(resolve, TICK_MS))
  }
  await Promise.all(open)
  return took.toSorted((a, b) => a - b)
}

async function burst(ask: () => Promise<unknown>): Promise<void> {
  let left = REQUESTS
  const client = async (): Promise<void> => {
    while (left-- > 0) await ask()
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, client))
}

const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
try {
  const backend = await start('backend')
  const startWith = async (limits: 'estimate' | 'settle') => {
    const file = join(folder, `${limits}.yaml`)
    writeFileSync(
      file,
      `server: { workers: 1, log: { level: error, access: false }, policy: { port: 0, authz: { limits: ${limits} } } }
providers: { mock: { type: openai_compatible, base_url: "http://127.0.0.1:${backend.port}/v1", class: mesh } }
models: { m: mock/m }
mesh: { kind: none }
${keyAndLimits}`,
    )
    return start('gateway', file)
  }
  const gateway = await startWith('estimate')
  const settling = await startWith('settle')
  const side = new ProxySide(gateway.policy, KEY, BODY, ANSWER)
  const settlingSide = new ProxySide(settling.policy, KEY, BODY, ANSWER)
  const agent = new Agent({ keepAlive: true, maxSockets: 256 })
  const proxied = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const headers = {
        'content-type': 'application/json',
        'content-length': BODY.length,
        authorization: `Bearer ${KEY}`,
      }
      const req = request(
        { agent, port: gateway.port, host: '127.0.0.1', method: 'POST', path: '/v1/chat/completions', headers },
        (res) => {
          res.resume()
          res.on('end', () => (res.statusCode === 200 ? resolve() : reject(new Error(`answered ${res.statusCode}`))))
        },
      )
      req.on('error', reject)
      req.end(BODY)
    })
  const ways = {
    'the proxy itself': proxied,
    ext_authz: () => side.checkOnly(),
    'ext_authz, settled by the rate limit service': async () => settlingSide.settle(await settlingSide.check()),
    ext_proc: () => side.process(),
    'a call that decides nothing': () => side.health(),
  } as const
  type Way = keyof typeof ways
  const names = Object.keys(ways) as Way[]
  for (const name of names) for (let i = 0; i < 3; i++) await burst(ways[name])

  console.log(
    `Answers at ${RATE} a second, ms from when each was due (medians of ${RATE_RUNS} runs of ${RATE_MS / 1000} s)\n`,
  )
  console.log('| asked | p50 | p99 | p99.9 |\n|---|---|---|---|')
  const late = new Map<string, number[][]>()
  for (let run = 0; run < RATE_RUNS; run++)
    for (const [name, ask] of [
      ['a call that decides nothing', ways['a call that decides nothing']],
      ['ext_authz', ways['ext_authz']],
    ] as const)
      late.set(name, [...(late.get(name) ?? []), await steady(ask)])
  const at = (name: string, q: number): number => median(late.get(name)!.map((took) => quantile(took, q)))
  for (const name of late.keys())
    console.log(`| ${name} | ${[0.5, 0.99, 0.999].map((q) => at(name, q).toFixed(2)).join(' | ')} |`)

  const thread = new Map<Way, number[]>(names.map((name) => [name, []]))
  for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++)
    for (const [i] of names.entries()) {
      const name = names[(i + round) % names.length]!
      const { child } = name.includes('settled') ? settling : gateway
      child.send('begin')
      await once(child)
      await burst(ways[name])
      child.send('end')
      const { threadMicros } = await once<Measured>(child)
      if (round >= WARM_ROUNDS) thread.get(name)!.push(threadMicros / REQUESTS)
    }
  console.log(
    `\nCPU a request of the thread that serves, microseconds: lower quartile of ${ROUNDS} rounds of ${REQUESTS}\n`,
  )
  console.log('| way | µs | against the proxy itself |\n|---|---|---|')
  const of = (name: Way): number => low(thread.get(name)!)
  for (const name of names)
    console.log(`| ${name} | ${of(name).toFixed(1)} | ${(of(name) / of('the proxy itself')).toFixed(2)} × |`)
  const p99 = at('ext_authz', 0.99)
  const bare = at('a call that decides nothing', 0.99)
  // A machine on which an empty call takes as long has shown nothing about decisions.
  const said = p99 <= BAR_MS ? 'holds' : bare > BAR_MS ? 'UNDECIDED' : 'NOT MET'
  const ratio = of('ext_proc') / of('the proxy itself')
  console.log(
    `\nbench:policy: ext_authz p99 ${p99.toFixed(2)} ms at ${RATE}/s (bar ${BAR_MS} ms) ${said}; an empty call ${bare.toFixed(2)} ms; ext_proc ${of('ext_proc').toFixed(0)} µs a request, ${ratio.toFixed(2)} × the proxy itself`,
  )
  if (values.json !== undefined)
    writeFileSync(
      values.json,
      `${JSON.stringify({ rate: RATE, p99, bare, verdict: said, micros: Object.fromEntries(names.map((name) => [name, of(name)])) }, null, 2)}\n`,
    )
  side.close()
  settlingSide.close()
  agent.destroy()
} finally {
  for (const child of children) child.kill()
  rmSync(folder, { recursive: true, force: true })
}
