// A real gateway in this process: configuration in a temporary file, free ports, no signals, no banner.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ServeOptions } from '../../src/cli/serve.ts'
import { loadConfig } from '../../src/config/index.ts'
import { modelFacts, modelPrices, PRESETS } from '../../src/providers/index.ts'
import { serve } from '../../src/server.ts'
import type { Ports } from '../../src/server/messages.ts'

/** One target's health, as `/admin/state` shows it. */
export interface TargetState {
  readonly target: string
  readonly inflight: number
  readonly latency_ms: number
  readonly consecutive_failures: number
  readonly ejections: number
  readonly ejected_ms: number
  readonly busy_ms: number
  readonly dead_ms: number
}

export interface Gateway {
  /** `http://127.0.0.1:PORT`, without `/v1`. */
  readonly url: string
  readonly tlsUrl: string | null
  readonly adminUrl: string
  readonly port: number
  /** All that is listened on. */
  readonly ports: Ports
  /** The configuration file; '' with zero configuration. */
  readonly file: string
  /** Replaces the file; the watcher or reload() notices. */
  write(yaml: string): void
  /** Resolves with whether the file was taken. */
  reload(yaml?: string): Promise<boolean>
  /** Prometheus text. */
  metrics(): Promise<string>
  /** Value of one sample, such as `heddle_requests_total{status="200"}`: all samples that match name and labels, summed. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
  state(): Promise<Record<string, unknown>>
  /** Health by target name. */
  targets(): Promise<Readonly<Record<string, TargetState>>>
  /** Resolves with the number of requests that were cut. */
  stop(): Promise<number>
}

const QUIET = 'log: { level: silent, access: false }'

/** yaml null = zero configuration. A `server:` block of the text is the caller's own; without one logs are off. */
export async function startGateway(yaml: string | null, options: ServeOptions = {}): Promise<Gateway> {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-gateway-'))
  const file = join(folder, 'heddle.yaml')
  const put = (text: string): void =>
    writeFileSync(file, /^server:/m.test(text) ? text : `server: { ${QUIET} }\n${text}`)
  if (yaml !== null) put(yaml)
  const given = { ...(yaml === null ? {} : { config: file }), port: 0, adminPort: 0, ...options }
  const { config: source = null, ...overrides } = given
  // Read here: the process of its own that `serve` starts for it takes longer than most tests. reload() still uses it.
  const loading = Promise.resolve().then(() =>
    loadConfig(source, { presets: PRESETS, facts: modelFacts, prices: modelPrices, overrides }),
  )
  const server = await serve(given, { signals: false, quiet: true, loading })
  const get = async (path: string): Promise<Response> => fetch(`${server.adminUrl}${path}`)
  const metrics = async (): Promise<string> => (await get('/metrics')).text()
  return {
    url: server.url,
    adminUrl: server.adminUrl,
    tlsUrl: server.tlsUrl,
    port: Number(new URL(server.url).port),
    ports: server.ports,
    file: yaml === null ? '' : file,
    write: put,
    reload: (text) => {
      if (text !== undefined) put(text)
      return server.reload()
    },
    metrics,
    metric: async (name, labels = {}) => sumSamples(await metrics(), name, labels),
    state: async () => (await get('/admin/state')).json() as Promise<Record<string, unknown>>,
    targets: async () => {
      const { targets } = (await (await get('/admin/state')).json()) as { readonly targets: readonly TargetState[] }
      return Object.fromEntries(targets.map((t) => [t.target, t]))
    },
    stop: async () => {
      const cut = await server.stop()
      rmSync(folder, { recursive: true, force: true })
      return cut
    },
  }
}

function sumSamples(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  let sum = 0
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line)
    if (match?.[1] !== name) continue
    const has = (key: string, value: string): boolean => (match[2] ?? '').includes(`${key}="${value}"`)
    if (Object.entries(labels).every(([key, value]) => has(key, value))) sum += Number(match[3])
  }
  return sum
}
