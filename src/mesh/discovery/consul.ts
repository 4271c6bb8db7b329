import type { Discovery, Endpoint } from '../../contracts/cluster.ts'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'
import { isHost, isPort } from '../../core/host-port.ts'
import { deduped, endpointOf, weightOf, wordOf } from './address.ts'
import { askOnce, refused, type HttpBase } from './http.ts'
import { listOf, mapOf, parseJson, textOf } from './json.ts'
import { DiscoveryFault, Loop, type DiscoveryParts, type Told } from './parts.ts'

type ConsulConfig = Extract<DiscoveryConfig, { type: 'consul' }>

const MAX_BYTES = 4 * 1024 * 1024
/** Consul adds up to a sixteenth of the wait, and the answer takes its time. */
const SLACK_MS = 10_000
/** A service whose index moves all the time is asked for no more often than this, ms. */
const MIN_INTERVAL_MS = 100

/** Weights by health as the service's owner has set them; 1 each by default. */
const weightIn = (service: ReturnType<typeof mapOf>, warning: boolean): number | null => {
  const weights = mapOf(service['Weights'])
  const weight = weights[warning ? 'Warning' : 'Passing']
  // 0 takes an instance out without deregistering it.
  return weight === 0 ? null : weightOf(weight)
}

type State = 'passing' | 'warning' | 'critical'

const stateOf = (checks: unknown): State => {
  const statuses = listOf(checks).map((check) => textOf(mapOf(check)['Status']))
  if (statuses.some((status) => status !== 'passing' && status !== 'warning')) return 'critical'
  return statuses.includes('warning') ? 'warning' : 'passing'
}

const endpointIn = (entry: unknown): Endpoint | null | 'invalid' => {
  const service = mapOf(mapOf(entry)['Service'])
  const node = mapOf(mapOf(entry)['Node'])
  // An instance without an address of its own is on its node.
  const host = textOf(service['Address']) || textOf(node['Address'])
  const port = service['Port']
  if (!isHost(host) || !isPort(port)) return 'invalid'
  const state = stateOf(mapOf(entry)['Checks'])
  if (state === 'critical') return null
  const weight = weightIn(service, state === 'warning')
  if (weight === null) return null
  const zone = wordOf(mapOf(service['Meta'])['zone']) || wordOf(mapOf(service['Locality'])['Zone'])
  return endpointOf(
    { host: host.toLowerCase(), port },
    { weight, zone: zone || wordOf(mapOf(node['Locality'])['Zone']), name: wordOf(service['ID']) },
  )
}

/** An answer of /v1/health/service. Throws DiscoveryFault `invalid` when it is none. */
export function readConsul(body: string): { readonly endpoints: readonly Endpoint[]; readonly skipped: number } {
  const entries = parseJson(body, 'health of the service')
  if (!Array.isArray(entries)) throw new DiscoveryFault('invalid', 'health of the service: no list')
  const found = entries.map(endpointIn)
  const endpoints = found.filter((endpoint) => endpoint !== null && endpoint !== 'invalid')
  return { endpoints: deduped(endpoints), skipped: found.filter((endpoint) => endpoint === 'invalid').length }
}

/**
 * The index to ask with next, by the rules of Consul's documentation of blocking queries: one that goes back means that
 * the state is another, and one that is not above 0 would never block.
 */
export function nextIndex(before: number, header: string | string[] | undefined): number {
  const index = typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : 0
  return index < before ? 0 : Math.max(index, 1)
}

/** Healthy instances of one service, by blocking queries. */
export class ConsulDiscovery implements Discovery {
  readonly #config: ConsulConfig
  readonly #parts: DiscoveryParts
  readonly #base: HttpBase
  #index = 0
  #loop: Loop | null = null

  constructor(config: ConsulConfig, parts: DiscoveryParts) {
    this.#config = config
    this.#parts = parts
    const { url, token, ca } = config
    this.#base = {
      url,
      ca,
      headers: { 'user-agent': `heddle/${parts.version}`, ...(token === null ? {} : { 'x-consul-token': token }) },
    }
  }

  start(on: Told): void {
    this.#loop = new Loop(this.#parts, on, async (signal) => {
      try {
        return await this.#ask(on, signal)
      } catch (error) {
        // The next answer has to come at once, to be seen to.
        this.#index = 0
        throw error
      }
    })
  }

  close(): void {
    this.#loop?.close()
  }

  #path(): string {
    const { service, tag, datacenter, namespace, waitMs, passingOnly } = this.#config
    const query = new URLSearchParams()
    if (passingOnly) query.set('passing', 'true')
    if (tag !== null) query.set('tag', tag)
    if (datacenter !== null) query.set('dc', datacenter)
    if (namespace !== null) query.set('ns', namespace)
    if (this.#index > 0) {
      query.set('index', String(this.#index))
      query.set('wait', `${Math.max(1, Math.round(waitMs / 1000))}s`)
    }
    return `/v1/health/service/${encodeURIComponent(service)}?${query.toString()}`
  }

  async #ask(on: Told, signal: AbortSignal): Promise<number> {
    const blocking = this.#index > 0
    const { clock, random } = this.#parts
    // Of many gateways not all ask at the same moment.
    const pauseMs = MIN_INTERVAL_MS * (0.5 + random.next())
    const began = clock.monotonic()
    const timeoutMs = (blocking ? this.#config.waitMs * (17 / 16) : 0) + SLACK_MS
    const answer = await askOnce(this.#base, { path: this.#path(), timeoutMs, maxBytes: MAX_BYTES, signal })
    if (answer.status !== 200) throw refused(this.#base, answer.status)
    const index = nextIndex(this.#index, answer.headers['x-consul-index'])
    const same = blocking && index === this.#index
    this.#index = index
    if (same) {
      on.alive()
      // What stands in between may answer at once what it should have waited for.
      return clock.monotonic() - began < MIN_INTERVAL_MS ? pauseMs : 0
    }
    const { endpoints, skipped } = readConsul(answer.body)
    on.endpoints(endpoints)
    if (skipped > 0) on.skipped('invalid', `${skipped} instances without a usable address and port`)
    return index === 0 ? 0 : pauseMs
  }
}
