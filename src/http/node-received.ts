import type { IncomingMessage } from 'node:http'
import type { Received } from '../contracts/http.ts'
import type { Signals } from '../contracts/trace.ts'
import type { Authenticator, HeaderGate, PeerIdentity, Principal } from '../contracts/identity.ts'
import { readSignals } from '../protocol/signals.ts'
import { CLOSED_HEADERS } from '../mesh/identity/visible.ts'
import { peerOf } from './tls-listener.ts'
import type { Exchange } from '../pipeline/exchange.ts'

/** One request of node:http, its body read. */
export class NodeReceived implements Received {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly peer: string
  readonly startedAt: number
  body: Buffer
  identity: Principal | Promise<Principal> | null = null
  /** Whose answer `identity` is. */
  identifiedBy: Authenticator | null = null
  /** What became of it; null while its body is on its way. */
  exchange: Exchange | null = null
  /** Nobody waits for the answer any more. Of HTTP/2 neither message nor answer would tell. */
  gone = false
  /** Of the configuration whose rules it is judged by. */
  gate: HeaderGate
  readonly #req: IncomingMessage
  readonly #raw: readonly string[]
  #signals: Signals | null = null

  constructor(req: IncomingMessage, startedAt: number, gate: HeaderGate = CLOSED_HEADERS) {
    const url = originForm(req.url ?? '/')
    const mark = url.indexOf('?')
    this.method = req.method ?? 'GET'
    this.path = mark < 0 ? url : url.slice(0, mark)
    this.query = mark < 0 ? '' : url.slice(mark)
    this.peer = req.socket.remoteAddress ?? ''
    this.startedAt = startedAt
    this.body = EMPTY
    this.gate = gate
    this.#req = req
    this.#raw = req.rawHeaders
  }

  // Most requests ask for a few names only: building the object of all headers would cost more than these scans.
  header(name: string): string | undefined {
    const raw = this.#raw
    const { length } = name
    for (let i = 0; i < raw.length; i += 2) {
      const key = raw[i]!
      if (key.length === length && (key === name || key.toLowerCase() === name))
        return this.gate.shows(name, this) ? raw[i + 1] : undefined
    }
    return undefined
  }

  identityHeader(name: string): string | undefined {
    const raw = this.#raw
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
    this.#signals ??= readSignals(this.#raw)
    return this.#signals
  }

  get peerIdentity(): PeerIdentity | null {
    return peerOf(this.#req.socket)
  }

  releaseBody(): void {
    this.body = EMPTY
  }

  headers(): Readonly<Record<string, string | string[] | undefined>> {
    return this.gate.visible(this.#req.headers, this)
  }
}

const EMPTY = Buffer.alloc(0)
const ABSOLUTE = /^https?:\/\/[^/?#]*/i

/** A request line may name the whole URL (RFC 9112 3.2.2); where Heddle sends it is not up to the client. */
function originForm(url: string): string {
  if (url.startsWith('/')) return url
  const rest = url.replace(ABSOLUTE, '')
  return rest === url || rest.startsWith('/') ? rest : `/${rest}`
}

const ONCE = new Set([
  'host',
  'content-type',
  'content-encoding',
  'authorization',
  'x-api-key',
  'api-key',
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
