/** How soon external authorizations are answered: straight at the port, and as a real Envoy sees it. Of bench/policy.ts. */
import { execFile, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { H2Plan, LoadReport } from './h2-load.ts'
import { cpuMicros } from './proc.ts'
import { startEnvoy } from '../test/mesh/kit/envoy.ts'
import { extAuthz, grpcCluster } from '../test/mesh/kit/policy.ts'

export const RATE = 2000
const SLICE_MS = 4000
const WARM_MS = 1000
const SLICES = 5
const MERGE_MS = 6000
const CHECK = '/envoy.service.auth.v3.Authorization/Check'
/** Ms between sendings, at 2,000 a second: two at a time, and twenty. */
const PATTERNS = { 'evenly, 2 each ms': 1, 'in bursts, 20 each 10 ms': 10 } as const

export interface Served {
  readonly name: string
  readonly port: number
  readonly child: ChildProcess
}

export interface Latency {
  readonly served: string
  readonly pattern: string
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly micros: number
  readonly lateP99: number
}

const run = promisify(execFile)

async function load(plan: Omit<H2Plan, 'rate' | 'warmMs' | 'durationMs'>): Promise<LoadReport> {
  const whole: H2Plan = { ...plan, rate: RATE, warmMs: WARM_MS, durationMs: SLICE_MS }
  const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'h2-load.ts'), JSON.stringify(whole)])
  const report = JSON.parse(stdout) as LoadReport
  if (report.bad > 0) throw new Error(`not all were allowed: ${JSON.stringify(report)}`)
  return report
}

const middle = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? Number.NaN

/** Each server in turn, slice by slice; the middle of the slices. check: a CheckRequest behind its five bytes. */
export async function straight(servers: readonly Served[], check: Buffer): Promise<readonly Latency[]> {
  const rows: Latency[] = []
  for (const [pattern, everyMs] of Object.entries(PATTERNS)) {
    const found = servers.map(() => ({ reports: [] as LoadReport[], micros: [] as number[] }))
    for (let slice = 0; slice <= SLICES; slice++)
      for (const [i, { port, child }] of servers.entries()) {
        const headers = [':method', 'POST', ':scheme', 'http', ':path', CHECK, ':authority', 'heddle']
        headers.push('content-type', 'application/grpc', 'te', 'trailers')
        const before = cpuMicros(child.pid!)
        const report = await load({ port, headers, body: check.toString('base64'), grpc: true, least: 9, everyMs })
        const calls = (RATE * (WARM_MS + SLICE_MS)) / 1000
        // The first of each is for compilers.
        if (slice === 0) continue
        found[i]!.reports.push(report)
        found[i]!.micros.push((cpuMicros(child.pid!) - before) / calls)
      }
    for (const [i, { name }] of servers.entries()) {
      const of = (value: (report: LoadReport) => number): number => middle(found[i]!.reports.map(value))
      rows.push({
        served: name,
        pattern,
        p50: of((r) => r.p50),
        p99: of((r) => r.p99),
        p999: of((r) => r.p999),
        lateP99: of((r) => r.lateP99),
        micros: middle(found[i]!.micros),
      })
    }
  }
  return rows
}

export function printStraight(rows: readonly Latency[]): void {
  console.log(
    `External authorization at ${RATE} a second, ms from a request's write to its answer's end: the middle of ${SLICES} slices of ${SLICE_MS / 1000} s, ${(RATE * SLICE_MS) / 1000} calls each\n`,
  )
  console.log(
    '| sent | served by | p50 | p99 | p99.9 | CPU µs a call | client late, p99 |\n|---|---|---|---|---|---|---|',
  )
  for (const { pattern, served, p50, p99, p999, micros, lateP99 } of rows) {
    const ours = rows.find((row) => row.pattern === pattern)!
    const ratio = micros === ours.micros ? '' : ` (${(micros / ours.micros).toFixed(1)} ×)`
    console.log(
      `| ${pattern} | ${served} | ${p50.toFixed(2)} | ${p99.toFixed(2)} | ${p999.toFixed(2)} | ${micros.toFixed(0)}${ratio} | ${lateP99.toFixed(2)} |`,
    )
  }
}

