/**
 * What the policy service costs: `npm run bench:policy -- [--rounds N] [--json FILE]`, about five minutes. First how soon an external
 * authorization is answered at 2,000 a second (AC-PS-5), evenly and in bursts, beside a service that allows everything with grpc-js and one
 * of bare node:http2, and as a real Envoy sees it; then microseconds of CPU a request of the thread that serves, of the proxy itself and of each
 * way to ask it, with the same policies (a key, limits of requests and of tokens), slice by slice in turn. Figures of one run are compared
 * with each other only.
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
import { behindEnvoy, byH2load, printStraight, RATE, straight, type Served } from './policy-latency.ts'
import { envoy } from '../test/mesh/kit/binary.ts'

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
const low = (list: readonly number[]): number =>
  quantile(
    list.toSorted((a, b) => a - b),
    0.25,
  )

const agent = new Agent({ keepAlive: true, maxSockets: 256 })

const ask = (url: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': BODY.length,
      authorization: `Bearer ${KEY}`,
    }
    const req = request(`${url}/v1/chat/completions`, { agent, method: 'POST', headers }, (res) => {
      res.resume()
      res.on('end', () => (res.statusCode === 200 ? resolve() : reject(new Error(`answered ${res.statusCode}`))))
    })
    req.on('error', reject)
    req.end(BODY)
  })

async function burst(ask: () => Promise<unknown>): Promise<void> {
  let left = REQUESTS
  const client = async (): Promise<void> => {
    while (left-- > 0) await ask()
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, client))
}

async function startFile(name: string, file: string): Promise<Served> {
  const child = fork(join(import.meta.dirname, file))
  children.push(child)
  const { port } = await once<{ port: number }>(child)
  return { name, port, child }
}

/** How soon it is answered, by whichever of the tools are there. Returns the worst p99 of Heddle. */
async function latency(gateway: Served, check: Buffer, folder: string): Promise<number> {
  const others = [
    await startFile('all allowed, grpc-js', 'policy-allow.ts'),
    await startFile('all allowed, bare node:http2', 'policy-bare.ts'),
  ]
  const rows = await straight([gateway, ...others], check)
  printStraight(rows)
  let worst = Math.max(...rows.filter(({ served }) => served === gateway.name).map(({ p99 }) => p99))
  const checkFile = join(folder, 'check')
  writeFileSync(checkFile, check)
  const tool = await byH2load(gateway.port, checkFile, join(folder, 'log'))
  if (tool === null) console.log('\nNOT MEASURED by h2load: it is not installed (nghttp2-client)')
  else {
    console.log(`\nBy h2load, in its own bursts of 20: p99 ${tool.toFixed(2)} ms`)
    worst = Math.max(worst, tool)
  }
  if (envoy === null) console.log('\nNOT MEASURED by Envoy: it is not installed')
  else await behindEnvoy([gateway, others[0]!], KEY, BODY)
  for (const { child } of others) child.kill()
  return worst
}

const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
try {
  const backend = await start('backend')
  const startWith = async (limits: 'estimate' | 'settle', ...more: readonly string[]) => {
    const file = join(folder, `${limits}.yaml`)
    writeFileSync(
      file,
      `server: { workers: 1, log: { level: error, access: false }, policy: { port: 0, authz: { limits: ${limits} } } }
providers: { mock: { type: openai_compatible, base_url: "http://127.0.0.1:${backend.port}/v1", class: mesh } }
models: { m: mock/m, gpt-4o-mini: mock/m }
mesh: { kind: none }
${keyAndLimits}`,
    )
    return start('gateway', file, ...more)
  }
  // Its event loop is not watched: that would wake the thread each millisecond.
  const timed = await startWith('estimate', 'quiet')
  const asked = new ProxySide(timed.policy, KEY, BODY, ANSWER)
  await asked.check()
  const worst = await latency(
    { name: 'Heddle: key, limits, route', port: timed.policy, child: timed.child },
    asked.checkMessage,
    folder,
  )
  asked.close()
  timed.child.kill()

  const gateway = await startWith('estimate')
  const settling = await startWith('settle')
  const side = new ProxySide(gateway.policy, KEY, BODY, ANSWER)
  const settlingSide = new ProxySide(settling.policy, KEY, BODY, ANSWER)
  const proxied = (): Promise<void> => ask(`http://127.0.0.1:${gateway.port}`)
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
  const said = worst <= BAR_MS ? 'holds' : 'NOT MET'
  const ratio = of('ext_proc') / of('the proxy itself')
  console.log(
    `\nbench:policy: ext_authz p99 ${worst.toFixed(2)} ms at ${RATE}/s, the worst way to send (bar ${BAR_MS} ms) ${said}; ext_proc ${of('ext_proc').toFixed(0)} µs a request, ${ratio.toFixed(2)} × the proxy itself`,
  )
  if (values.json !== undefined)
    writeFileSync(
      values.json,
      `${JSON.stringify({ rate: RATE, p99: worst, verdict: said, micros: Object.fromEntries(names.map((name) => [name, of(name)])) }, null, 2)}\n`,
    )
  side.close()
  settlingSide.close()
  agent.destroy()
} finally {
  for (const child of children) child.kill()
  rmSync(folder, { recursive: true, force: true })
}
