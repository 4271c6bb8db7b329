import { isUtf8 } from 'node:buffer'
import { createServer, request as requestHttp, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import { KEY_SHAPES } from '../core/redact.ts'

/** One call of a real API, as it is kept: what was asked and what came, in the pieces in which it came. No keys. */
export interface Recording {
  readonly request: { readonly method: string; readonly path: string; readonly headers: Headers; readonly body: string }
  readonly response: {
    readonly status: number
    readonly headers: Headers
    readonly encoding: 'utf8' | 'base64'
    readonly pieces: readonly string[]
  }
}

type Headers = Readonly<Record<string, string>>

export interface RecordParts {
  /** Origin of the API, with what stands before its paths. */
  readonly to: URL
  readonly port: number
  /** Called once for each call that was answered whole. */
  readonly keep: (recording: Recording) => void
  readonly log: (text: string) => void
}

/** Headers that say how a body is to be read; all others are left out: they hold keys, ids and addresses. */
const KEPT = ['content-type', 'accept', 'anthropic-version', 'anthropic-beta', 'openai-beta', 'retry-after'] as const
const KEPT_PREFIXES = ['x-ratelimit-', 'anthropic-ratelimit-'] as const
const KEY_HEADERS = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key', 'x-amz-security-token'] as const
const HOP = ['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive', 'accept-encoding'] as const
const MAX_BODY = 32 * 1024 * 1024
const SHAPES = new RegExp(KEY_SHAPES, 'gi')

function keptHeaders(headers: IncomingHttpHeaders, clean: (text: string) => string): Headers {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const wanted = (KEPT as readonly string[]).includes(name) || KEPT_PREFIXES.some((prefix) => name.startsWith(prefix))
    if (wanted && typeof value === 'string') kept[name] = clean(value)
  }
  return kept
}

/** Takes out the keys of this very call, wherever they stand, and whatever else looks like one. */
function cleanerOf({ headers, url = '' }: IncomingMessage): (text: string) => string {
  const secrets = KEY_HEADERS.flatMap((name) => {
    const value = headers[name]
    return typeof value === 'string' && value !== '' ? [value, value.replace(/^\S+ /, '')] : []
  })
  const query = new URL(url, 'http://x').searchParams
  for (const name of ['key', 'api_key', 'access_token']) secrets.push(query.get(name) ?? '')
  const found = secrets.filter((secret) => secret.length >= 4)
  return (text) => found.reduce((rest, secret) => rest.replaceAll(secret, '[key]'), text).replace(SHAPES, '[key]')
}

async function bodyOf(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY) throw new Error(`the body is larger than ${MAX_BODY} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Where the client's path is at the API, without a part that both name. */
export function targetOf(to: URL, path: string): URL {
  const base = to.pathname.replace(/\/+$/, '')
  return new URL((base !== '' && !path.startsWith(`${base}/`) ? base : '') + path, to.origin)
}

/**
 * Listens on loopback, passes each call on to the API with the client's own key, and keeps what was said.
 * Resolves with its port and what ends it.
 */
export function startRecorder(parts: RecordParts): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createServer((req, res) => {
    void (async () => {
      const body = await bodyOf(req)
      const clean = cleanerOf(req)
      const url = targetOf(parts.to, req.url ?? '/')
      const headers = Object.fromEntries(
        Object.entries(req.headers).filter(([name]) => !(HOP as readonly string[]).includes(name)),
      )
      const send = url.protocol === 'https:' ? requestHttps : requestHttp
      // Unpacked: fixtures are for reading, too.
      const options = {
        method: req.method,
        headers: { ...headers, 'accept-encoding': 'identity', 'content-length': body.length },
      }
      const call = send(url, options, (answer) => {
        const pieces: Buffer[] = []
        res.writeHead(
          answer.statusCode ?? 502,
          keptHeaders(answer.headers, (text) => text),
        )
        answer.on('data', (chunk: Buffer) => {
          pieces.push(chunk)
          res.write(chunk)
        })
        answer.on('end', () => {
          res.end()
          parts.keep(recordingOf(req, url, body, answer, pieces, clean))
        })
        answer.on('error', () => res.destroy())
      })
      call.on('error', (error) => {
        parts.log(`${req.method} ${url.pathname}: ${error.message}`)
        if (!res.headersSent) res.writeHead(502)
        res.end()
      })
      res.on('close', () => call.destroy())
      call.end(body)
    })().catch((error: unknown) => {
      parts.log(String(error))
      res.destroy()
    })
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(parts.port, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      resolve({
        port,
        close: () =>
          new Promise((done) => {
            server.close(() => done())
            server.closeAllConnections()
          }),
      })
    })
  })
}

/** The pieces of a text without keys. One that two pieces share would be found in neither: then they are one piece. */
function cleanPieces(pieces: readonly Buffer[], whole: Buffer, clean: (text: string) => string): readonly string[] {
  const all = clean(whole.toString())
  if (!pieces.every((piece) => isUtf8(piece))) return [all]
  const cleaned = pieces.map((piece) => clean(piece.toString()))
  return cleaned.join('') === all ? cleaned : [all]
}

function recordingOf(
  req: IncomingMessage,
  url: URL,
  body: Buffer,
  answer: IncomingMessage,
  pieces: readonly Buffer[],
  clean: (text: string) => string,
): Recording {
  const whole = Buffer.concat(pieces)
  const text = isUtf8(whole)
  return {
    request: {
      method: req.method ?? '',
      path: clean(url.pathname),
      headers: keptHeaders(req.headers, clean),
      body: isUtf8(body) ? clean(body.toString()) : body.toString('base64'),
    },
    response: {
      status: answer.statusCode ?? 0,
      headers: keptHeaders(answer.headers, clean),
      encoding: text ? 'utf8' : 'base64',
      pieces: text ? cleanPieces(pieces, whole, clean) : pieces.map((piece) => piece.toString('base64')),
    },
  }
}
