import type { Discovery } from '../../contracts/cluster.ts'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'
import { deduped } from './address.ts'
import { endpointInEtcd, etcdFault, rangeEnd, readRange, readWatch } from './etcd-read.ts'
import { askLines, askOnce, type Answer, type HttpBase } from './http.ts'
import { mapOf, parseJson, textOf } from './json.ts'
import { DiscoveryFault, Loop, type DiscoveryParts, type Told } from './parts.ts'

type EtcdConfig = Extract<DiscoveryConfig, { type: 'etcd' }>

const TIMEOUT_MS = 5000
const MAX_BYTES = 4 * 1024 * 1024
/** Keys that are looked at. */
const MAX_KEYS = 2000
/** A watch is begun anew after this: so that one that has died silently is noticed, and what was missed is made good. */
const WATCH_MS = 60_000
/** Watches that end sooner are not begun again at once. */
const SHORT_MS = 200

/** What etcd says in place of an answer: a fault of the credentials or of the server. */
function faultIn({ status, body }: Answer): DiscoveryFault {
  if (status === 404) return new DiscoveryFault('not_found', 'etcd: no JSON gateway at this URL')
  try {
    const fault = etcdFault(mapOf(JSON.parse(body)))
    return status === 401 || status === 403 ? new DiscoveryFault('denied', fault.message) : fault
  } catch {
    return new DiscoveryFault(status === 401 || status === 403 ? 'denied' : 'failed', `etcd: answered ${status}`)
  }
}

/** Keys below a prefix, through etcd's JSON gateway: read whole, then watched from the revision after that. */
export class EtcdDiscovery implements Discovery {
  readonly #config: EtcdConfig
  readonly #parts: DiscoveryParts
  readonly #range: { readonly key: string; readonly range_end: string }
  readonly #pairs = new Map<string, string>()
  #at = 0
  /** Null = none, or it has been refused. */
  #token: string | null = null
  #loop: Loop | null = null

  constructor(config: EtcdConfig, parts: DiscoveryParts) {
    this.#config = config
    this.#parts = parts
    const prefix = Buffer.from(config.prefix)
    this.#range = { key: prefix.toString('base64'), range_end: rangeEnd(prefix).toString('base64') }
  }

  start(on: Told): void {
    const parts = this.#parts
    this.#loop = new Loop(parts, on, async (signal) => {
      try {
        const began = parts.clock.monotonic()
        await this.#renewed(() => this.#readAndWatch(on, signal), signal)
        return parts.clock.monotonic() - began < SHORT_MS ? SHORT_MS : 0
      } catch (error) {
        // Another member of the cluster may be well.
        this.#at = (this.#at + 1) % this.#config.urls.length
        this.#token = null
        throw error
      }
    })
  }

  close(): void {
    this.#loop?.close()
  }

  #base(): HttpBase {
    const { urls, ca, token } = this.#config
    const authorization = this.#token ?? token
    return {
      url: urls[this.#at]!,
      ca,
      headers: {
        'user-agent': `heddle/${this.#parts.version}`,
        ...(authorization === null ? {} : { authorization }),
      },
    }
  }

  /** Tokens of etcd expire: one that is refused is replaced once. */
  async #renewed(task: () => Promise<void>, signal: AbortSignal): Promise<void> {
    if (this.#config.username === null) return task()
    const fresh = this.#token === null
    if (fresh) await this.#authenticate(signal)
    try {
      await task()
    } catch (error) {
      if (fresh || !(error instanceof DiscoveryFault) || error.reason !== 'denied') throw error
      await this.#authenticate(signal)
      await task()
    }
  }

  async #authenticate(signal: AbortSignal): Promise<void> {
    const { username, password } = this.#config
    this.#token = null
    const body = JSON.stringify({ name: username, password: password ?? '' })
    const answer = await this.#post('/v3/auth/authenticate', body, signal)
    const token = textOf(mapOf(parseJson(answer, 'token'))['token'])
    if (!/^[\x21-\x7e]{1,8192}$/.test(token)) throw new DiscoveryFault('invalid', 'etcd: no token')
    this.#token = token
  }

  async #post(path: string, body: string, signal: AbortSignal): Promise<string> {
    const ask = { method: 'POST', path, body, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES, signal } as const
    const answer = await askOnce(this.#base(), ask)
    if (answer.status !== 200) throw faultIn(answer)
    return answer.body
  }

  /** Ends when the watch is over and has to begin anew. */
  async #readAndWatch(on: Told, signal: AbortSignal): Promise<void> {
    const text = await this.#post('/v3/kv/range', JSON.stringify({ ...this.#range, limit: MAX_KEYS }), signal)
    const { revision, pairs, more } = readRange(text)
    this.#pairs.clear()
    for (const { key, value } of pairs) this.#pairs.set(key, value)
    this.#tell(on)
    if (more) on.skipped('too_large', `more than ${MAX_KEYS} keys`)
    const create = { ...this.#range, start_revision: revision + 1, progress_notify: true }
    const body = JSON.stringify({ create_request: create })
    const ask = { method: 'POST', path: '/v3/watch', body, timeoutMs: WATCH_MS, maxBytes: MAX_BYTES, signal } as const
    let compacted = false
    const answer = await askLines(this.#base(), ask, (line) => {
      compacted = this.#onLine(on, line)
      if (compacted) throw new DiscoveryFault('failed', 'etcd: compacted')
    }).catch((error: unknown) => {
      // What was asked for is gone: it is read whole again.
      if (!compacted) throw error
      return null
    })
    if (answer !== null) throw faultIn(answer)
  }

  /** Whether what is watched is no longer there. */
  #onLine(on: Told, line: string): boolean {
    const { compacted, events } = readWatch(line)
    for (const { key, value, deleted } of events) {
      if (deleted) this.#pairs.delete(key)
      else if (this.#pairs.size < MAX_KEYS || this.#pairs.has(key)) this.#pairs.set(key, value)
    }
    if (events.length === 0) on.alive()
    else this.#tell(on)
    return compacted
  }

  #tell(on: Told): void {
    const found = [...this.#pairs].map(([key, value]) => endpointInEtcd(key, value))
    const endpoints = found.filter((endpoint) => endpoint !== null)
    const wrong = found.length - endpoints.length
    // Keys whose values all make no sense are no statement that there is nobody.
    if (endpoints.length === 0 && wrong > 0) on.error('invalid', `${wrong} keys, and none holds an address`)
    else {
      on.endpoints(deduped(endpoints))
      if (wrong > 0) on.skipped('invalid', `${wrong} keys hold no address`)
    }
  }
}
