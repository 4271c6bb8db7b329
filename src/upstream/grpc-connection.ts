import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { systemClock } from '../core/clock.ts'
import { everyUnref } from '../core/every.ts'
import { atMost } from '../core/sleep.ts'
import type { TlsOptions } from './connectors.ts'

export interface GrpcConnectionOptions {
  /** `http://host:port` in clear, `https://` with TLS. */
  readonly origin: string
  readonly tls: TlsOptions
  /** Ms; 0 = the system's own. */
  readonly connectTimeoutMs: number
  /** Ms; left out = five minutes. */
  readonly maxAgeMs?: number
}

/** As UndiciUpstream: what a name stands for may change. */
const MAX_AGE_MS = 300_000
/** Where the configuration says that the system's own time limit rules. */
const PATIENCE_MS = 30_000
/** Bytes of one answer that may be on their way unread. */
const WINDOW = 4 * 1024 * 1024
/** A connection on which a call has just failed must answer a ping within this, ms. */
const PING_MS = 2000

const bare = (hostname: string): string => hostname.replace(/^\[|\]$/g, '')

/** One HTTP/2 connection to one origin, made when it is wanted and again when it is gone or has grown old. */
export class GrpcConnection {
  readonly #options: GrpcConnectionOptions
  #session: ClientHttp2Session | null = null
  #bornAt = 0
  #connecting: Promise<ClientHttp2Session> | null = null
  /** Those that no call is begun on any more, until their calls have ended. */
  readonly #open = new Set<ClientHttp2Session>()
  #closed = false

  constructor(options: GrpcConnectionOptions) {
    this.#options = options
  }

  /** What a call can be begun on at once; null = none is there. */
  get ready(): ClientHttp2Session | null {
    const session = this.#session
    if (session === null) return null
    if (session.closed || session.destroyed) return null
    if (systemClock.monotonic() - this.#bornAt <= (this.#options.maxAgeMs ?? MAX_AGE_MS)) return session
    this.#session = null
    session.close()
    return null
  }

  /** Rejects with the error of the socket. */
  connect(): Promise<ClientHttp2Session> {
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = null
    })
    return this.#connecting
  }

  async #connect(): Promise<ClientHttp2Session> {
    const { origin, tls, connectTimeoutMs } = this.#options
    const socket = dial(new URL(origin), tls)
    const patience = connectTimeoutMs === 0 ? PATIENCE_MS : connectTimeoutMs
    const opened = await atMost(patience, connected(socket)).catch((error: unknown) => {
      socket.destroy()
      throw error
    })
    if (opened === null) {
      socket.destroy()
      throw Object.assign(new Error('the connection took too long'), { code: 'ETIMEDOUT' })
    }
    if ('alpnProtocol' in socket && socket.alpnProtocol !== 'h2') {
      socket.destroy()
      throw Object.assign(new Error('the server does not speak HTTP/2'), { code: 'ERR_TLS_NO_HTTP2' })
    }
    return this.#begin(socket)
  }

  #begin(socket: Socket): ClientHttp2Session {
    const session = connectHttp2(this.#options.origin, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: WINDOW },
    })
    const drop = (): void => {
      if (this.#session === session) this.#session = null
    }
    // Those of its calls are told by the calls.
    session.on('error', drop)
    session.on('goaway', drop)
    session.on('frameError', drop)
    session.on('close', () => {
      drop()
      this.#open.delete(session)
    })
    session.once('connect', () => session.setLocalWindowSize(WINDOW * 4))
    // An idle connection keeps no process alive.
    session.unref()
    this.#open.add(session)
    this.#session = session
    this.#bornAt = systemClock.monotonic()
    if (this.#closed) session.close()
    return session
  }

  /** A call has failed in time or was broken: whether anybody is at the other end. */
  suspect(session: ClientHttp2Session): void {
    if (session.closed || session.destroyed) return
    const stop = everyUnref(() => {
      stop()
      session.destroy()
    }, PING_MS)
    if (!session.ping(() => stop())) {
      stop()
      session.destroy()
    }
  }

  /** Waits for calls under way. */
  async close(): Promise<void> {
    this.#closed = true
    this.#session = null
    await this.#connecting?.catch(() => {})
    await Promise.all(
      [...this.#open].map(
        (session) =>
          new Promise<void>((resolve) => {
            session.once('close', resolve)
            session.close()
          }),
      ),
    )
  }
}

function dial(url: URL, tls: TlsOptions): Socket | TLSSocket {
  const host = bare(url.hostname)
  const secure = url.protocol === 'https:'
  const port = Number(url.port) || (secure ? 443 : 80)
  const settings = { host, port, autoSelectFamily: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }
  if (!secure) return connectTcp(settings)
  const name = tls.serverName ?? host
  return connectTls({
    ...settings,
    ALPNProtocols: ['h2'],
    rejectUnauthorized: tls.rejectUnauthorized,
    // Addresses are no names (RFC 6066 section 3).
    ...(/^[\d.]+$/.test(name) || name.includes(':') ? {} : { servername: name }),
    ...(tls.ca === null ? {} : { ca: tls.ca }),
  })
}

const connected = (socket: Socket | TLSSocket): Promise<true> =>
  new Promise((resolve, reject) => {
    // Stays until HTTP/2 listens: what breaks in between must not end the process.
    socket.on('error', reject)
    socket.once('close', () => reject(Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' })))
    socket.once('alpnProtocol' in socket ? 'secureConnect' : 'connect', () => resolve(true))
  })
