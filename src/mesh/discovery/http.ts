import type { IncomingMessage } from 'node:http'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { StringDecoder } from 'node:string_decoder'
import { DiscoveryFault, faultOf, later, type FaultReason } from './parts.ts'

/** A registry's API. */
export interface HttpBase {
  /** Without a slash at its end. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** PEM; null = what the system trusts. */
  readonly ca: string | null
  /** PEM; left out = no certificate of ours. */
  readonly cert?: string
  readonly key?: string
}

export interface Ask {
  readonly method?: 'GET' | 'POST'
  readonly path: string
  readonly body?: string
  /** Ms for all of it, connecting included. */
  readonly timeoutMs: number
  /** A longer answer (of a stream: line) is refused, bytes. */
  readonly maxBytes: number
  readonly signal: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** Until the head of the answer to a stream is there. */
const HEAD_MS = 10_000
/** A peer that has vanished without a word is noticed by the kernel. */
const KEEPALIVE_MS = 15_000

const hostOf = (base: HttpBase): string => new URL(base.url).host

const fault = (base: HttpBase, error: unknown): DiscoveryFault => {
  const { reason, message } = faultOf(error)
  return new DiscoveryFault(reason, `${hostOf(base)}: ${message}`)
}

/**
 * Sends, and resolves with the answer's head and its bytes unread. Rejects with a DiscoveryFault. Each call has a
 * connection of its own: a name with several addresses is looked up again each time.
 */
function send(base: HttpBase, ask: Ask, headMs: number): Promise<IncomingMessage> {
  const { method = 'GET', path, body, signal } = ask
  const target = new URL(base.url + path)
  const options = {
    method,
    headers: {
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...base.headers,
    },
    agent: false,
    signal,
    ...(base.ca === null ? {} : { ca: base.ca }),
    ...(base.cert === undefined ? {} : { cert: base.cert }),
    ...(base.key === undefined ? {} : { key: base.key }),
  }
  return new Promise((resolve, reject) => {
    const request = (target.protocol === 'https:' ? httpsRequest : httpRequest)(target, options, (response) => {
      cancel()
      resolve(response)
    })
    const cancel = later(() => request.destroy(new DiscoveryFault('timeout', `no answer within ${headMs} ms`)), headMs)
    request.on('socket', (socket) => socket.setKeepAlive(true, KEEPALIVE_MS))
    request.on('close', () => {
      cancel()
      // Node tells of no error when it is offered another protocol (101).
      reject(new DiscoveryFault('unreachable', `${target.host}: closed without an answer`))
    })
    request.on('error', (error) => reject(fault(base, error)))
    request.end(body)
  })
}

/** Hands on what comes; resolves at the answer's end. onText throws to break it off. */
function receive(
  base: HttpBase,
  response: IncomingMessage,
  ms: number,
  onText: (text: string, bytes: number) => void,
): Promise<void> {
  const decoder = new StringDecoder('utf8')
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      cancel()
      reject(fault(base, error))
      response.destroy()
    }
    const cancel = later(() => fail(new DiscoveryFault('timeout', `no end within ${ms} ms`)), ms)
    response.on('data', (chunk: Buffer) => {
      try {
        onText(decoder.write(chunk), chunk.length)
      } catch (error) {
        fail(error)
      }
    })
    response.on('end', () => {
      cancel()
      resolve()
    })
    response.on('error', fail)
    response.on('close', () => fail(new DiscoveryFault('unreachable', 'broken answer')))
  })
}

/** One request and its whole answer, whatever its status. Rejects with a DiscoveryFault. */
export async function askOnce(base: HttpBase, ask: Ask): Promise<Answer> {
  const response = await send(base, ask, ask.timeoutMs)
  const parts: string[] = []
  let total = 0
  await receive(base, response, ask.timeoutMs, (text, bytes) => {
    total += bytes
    if (total > ask.maxBytes) throw new DiscoveryFault('too_large', `more than ${ask.maxBytes} bytes`)
    parts.push(text)
  })
  return { status: response.statusCode ?? 0, headers: response.headers, body: parts.join('') }
}

/**
 * A request whose answer goes on and on, line by line, for at most timeoutMs: then, and when the other side ends it, it
 * resolves with null. Resolves with the answer when its status is not 200. onLine throws to break it off; what it throws
 * is rejected with when it is a DiscoveryFault.
 */
export async function askLines(base: HttpBase, ask: Ask, onLine: (line: string) => void): Promise<Answer | null> {
  const response = await send(base, ask, HEAD_MS)
  const status = response.statusCode ?? 0
  if (status !== 200) {
    let body = ''
    await receive(base, response, HEAD_MS, (text) => {
      body += text
      if (body.length > ask.maxBytes) throw new DiscoveryFault('too_large', `more than ${ask.maxBytes} bytes`)
    })
    return { status, headers: response.headers, body }
  }
  const tooLong = new DiscoveryFault('too_large', `a line of more than ${ask.maxBytes} bytes`)
  let rest = ''
  const lines = receive(base, response, ask.timeoutMs, (text) => {
    // Joined only when it is whole: a long line comes in many pieces.
    const parts = text.includes('\n') ? (rest + text).split('\n') : null
    rest = parts === null ? rest + text : (parts.pop() ?? '')
    for (const line of parts ?? []) {
      if (line.length > ask.maxBytes) throw tooLong
      if (line !== '') onLine(line)
    }
    if (rest.length > ask.maxBytes) throw tooLong
  })
  // Asked anew now and then: only so a stream that is silent is told from one that is dead.
  await lines.catch((error: unknown) => {
    if (!(error instanceof DiscoveryFault) || error.reason !== 'timeout') throw error
  })
  return null
}

const REASONS: Readonly<Record<number, FaultReason>> = { 401: 'denied', 403: 'denied', 404: 'not_found' }

/** What an answer that is not 200 means. */
export const refused = (base: HttpBase, status: number): DiscoveryFault =>
  new DiscoveryFault(REASONS[status] ?? 'failed', `${hostOf(base)}: answered ${status}`)
