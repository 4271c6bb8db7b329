// Does: a simulated model backend that speaks the OpenAI API and other vendors', deterministic, with faults on demand
// (`heddle sim`).
// Does not: run a model, keep state on disk, or share a line with the gateway's codecs: it is their witness.
// Contract: docs/guides/simulator.md, and the types below.
import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { SimState } from './call.ts'
import type { QuotaLimits } from './quota.ts'
import { createFaultGate, FaultSpecError, NO_FAULTS, parseFaults } from './faults.ts'
import { createQuota } from './quota.ts'
import { hexId } from './random.ts'
import type { SimClosed, SimReceived, SimStats } from './recorder.ts'
import { Recorder } from './recorder.ts'
import { attachRealtime } from './realtime.ts'
import { createSimServer } from './server.ts'
import { createPrefixCache } from './tokens.ts'

export { FAULTS, OVERLOAD_PROVIDERS, RATE_LIMIT_HINTS, SPLIT_UTF8_TEXT } from './faults.ts'
export type { Fault, FaultArgument, FaultEffect } from './faults.ts'
export { SIM_MODELS } from './models.ts'
export type { SimClosed, SimReceived, SimStats } from './recorder.ts'
export { countTokens } from './tokens.ts'
export { FaultSpecError }

export interface SimOptions {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: any free port. */
  readonly port?: number
  /** What answers depend on beside the messages; default 1. */
  readonly seed?: number
  /** If set, requests with another key get 401. */
  readonly apiKey?: string
  /** Names that `GET /v1/models` does not list get 404; default false. */
  readonly strictModels?: boolean
  /** For each API key; default: none. */
  readonly quota?: QuotaLimits
  /** Fault spec for all requests, such as `delay_first=300;prob=0.1`. */
  readonly faults?: string
  /** A prompt prefix is reported as cached in blocks of this many tokens; default 64. */
  readonly cacheBlockTokens?: number
}

export interface Sim {
  /** `http://127.0.0.1:PORT/v1` */
  readonly url: string
  readonly port: number
  stats(): SimStats
  /** The last 1000, oldest first; fewer if their bodies exceed 64 MiB. */
  readonly received: readonly SimReceived[]
  /** Answers whose connection the peer closed before their end: the last 1000, oldest first. */
  readonly closed: readonly SimClosed[]
  /** @returns a function that removes the listener. */
  onClosed(listener: (closed: SimClosed) => void): () => void
  /** Forgets requests, counts, quotas, files, responses and the memory of `times` and `prob`. */
  reset(): void
  /** Closes open connections as well. */
  close(): Promise<void>
}

const DEFAULT_CACHE_BLOCK = 64

const createState = (options: SimOptions): SimState => {
  const seed = options.seed ?? 1
  // Ids differ between simulators, or two backends with one seed would hand out the same ones.
  const instance = randomBytes(8).toString('hex')
  let next = 0
  return {
    seed,
    organisation: instance,
    strictModels: options.strictModels ?? false,
    prefixes: createPrefixCache(options.cacheBlockTokens ?? DEFAULT_CACHE_BLOCK),
    files: new Map(),
    responses: new Map(),
    items: new Map(),
    nextId: (length) => hexId(`${instance}/${next++}`, length),
  }
}

/**
 * Starts a simulator; resolves when it listens.
 * @throws FaultSpecError for a bad `faults`; the error of `listen` for an address that cannot be used.
 */
export const startSim = async (options: SimOptions = {}): Promise<Sim> => {
  const host = options.host ?? '127.0.0.1'
  const state = createState(options)
  const recorder = new Recorder()
  const gate = createFaultGate(state.seed)
  const quota = createQuota(options.quota ?? {})
  const defaults = options.faults === undefined ? NO_FAULTS : parseFaults(options.faults)
  const server = createSimServer({ state, recorder, gate, quota, defaults, apiKey: options.apiKey })
  const endSessions = attachRealtime(server, { state, apiKey: options.apiKey })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}/v1`,
    port,
    stats: () => recorder.stats(),
    received: recorder.received,
    closed: recorder.closed,
    onClosed: (listener) => recorder.onClosed(listener),
    reset: () => {
      recorder.reset()
      gate.reset()
      quota.reset()
      state.prefixes.clear()
      for (const map of [state.files, state.responses, state.items]) map.clear()
    },
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)))
        recorder.stop()
        endSessions()
        server.closeAllConnections()
      }),
  }
}
