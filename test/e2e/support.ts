/** What every e2e test talks to: the gateway as a process, or the simulator itself with HEDDLE_E2E_DIRECT=1. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { setTimeout as wait } from 'node:timers/promises'
import { startSim } from '../../src/sim/index.ts'

export interface Gateway {
  /** Ends in /v1. */
  readonly url: string
  /** The simulator answers without a gateway before it. */
  readonly direct: boolean
  stop(): Promise<void>
}

export const DIRECT = process.env['HEDDLE_E2E_DIRECT'] === '1'

const START_LIMIT_MS = 30_000

const freePorts = async (count: number): Promise<number[]> => {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Without the keys and addresses of real providers: these tests must never leave the machine. */
const cleanEnv = (): NodeJS.ProcessEnv => {
  const foreign = /_API_KEY$|_TOKEN$|_API_BASE$|_BASE_URL$|_ENDPOINT$|^HEDDLE_|^AWS_|^AZURE_|^GOOGLE_|^OPENAI_|^OLLAMA_/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
}

const answers = async (url: string): Promise<boolean> => {
  try {
    const response = await fetch(url)
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

const startProcess = async (config: string | undefined): Promise<Gateway> => {
  const [port = 0, adminPort = 0] = await freePorts(2)
  const bin = fileURLToPath(new URL('../../bin/heddle.mjs', import.meta.url))
  const args = [bin, 'serve', '--port', String(port), '--admin-port', String(adminPort)]
  if (config !== undefined) args.push('--config', config)
  const cwd = fileURLToPath(new URL('.', import.meta.url))
  const child = spawn(process.execPath, args, { cwd, env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  const note = (chunk: Buffer): void => {
    log = (log + chunk.toString()).slice(-8_000)
  }
  child.stdout.on('data', note)
  child.stderr.on('data', note)
  const closed = once(child, 'close')
  const url = `http://127.0.0.1:${port}/v1`
  const deadline = Date.now() + START_LIMIT_MS
  while (!(await answers(`${url}/models`))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`the gateway did not start:\n${log}`)
    }
    await wait(50)
  }
  return {
    url,
    direct: false,
    stop: async () => {
      child.kill('SIGTERM')
      const killer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await closed
      clearTimeout(killer)
    },
  }
}

/** @param config name of a file in this folder; default: none, which serves the built-in simulator. */
export const startGateway = async (config?: string): Promise<Gateway> => {
  if (!DIRECT) return startProcess(config)
  const sim = await startSim()
  return { url: sim.url, direct: true, stop: () => sim.close() }
}

/** For tests that leave the gateway's view of its backends changed. */
export const withGateway = async <T>(use: (gateway: Gateway) => Promise<T>, config?: string): Promise<T> => {
  const gateway = await startGateway(config)
  try {
    return await use(gateway)
  } finally {
    await gateway.stop()
  }
}
