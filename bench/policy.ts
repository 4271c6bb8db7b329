/**
 * What the policy service costs: `npm run bench:policy -- [--rounds N] [--json FILE]`, about two minutes. First how soon an
 * external authorization is answered at 2,000 a second (AC-PS-5) as a real Envoy sees it, beside a service that allows everything; then
 * microseconds of CPU a request of the thread that serves, of the proxy itself and of each way to ask it, with the same
 * policies (a key, limits of requests and of tokens), slice by slice in turn. Figures of one run are compared with each other only.
 */
import { execFile, fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import type { LoadPlan, LoadResult } from './load-plan.ts'
import type { Measured } from './mesh-child.ts'
import { KEY, keyAndLimits } from './policies.ts'
import { ProxySide } from './policy-client.ts'
import { envoy } from '../test/mesh/kit/binary.ts'
import { startEnvoy } from '../test/mesh/kit/envoy.ts'
import { extAuthz, grpcCluster } from '../test/mesh/kit/policy.ts'

const RATE = 2000
const RATE_MS = 4000
const RATE_RUNS = 5
const WARM_MS = 3000
const MERGE_MS = 6000
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
const run = promisify(execFile)
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

/** Requests at a steady rate from a process of its own, whose client costs a fraction of node:http: a load that stalls comes in bursts. */
async function steady(port: number, durationMs: number): Promise<LoadResult> {
  const plan: LoadPlan = {
    mode: 'open',
    kind: 'chat',
    port,
    token: KEY,
    connections: 64,
    rate: RATE,
    promptBytes: 200,
    warmupMs: 500,
    durationMs,
  }
  const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'load.ts'), JSON.stringify(plan)])
  const result = JSON.parse(stdout) as LoadResult
  if (result.errors.status + result.errors.reset > 0)
    throw new Error(`not all were allowed: ${JSON.stringify(result.errors)}`)
  return result
}

/** Ms that a proxy waited for its policy service, by the proxy's own clock: percentiles of all that it has asked. */
async function waited(adminUrl: string, cluster: string): Promise<{ p50: number; p99: number; p999: number }> {
  const text = await (await fetch(`${adminUrl}/stats?filter=cluster.${cluster}.upstream_rq_time`)).text()
  const at = (percentile: string): number =>
    Number(new RegExp(`P${percentile}\\([^,]+,([\\d.]+)\\)`).exec(text)?.[1] ?? Number.NaN)
  return { p50: at('50'), p99: at('99'), p999: at('99\\.9') }
}

async function burst(ask: () => Promise<unknown>): Promise<void> {
  let left = REQUESTS
  const client = async (): Promise<void> => {
    while (left-- > 0) await ask()
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, client))
}

/** Two listeners of one Envoy: one asks Heddle, the other a service that allows everything. Slices of each in turn. */
async function behindEnvoy(policyPort: number) {
  const child = fork(join(import.meta.dirname, 'policy-allow.ts'))
  children.push(child)
  const { port } = await once<{ port: number }>(child)
  const listener = (name: string) => ({
    name,
    to: [1],
    direction: 'inbound' as const,
    filters: [extAuthz(`policy-${name}`)],
    answer: { status: 200, body: 'allowed' },
  })
  const proxy = await startEnvoy([listener('heddle'), listener('allow')], {
    clusters: [grpcCluster('policy-heddle', policyPort), grpcCluster('policy-allow', port)],
  })
  try {
    for (const name of ['heddle', 'allow']) await steady(proxy.port(name), WARM_MS)
    for (let slice = 0; slice < RATE_RUNS; slice++)
      for (const name of ['heddle', 'allow']) await steady(proxy.port(name), RATE_MS)
    // Envoy merges what its threads have seen every five seconds.
    await new Promise((resolve) => void setTimeout(resolve, MERGE_MS))
    const found = {
      heddle: await waited(proxy.adminUrl, 'policy-heddle'),
      allow: await waited(proxy.adminUrl, 'policy-allow'),
    }
    console.log(`What Envoy waited for external authorization at ${RATE} requests a second, ms (its own clock)\n`)
    console.log('| asked | p50 | p99 | p99.9 |\n|---|---|---|---|')
    const row = ({ p50, p99, p999 }: typeof found.heddle): string =>
      [p50, p99, p999].map((ms) => ms.toFixed(2)).join(' | ')
    console.log(`| Heddle: key, limits, route | ${row(found.heddle)} |`)
    console.log(`| one that allows everything, same library | ${row(found.allow)} |`)
    return found
  } finally {
    await proxy.stop()
  }
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
models: { m: mock/m, gpt-4o-mini: mock/m }
mesh: { kind: none }
${keyAndLimits}`,
    )
    return start('gateway', file)
  }
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

  const late = envoy === null ? null : await behindEnvoy(gateway.policy)

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
  const p99 = late?.heddle.p99 ?? Number.NaN
  const bare = late?.allow.p99 ?? Number.NaN
  // A machine on which an answer that decides nothing takes as long has shown nothing about decisions.
  const said = late === null || (p99 > BAR_MS && bare > BAR_MS) ? 'UNDECIDED' : p99 <= BAR_MS ? 'holds' : 'NOT MET'
  const ratio = of('ext_proc') / of('the proxy itself')
  console.log(
    `\nbench:policy: ext_authz p99 ${p99.toFixed(2)} ms at ${RATE}/s (bar ${BAR_MS} ms) ${said}; one that allows everything ${bare.toFixed(2)} ms; ext_proc ${of('ext_proc').toFixed(0)} µs a request, ${ratio.toFixed(2)} × the proxy itself`,
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
