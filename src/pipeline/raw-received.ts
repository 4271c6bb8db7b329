import type { Received } from '../contracts/http.ts'
import type { HeaderGate, PeerIdentity, Principal } from '../contracts/identity.ts'
import type { Signals } from '../contracts/trace.ts'
import type { Upload } from '../contracts/upstream.ts'
import { CLOSED_HEADERS } from '../mesh/identity/visible.ts'
import { readSignals } from '../protocol/signals.ts'

const EMPTY = Buffer.alloc(0)

export interface Head {
  readonly method: string
  /** With its query. */
  readonly url: string
  /** Flat: name, value; names in any case. */
  readonly raw: readonly string[]
  /** Address of the other end. */
  readonly peer: string
  /** Ms, Clock.monotonic. */
  readonly startedAt: number
}

/** A request whose head came as a flat list, however it came. */
export abstract class RawReceived implements Received {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly peer: string
  readonly startedAt: number
  body: Buffer = EMPTY
  upload: Upload | undefined = undefined
  identity: Principal | Promise<Principal> | null = null
  /** Of the configuration whose rules it is judged by. */
  gate: HeaderGate
  protected readonly raw: readonly string[]
  #signals: Signals | null = null

  constructor({ method, url, raw, peer, startedAt }: Head, gate: HeaderGate = CLOSED_HEADERS) {
    const mark = url.indexOf('?')
    this.method = method
    this.path = mark < 0 ? url : url.slice(0, mark)
    this.query = mark < 0 ? '' : url.slice(mark)
    this.peer = peer
    this.startedAt = startedAt
    this.gate = gate
    this.raw = raw
  }

  // Most requests ask for a few names only: building the object of all headers would cost more than these scans.
  header(name: string): string | undefined {
    const { raw } = this
    const { length } = name
    for (let i = 0; i < raw.length; i += 2) {
      const key = raw[i]!
      if (key.length === length && (key === name || key.toLowerCase() === name))
        return this.gate.shows(name, this) ? raw[i + 1] : undefined
    }
    return undefined
  }

  identityHeader(name: string): string | undefined {
    const { raw } = this
    const { length } = name
    let found: string | undefined
    for (let i = 0; i < raw.length; i += 2) {
      const key = raw[i]!
      if (key.length !== length || (key !== name && key.toLowerCase() !== name)) continue
      found = found === undefined ? raw[i + 1]! : `${found}\n${raw[i + 1]!}`
    }
    return found
  }

  get signals(): Signals {
    this.#signals ??= readSignals(this.raw)
    return this.#signals
  }

  releaseBody(): void {
    this.body = EMPTY
  }

  headers(): Readonly<Record<string, string | string[] | undefined>> {
    return this.gate.visible(this.allHeaders(), this)
  }

  abstract get peerIdentity(): PeerIdentity | null
  /** Lower-case names. */
  protected abstract allHeaders(): Readonly<Record<string, string | string[] | undefined>>
}

const ONCE = new Set([
  'host',
  'content-type',
  'content-encoding',
  'authorization',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
  'x-request-id',
])
const ONCE_LENGTHS = new Set([...ONCE].map((name) => name.length))

/** A header that decides something stands twice: two readers could each take another one for true. */
export function duplicateHeader(raw: readonly string[]): string | null {
  let seen: string[] | null = null
  for (let i = 0; i < raw.length; i += 2) {
    const key = raw[i]!
    if (!ONCE_LENGTHS.has(key.length)) continue
    const name = key.toLowerCase()
    if (!ONCE.has(name)) continue
    if (seen === null) seen = [name]
    else if (seen.includes(name)) return name
    else seen.push(name)
  }
  return null
}
