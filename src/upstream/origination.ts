import type { Socket } from 'node:net'
import { atMost } from '../core/sleep.ts'

/** What is asked of the other end of a connection before a key is sent on it in clear. */
export interface Origination {
  /** As the provider knows itself. */
  readonly host: string
  /** Path that the provider answers to a stranger with an error of its API, such as `/v1/models`. */
  readonly path: string
}

/** An answer to a stranger is short. */
const MAX_BYTES = 256 * 1024
/** An API’s own words to somebody without a key: it knows nobody, or no such thing. */
const OWN = new Set([200, 400, 401, 403, 404, 405])
/** Google’s answer on port 80, for one: the API itself says that it was reached in clear. */
const WANTS_TLS =
  /\b(?:https|ssl|tls)\b[^.]{0,40}\b(?:required|only|instead)\b|\b(?:required?s?|use)\b[^.]{0,20}\b(?:https|ssl|tls)\b/i

interface Answer {
  readonly status: number
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** Why an answer does not prove that a proxy took the request and spoke with the provider itself; null = it does. */
export function notOriginated({ status, headers, body }: Answer): string | null {
  if (status >= 300 && status < 400)
    return `it redirects (${status}): the request reached the provider in clear, past the mesh`
  if (!headers.has('x-envoy-upstream-service-time'))
    return `the answer (${status}) did not come through a proxy of the mesh (no x-envoy-upstream-service-time)`
  // Vendors have Envoys of their own. A sidecar writes its name over what it passes on.
  const server = headers.get('server')
  if (server !== undefined && !/^(?:istio-)?envoy$/.test(server))
    return `the answer (${status}) did not come through a proxy of the mesh (its server is not Envoy)`
  if (!OWN.has(status)) return `the provider did not answer as its API does (${status})`
  if (WANTS_TLS.test(body)) return `the provider says that it was reached in clear (${status})`
  return null
}

/**
 * Asks on this very connection, without credentials, for something that the provider refuses, and looks at who answers.
 * The connection that will carry the key is the one that was proved: whatever takes the place of the proxy later gets
 * other connections, and is asked itself. Resolves with the connection as clean as it was; rejects with the reason.
 */
export async function proveOrigination(socket: Socket, { host, path }: Origination, timeoutMs: number): Promise<void> {
  const listeners: (() => void)[] = []
  const on = (event: string, listener: (...given: never[]) => void): void => {
    socket.on(event, listener as never)
    listeners.push(() => socket.off(event, listener as never))
  }
  const verdict = new Promise<string | null>((resolve) => {
    const reader = new AnswerReader()
    on('data', (chunk: Buffer) => {
      const answer = reader.take(chunk)
      if (answer === 'broken') resolve('the answer is no HTTP that keeps the connection')
      else if (answer !== null) resolve(notOriginated(answer))
    })
    on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'the connection broke'))
    on('close', () => resolve('the connection was closed'))
  })
  // While this was loaded.
  if (socket.destroyed) throw new Error(`no key is sent to ${host} in clear: the connection was closed`)
  socket.write(
    `GET ${path} HTTP/1.1\r\nhost: ${host}\r\naccept: application/json\r\naccept-encoding: identity\r\nuser-agent: heddle-preflight\r\n\r\n`,
  )
  const late = `no answer within ${timeoutMs} ms`
  const reason = await atMost(
    timeoutMs,
    verdict.then((text) => ({ text })),
  )
  for (const off of listeners) off()
  socket.pause()
  const text = reason === null ? late : reason.text
  if (text !== null) throw new Error(`no key is sent to ${host} in clear: ${text}`)
}

interface Body {
  readonly text: string
  /** It ends with the connection. */
  readonly unbounded?: boolean
}

/** Reads one answer whole and nothing beyond it (RFC 9112 6.3), of a proxy that keeps the connection open. */
export class AnswerReader {
  #bytes = Buffer.alloc(0)

  /** Null = more is to come; `broken` = not usable any more. */
  take(chunk: Buffer): Answer | 'broken' | null {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    if (this.#bytes.length > MAX_BYTES) return 'broken'
    const end = this.#bytes.indexOf('\r\n\r\n')
    if (end < 0) return null
    const lines = this.#bytes.toString('latin1', 0, end).split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3})(?: |$)/.exec(lines[0] ?? '')?.[1] ?? 0)
    if (status < 200) return 'broken'
    const headers = new Map<string, string>()
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':')
      if (colon <= 0) return 'broken'
      const name = line.slice(0, colon).toLowerCase()
      if (headers.has(name) && (name === 'content-length' || name === 'transfer-encoding')) return 'broken'
      headers.set(name, line.slice(colon + 1).trim())
    }
    const body = this.#body(end + 4, status, headers)
    if (body === null || body === 'broken') return body
    if (body.unbounded === true || /\bclose\b/i.test(headers.get('connection') ?? '')) {
      // Worth telling why, if there is a reason; without one the connection is lost all the same.
      return notOriginated({ status, headers, body: body.text }) === null
        ? 'broken'
        : { status, headers, body: body.text }
    }
    return { status, headers, body: body.text }
  }

  #body(start: number, status: number, headers: ReadonlyMap<string, string>): Body | 'broken' | null {
    const bytes = this.#bytes
    if (status === 204 || status === 304) return bytes.length === start ? { text: '' } : 'broken'
    const coding = headers.get('transfer-encoding')
    if (coding !== undefined) return coding.toLowerCase() === 'chunked' ? readChunks(bytes, start) : 'broken'
    const length = headers.get('content-length')
    // Up to the end of the connection: it would prove something and be gone.
    if (length === undefined || !/^\d{1,9}$/.test(length))
      return status >= 300 ? { text: '', unbounded: true } : 'broken'
    const end = start + Number(length)
    if (bytes.length < end) return null
    return bytes.length === end ? { text: bytes.toString('utf8', start, end) } : 'broken'
  }
}

/** RFC 9112 7.1; trailers are read over. */
function readChunks(bytes: Buffer, start: number): Body | 'broken' | null {
  const parts: Buffer[] = []
  for (let at = start; ;) {
    const line = bytes.indexOf('\r\n', at)
    if (line < 0) return null
    const size = /^([0-9a-fA-F]{1,6})[ \t]*(?:;.*)?$/.exec(bytes.toString('latin1', at, line))?.[1]
    if (size === undefined) return 'broken'
    const length = Number.parseInt(size, 16)
    at = line + 2
    if (length === 0) {
      const last = bytes.subarray(at, at + 2).toString('latin1') === '\r\n' ? at + 2 : bytes.indexOf('\r\n\r\n', at) + 4
      if (last === 3 || bytes.length < at + 2) return null
      return bytes.length === last ? { text: Buffer.concat(parts).toString('utf8') } : 'broken'
    }
    if (bytes.length < at + length + 2) return null
    parts.push(bytes.subarray(at, at + length))
    at += length + 2
  }
}
