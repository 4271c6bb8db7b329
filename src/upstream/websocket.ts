import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { WebSocket, type ClientOptions } from 'ws'
import type { Call, UpstreamFault, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import type { Connector, Wanted } from './connectors.ts'
import { WsLink } from './websocket-link.ts'

export interface SocketParts {
  /** scheme://host:port, no path. */
  readonly origin: string
  /** How connections to it are made: with its TLS settings, proxies and proofs. */
  readonly connect: Connector
  readonly faultOf: (error: Error) => UpstreamFault
}

/** Flat list -> what node:http takes; several of one name as a list. */
function headersOf({ headers, more = [] }: UpstreamRequest): OutgoingHttpHeaders {
  const found: Record<string, string | string[]> = {}
  const all = [...headers, ...more]
  for (let i = 0; i < all.length; i += 2) {
    const name = all[i]!.toLowerCase()
    const value = all[i + 1]!
    const before = found[name]
    found[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  return found
}

/**
 * Opens a WebSocket at a backend. An answer other than 101 is told like that of any call, so that it is judged and
 * another target may be asked; the pool of connections has no part in it.
 */
export class SocketCall implements Call {
  readonly #sink: UpstreamSink
  #socket: WebSocket | null = null
  #open = false
  #over = false

  constructor(sink: UpstreamSink) {
    this.#sink = sink
  }

  open(request: UpstreamRequest, { origin, connect, faultOf }: SocketParts): void {
    if (this.#over) return
    const asked = request.socket!
    const url = new URL(origin)
    const wanted: Wanted = {
      hostname: url.hostname,
      host: url.host,
      protocol: url.protocol,
      port: url.port,
    }
    const options = {
      headers: headersOf(request),
      perMessageDeflate: false,
      maxPayload: asked.maxMessage,
      followRedirects: false,
      // node:http takes a connection later, too, when it is handed over by callback.
      createConnection: (_options: unknown, hand: (error: Error | null, socket?: unknown) => void) => {
        connect(wanted, (error, socket) => {
          if (this.#over) socket?.destroy()
          else hand(error, socket ?? undefined)
        })
      },
    }
    const address = `${url.protocol === 'https:' ? 'wss' : 'ws'}://${url.host}${request.path}`
    const socket = new WebSocket(address, [...asked.protocols], options as unknown as ClientOptions)
    this.#socket = socket
    let head: IncomingMessage | null = null
    socket.on('upgrade', (response) => (head = response))
    socket.on('open', () => {
      if (this.#over) return
      this.#open = true
      asked.opened(new WsLink(socket))
      this.#sink.onHead(101, head?.headers ?? {})
    })
    socket.on('unexpected-response', (req, res) => this.#refused(req, res))
    // Also what is no handshake after all: another subprotocol, a wrong answer to our key.
    socket.on('error', (error) => {
      if (!this.#open) this.#fail(faultOf(error))
    })
    socket.on('close', () => {
      if (this.#open) this.#end()
      else this.#fail({ kind: 'reset', detail: 'closed before it was open' })
    })
  }

  #refused(req: ClientRequest, res: IncomingMessage): void {
    if (this.#over) return
    // From here on it ends as a call does.
    this.#open = true
    this.#sink.onHead(res.statusCode ?? 0, res.headers)
    res.on('data', (chunk: Buffer) => {
      if (!this.#over) this.#sink.onData(chunk)
    })
    res.on('error', () => this.#end())
    res.on('close', () => {
      req.destroy()
      this.#end()
    })
  }

  #fail(fault: UpstreamFault): void {
    if (this.#over) return
    this.#over = true
    this.#sink.onFault(fault)
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#sink.onEnd()
  }

  /** What made it could not be loaded. */
  refuse(detail: string): void {
    this.#fail({ kind: 'protocol', detail })
  }

  abort(): void {
    this.#over = true
    this.#socket?.terminate()
  }

  pause(): void {
    this.#socket?.pause()
  }

  resume(): void {
    this.#socket?.resume()
  }
}
