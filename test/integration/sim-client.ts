/** A client that hides nothing: what came over the socket, byte for byte, and how it ended. */
import { connect } from 'node:net'
import { performance } from 'node:perf_hooks'

export interface Exchange {
  readonly bytes: Buffer
  /** `end`: the peer closed properly; `reset`: it did not; `quiet`: nothing came for a while and we gave up. */
  readonly ending: 'end' | 'reset' | 'quiet'
  /** Sizes of what came in one read. */
  readonly reads: readonly number[]
  readonly firstByteMs: number
  readonly totalMs: number
}

export interface Ask {
  readonly port: number
  readonly path?: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** Ask the server to close after its answer; else the connection is given up after `quietMs` of silence. */
  readonly close?: boolean
  readonly quietMs?: number
}

export const exchange = (ask: Ask): Promise<Exchange> =>
  new Promise((resolve) => {
    const body = Buffer.from(ask.body ?? '')
    const socket = connect({ port: ask.port, host: '127.0.0.1' })
    const chunks: Buffer[] = []
    const start = performance.now()
    let first = 0
    let ended: Exchange['ending'] = 'end'
    let timer: NodeJS.Timeout | undefined
    const quiet = (): void => {
      clearTimeout(timer)
      timer = setTimeout(() => {
        ended = 'quiet'
        socket.destroy()
      }, ask.quietMs ?? 2000)
    }
    socket.on('data', (chunk: Buffer) => {
      if (chunks.length === 0) first = performance.now() - start
      chunks.push(chunk)
      quiet()
    })
    socket.on('error', () => {
      ended = 'reset'
    })
    socket.on('close', () => {
      clearTimeout(timer)
      const reads = chunks.map((chunk) => chunk.length)
      resolve({
        bytes: Buffer.concat(chunks),
        ending: ended,
        reads,
        firstByteMs: first,
        totalMs: performance.now() - start,
      })
    })
    const headers = {
      host: 'sim',
      'content-type': 'application/json',
      'content-length': String(body.length),
      ...ask.headers,
    }
    const lines = Object.entries({ ...headers, ...(ask.close === false ? {} : { connection: 'close' }) })
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    socket.write(`${ask.method ?? 'POST'} ${ask.path ?? '/v1/chat/completions'} HTTP/1.1\r\n${head}\r\n`)
    socket.write(body)
    quiet()
  })

export interface Message {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  /** Decoded from chunks; as far as it came. */
  readonly body: Buffer
  /** The framing was complete. */
  readonly complete: boolean
  /** What followed the message. */
  readonly rest: Buffer
}

const dechunk = (raw: Buffer): { body: Buffer; complete: boolean; rest: Buffer } => {
  const parts: Buffer[] = []
  let at = 0
  for (;;) {
    const line = raw.indexOf('\r\n', at)
    const size = line < 0 ? Number.NaN : Number.parseInt(raw.toString('latin1', at, line), 16)
    if (Number.isNaN(size)) return { body: Buffer.concat(parts), complete: false, rest: Buffer.alloc(0) }
    if (size === 0) return { body: Buffer.concat(parts), complete: true, rest: raw.subarray(line + 4) }
    parts.push(raw.subarray(line + 2, line + 2 + size))
    at = line + 4 + size
  }
}

/** The next message in `raw`. @throws Error if there is not even a head. */
export const readMessage = (raw: Buffer): Message => {
  const end = raw.indexOf('\r\n\r\n')
  if (end < 0) throw new Error(`no head in ${raw.length} bytes`)
  const [statusLine = '', ...lines] = raw.toString('latin1', 0, end).split('\r\n')
  const status = Number(statusLine.split(' ')[1])
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  const after = raw.subarray(end + 4)
  if (status < 200) return { status, headers, body: Buffer.alloc(0), complete: true, rest: after }
  if (headers.get('transfer-encoding') === 'chunked') return { status, headers, ...dechunk(after) }
  const length = Number(headers.get('content-length') ?? 0)
  return {
    status,
    headers,
    body: after.subarray(0, length),
    complete: after.length >= length,
    rest: after.subarray(length),
  }
}
