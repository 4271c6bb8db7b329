import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { JWT, jwtOnly, keyAndLimits, redisLimits } from './policies.ts'
import { envoy, findProgram, haproxy, nginx } from './peers.ts'
import type { Command } from './peers.ts'

const root = join(import.meta.dirname, '..')

export interface Target {
  readonly name: string
  readonly group: 'direct' | 'floor' | 'peer' | 'heddle'
  readonly workers: number
  /** Null when what it needs is not on this machine. */
  readonly command: (port: number, backend: number, folder: string, redis: number) => Command | null
  /** What its clients send; left out: the key that all send. */
  readonly token?: string
  /** Only the small JSON request is measured: the rest is Heddle's own. */
  readonly chatOnly?: boolean
  /** Started before it. */
  readonly redis?: boolean
}

export const HEDDLE = 'heddle'
export const HEDDLE_TWO = 'heddle x2'
export const HEDDLE_KEY = 'heddle + key and 2 limits'
export const HEDDLE_JWT = 'heddle + JWT'
export const HEDDLE_REDIS = 'heddle + key and 2 limits in Redis'
/** Not a target: figures of bench/inprocess.ts. */
export const IN_PROCESS = 'in process'
export const FLOOR = 'fastify + undici'
export const DIRECT = 'direct'

const floor =
  (kind: string) =>
  (port: number, backend: number, folder: string): Command => ({
    command: process.execPath,
    args: [join(import.meta.dirname, 'floors.ts'), kind, String(port), String(backend)],
    // Stripping types takes 16 MB that a compiled program does not need.
    env: { NODE_COMPILE_CACHE: `${folder}-cache` },
  })

/** What a production configuration has on: access log, metrics, usage metering. Timeouts are out of the way of held streams. */
const heddleConfig = (backend: number, workers: number, policies: string): string => `
server:
  workers: ${workers}
  log: { level: info, access: true }
  shed: { max_inflight: 100000, max_loop_delay: 0s }
providers:
  mock:
    type: openai_compatible
    base_url: http://127.0.0.1:${backend}/v1
    api_key: sk-upstream-0123456789abcdef
    max_connections: 20000
    operations: [chat, embeddings]
models:
  gpt-4o-mini: mock/gpt-4o-mini
  text-embedding-3-small: mock/text-embedding-3-small
defaults:
  timeouts: { first_token: 10m, idle: 10m, attempt: 30m, total: 30m }
${policies}`

/**
 * Heddle as a package manager leaves it, compiled, once for a run of the benchmark: `shared` is its folder.
 * Throws when it does not compile.
 */
const packageIn = (shared: string): string => {
  const home = join(shared, 'package')
  if (existsSync(home)) return home
  mkdirSync(home)
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const args = [tsc, '-p', 'tsconfig.build.json', '--outDir', join(home, 'dist')]
  const { stdout } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  // The compiler writes its output even when a type does not fit; that is the type check's business, not ours.
  if (!existsSync(join(home, 'dist', 'cli', 'entry.js'))) throw new Error(`Heddle does not compile:\n${stdout}`)
  for (const name of ['bin', 'config', 'package.json']) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(home, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'))
  return home
}

interface Setup {
  readonly workers: number
  readonly policies?: string
}

const serve = (node: string, port: number, backend: number, folder: string, setup: Setup): Command => {
  mkdirSync(folder, { recursive: true })
  const config = join(folder, 'heddle.yaml')
  writeFileSync(config, heddleConfig(backend, setup.workers, setup.policies ?? ''))
  const launcher = join(packageIn(dirname(folder)), 'bin', 'heddle.mjs')
  return { command: node, args: [launcher, 'serve', '--config', config, '--port', String(port), '--admin-port', '0'] }
}

const heddle =
  (workers: number, policies = '') =>
  (port: number, backend: number, folder: string): Command =>
    serve(process.execPath, port, backend, folder, { workers, policies })

const heddleRedis = (port: number, backend: number, folder: string, redis: number): Command =>
  serve(process.execPath, port, backend, folder, { workers: 1, policies: redisLimits(redis) })

/** As a user starts it for the first time: by whatever `node` is on PATH, with nothing in its compile cache. */
export const firstStart = (port: number, backend: number, folder: string): Command => ({
  ...serve(findProgram('node') ?? process.execPath, port, backend, folder, { workers: 1 }),
  env: { NODE_DISABLE_COMPILE_CACHE: '1' },
})

export const TARGETS: readonly Target[] = [
  { name: DIRECT, group: 'direct', workers: 1, command: () => null },
  { name: FLOOR, group: 'floor', workers: 1, command: floor('fastify') },
  { name: HEDDLE, group: 'heddle', workers: 1, command: heddle(1) },
  { name: HEDDLE_KEY, group: 'heddle', workers: 1, command: heddle(1, keyAndLimits), chatOnly: true },
  { name: HEDDLE_JWT, group: 'heddle', workers: 1, command: heddle(1, jwtOnly), token: JWT, chatOnly: true },
  { name: HEDDLE_REDIS, group: 'heddle', workers: 1, command: heddleRedis, chatOnly: true, redis: true },
  { name: HEDDLE_TWO, group: 'heddle', workers: 2, command: heddle(2) },
  { name: 'node:http + undici', group: 'floor', workers: 1, command: floor('http') },
  { name: 'haproxy', group: 'peer', workers: 1, command: haproxy },
  { name: 'nginx', group: 'peer', workers: 1, command: nginx },
  { name: 'envoy', group: 'peer', workers: 1, command: envoy },
]