/** H2load's own bursts, whose client is somebody else's; null = it is not installed. */
export async function byH2load(port: number, checkFile: string, logFile: string): Promise<number | null> {
  const args = ['-c', '1', '-m', '200', `--rps=${RATE}`, '-n', String((RATE * SLICE_MS) / 1000), '-d', checkFile]
  args.push('-H', 'content-type: application/grpc', '-H', 'te: trailers', `--log-file=${logFile}`)
  const found: number[] = []
  const { readFileSync, rmSync } = await import('node:fs')
  for (let slice = 0; slice <= SLICES; slice++) {
    rmSync(logFile, { force: true })
    try {
      await run('h2load', [...args, `http://127.0.0.1:${port}${CHECK}`])
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return null
      throw error
    }
    const lines = readFileSync(logFile, 'utf8').trim().split('\n')
    const micros = lines.map((line) => Number(line.split('\t')[2])).toSorted((a, b) => a - b)
    if (slice > 0) found.push((micros[Math.floor(micros.length * 0.99)] ?? Number.NaN) / 1000)
  }
  return middle(found)
}

/** Ms that a proxy waited for its policy service, by the proxy's own clock: percentiles of all that it has asked. */
async function waited(adminUrl: string, cluster: string): Promise<{ p50: number; p99: number; p999: number }> {
  const text = await (await fetch(`${adminUrl}/stats?filter=cluster.${cluster}.upstream_rq_time`)).text()
  const at = (percentile: string): number =>
    Number(new RegExp(`P${percentile}\\([^,]+,([\\d.]+)\\)`).exec(text)?.[1] ?? Number.NaN)
  return { p50: at('50'), p99: at('99'), p999: at('99\\.9') }
}

/** One listener of an Envoy for each server, which asks it. Requests come evenly. */
export async function behindEnvoy(servers: readonly Served[], key: string, body: string): Promise<number> {
  const names = servers.map((_, i) => `served-${i}`)
  const proxy = await startEnvoy(
    names.map((name) => ({
      name,
      to: [1],
      direction: 'inbound' as const,
      filters: [extAuthz(`policy-${name}`)],
      answer: { status: 200, body: 'allowed' },
    })),
    { clusters: servers.map(({ port }, i) => grpcCluster(`policy-${names[i]}`, port)) },
  )
  try {
    const headers = [':method', 'POST', ':scheme', 'http', ':path', '/v1/chat/completions', ':authority', 'llm.example']
    headers.push('content-type', 'application/json', 'authorization', `Bearer ${key}`)
    headers.push('content-length', String(body.length))
    for (let slice = 0; slice < SLICES; slice++)
      for (const name of names) {
        const plan = { port: proxy.port(name), headers, body: Buffer.from(body).toString('base64') }
        await load({ ...plan, grpc: false, least: 7, everyMs: 1 })
      }
    // Envoy merges what its threads have seen every five seconds.
    await new Promise((resolve) => void setTimeout(resolve, MERGE_MS))
    console.log(`\nWhat Envoy waited for it at ${RATE} requests a second, ms (its own clock, whole ms)\n`)
    console.log('| served by | p50 | p99 | p99.9 |\n|---|---|---|---|')
    let first = Number.NaN
    for (const [i, { name }] of servers.entries()) {
      const { p50, p99, p999 } = await waited(proxy.adminUrl, `policy-${names[i]}`)
      if (i === 0) first = p99
      console.log(`| ${name} | ${p50.toFixed(2)} | ${p99.toFixed(2)} | ${p999.toFixed(2)} |`)
    }
    return first
  } finally {
    await proxy.stop()
  }
}
