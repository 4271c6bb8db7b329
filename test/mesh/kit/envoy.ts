/** One Envoy process with a static configuration, as a sidecar has it: what stands in front of Heddle and behind it. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { call } from '../../support/client.ts'
import { envoy } from './binary.ts'
import type { Proxy } from './proxy.ts'
import { cluster, listener, sinkCluster } from './proxy.ts'

export interface RunningEnvoy {
  /** Port of a listener by its name. */
  port(name: string): number
  /** `http://127.0.0.1:PORT` of a listener. */
  url(name: string): string
  readonly adminUrl: string
  /** All counters and gauges. */
  stats(): Promise<Readonly<Record<string, number>>>
  /** One of them; 0 when it is not there yet. */
  stat(name: string): Promise<number>
  readonly pid: number
  stop(signal?: NodeJS.Signals): Promise<void>
}

export interface EnvoyOptions {
  /** Where spans go, as the tracers of the proxies say: OTLP over HTTP, or Zipkin's JSON. Ports on loopback. */
  readonly otlpPort?: number
  readonly zipkinPort?: number
  /** `service.name` of its spans. */
  readonly service?: string
  /** Beside those of the proxies. */
  readonly clusters?: readonly object[]
  readonly concurrency?: number
  /** Added to the bootstrap as it is. */
  readonly bootstrap?: object
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

const bootstrapOf = (proxies: readonly Proxy[], options: EnvoyOptions): object => ({
  node: { id: options.service ?? 'envoy', cluster: options.service ?? 'envoy' },
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
  static_resources: {
    listeners: proxies.map((proxy) => listener(proxy, options.service ?? 'envoy')),
    clusters: [
      ...proxies.map(cluster),
      ...(options.clusters ?? []),
      ...(options.otlpPort === undefined ? [] : [sinkCluster('otlp', options.otlpPort)]),
      ...(options.zipkinPort === undefined ? [] : [sinkCluster('zipkin', options.zipkinPort)]),
    ],
  },
  layered_runtime: {
    layers: [
      {
        name: 'static',
        static_layer: {
          // Tests wait for spans: proxies of a mesh hold them for five seconds.
          'tracing.opentelemetry.flush_interval_ms': 200,
          'tracing.opentelemetry.min_flush_spans': 1,
          'tracing.zipkin.flush_interval_ms': 200,
          'tracing.zipkin.min_flush_spans': 1,
        },
      },
    ],
  },
  ...options.bootstrap,
})

interface ListenerStatus {
  readonly name: string
  readonly local_address: { readonly socket_address: { readonly port_value: number } }
}

/** Resolves when it takes connections. Throws with what it said when it does not start. */
export async function startEnvoy(proxies: readonly Proxy[], options: EnvoyOptions = {}): Promise<RunningEnvoy> {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-envoy-'))
  const config = join(folder, 'envoy.json')
  const address = join(folder, 'admin')
  writeFileSync(config, JSON.stringify(bootstrapOf(proxies, options)))
  const flags = [
    '--concurrency',
    String(options.concurrency ?? 1),
    '--use-dynamic-base-id',
    '--disable-hot-restart',
    '--log-level',
    'warning',
    '--file-flush-interval-msec',
    '50',
  ]
  const child = spawn(envoy!, ['-c', config, '--admin-address-path', address, ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < 20_000) said += chunk.toString()
  })
  const exited = new Promise<void>((resolve) => void child.on('exit', () => resolve()))
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    await Promise.race([exited, pause(3000).then(() => child.kill('SIGKILL'))])
    await exited
    rmSync(folder, { recursive: true, force: true })
  }
  let listeners: readonly ListenerStatus[] = []
  let adminUrl = ''
  for (let i = 0; i < 400 && listeners.length < proxies.length; i++) {
    if (child.exitCode !== null) throw new Error(`Envoy did not start: ${said}`)
    await pause(25)
    if (!existsSync(address)) continue
    adminUrl = `http://${readFileSync(address, 'utf8').trim()}`
    const reply = await call(`${adminUrl}/listeners?format=json`).catch(() => null)
    listeners =
      (reply?.json() as { listener_statuses?: readonly ListenerStatus[] } | undefined)?.listener_statuses ?? []
  }
  if (listeners.length < proxies.length) {
    await stop('SIGKILL')
    throw new Error(`Envoy does not listen: ${said}`)
  }
  const ports = new Map(listeners.map((l) => [l.name, l.local_address.socket_address.port_value]))
  const stats = async (): Promise<Readonly<Record<string, number>>> => {
    const { text } = await call(`${adminUrl}/stats`)
    const lines = text.matchAll(/^(\S+): (\d+)$/gm)
    return Object.fromEntries([...lines].map(([, name, value]) => [name!, Number(value)]))
  }
  return {
    port: (name) => ports.get(name)!,
    url: (name) => `http://127.0.0.1:${ports.get(name)!}`,
    adminUrl,
    stats,
    stat: async (name) => (await stats())[name] ?? 0,
    pid: child.pid!,
    stop,
  }
}
