import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadPlan, LoadResult } from './load-plan.ts'
import { findProgram } from './peers.ts'
import type { Command } from './peers.ts'

const cores = availableParallelism()
const canPin = findProgram('taskset') !== null && cores > 1

/** The last core is for the mock backend and the load generator; the gateway has the first, or one for each worker if there are enough. */
export const gatewayCores = (workers: number): string => (cores >= workers + 2 ? `0-${workers - 1}` : '0')
export const hasCoresFor = (workers: number): boolean => cores >= workers + 2
export const loadCore = String(cores - 1)

const running = new Set<ChildProcess>()

const pinned = (core: string, { command, args }: Command): [string, string[]] =>
  canPin ? [findProgram('taskset') ?? 'taskset', ['-c', core, command, ...args]] : [command, [...args]]

/** Starts a process of its own group, silent unless `log` names a file. */
export const start = (core: string, command: Command, log: string): ChildProcess => {
  const errors = openSync(log, 'a')
  const [file, args] = pinned(core, command)
  // Standard output takes the access log: written like in production, kept nowhere.
  const sink = openSync('/dev/null', 'w')
  const child = spawn(file, args, {
    stdio: ['ignore', sink, errors],
    detached: true,
    env: { ...process.env, ...command.env },
  })
  closeSync(errors)
  closeSync(sink)
  running.add(child)
  child.once('exit', () => running.delete(child))
  child.once('error', () => running.delete(child))
  return child
}

/** Ends a process and its group; waits until it is gone, SIGKILL after three seconds. */
export const stop = async (child: ChildProcess): Promise<void> => {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<boolean>((resolve) => {
    child.once('exit', () => resolve(true))
  })
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    try {
      process.kill(-child.pid, signal)
    } catch {
      return
    }
    if (await Promise.race([gone, sleep(3000, false)])) return
  }
}

export const stopAll = async (): Promise<void> => {
  await Promise.all([...running].map(stop))
}

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })

/** Runs the load generator on its core. */
export const load = (plan: LoadPlan): Promise<LoadResult> =>
  new Promise((resolve, reject) => {
    const args = [join(import.meta.dirname, 'load.ts'), JSON.stringify(plan)]
    const [file, rest] = pinned(loadCore, { command: process.execPath, args })
    const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let errors = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (errors += chunk))
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(output) as LoadResult)
      else reject(new Error(`load generator ended with ${code}: ${errors.slice(-500)}`))
    })
  })

/** Runs a script of this folder on the gateway's core; what it prints is JSON. */
export const runScript = <T>(name: string, args: readonly string[]): Promise<T> =>
  new Promise((resolve, reject) => {
    const node = ['--max-semi-space-size=8', join(import.meta.dirname, name), ...args]
    const [file, rest] = pinned(gatewayCores(1), { command: process.execPath, args: node })
    const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    running.add(child)
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.once('error', reject)
    child.once('close', (code) => {
      running.delete(child)
      if (code === 0) resolve(JSON.parse(output) as T)
      else reject(new Error(`${name} ended with ${code}`))
    })
  })

export interface MockStats {
  readonly requests: number
  readonly openStreams: number
}

export class Mock {
  readonly port: number
  readonly process: ChildProcess

  private constructor(port: number, child: ChildProcess) {
    this.port = port
    this.process = child
  }

  static async start(log: string): Promise<Mock> {
    const port = await freePort()
    const args = [join(import.meta.dirname, 'mock.ts'), String(port)]
    const mock = new Mock(port, start(loadCore, { command: process.execPath, args }, log))
    const ready = await until(10_000, () => mock.#get('/stats'))
    if (ready === null) throw new Error('the mock backend did not start')
    return mock
  }

  async #get(path: string): Promise<MockStats> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`)
    return (await response.json()) as MockStats
  }

  /** Milliseconds; interval 0 = as fast as it goes, -1 = one chunk and then silence. */
  async configure(settings: { chunks: number; interval: number }): Promise<void> {
    await this.#get(`/config?chunks=${settings.chunks}&interval=${settings.interval}`)
    await this.#get('/reset')
  }

  stats(): Promise<MockStats> {
    return this.#get('/stats')
  }
}

/** Tries again every few milliseconds; null when `limitMs` is over. */
export const until = async <T>(limitMs: number, attempt: () => Promise<T>): Promise<T | null> => {
  const end = performance.now() + limitMs
  while (performance.now() < end) {
    try {
      return await attempt()
    } catch {
      await sleep(3)
    }
  }
  return null
}
