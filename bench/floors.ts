/**
 * The least that a proxy made of these parts can cost: no routing, no policy, no parsing, bytes copied.
 * `node bench/floors.ts fastify|http PORT BACKEND_PORT`; both call the backend with undici `dispatch`, as Heddle does.
 */
import { createServer } from 'node:http'
import { flushCompileCache } from 'node:module'
import type { IncomingMessage, ServerResponse } from 'node:http'
import fastify from 'fastify'
import { Pool } from 'undici'
import type { Dispatcher } from 'undici'

const HOP_BY_HOP = new Set(
  'connection keep-alive transfer-encoding te trailer upgrade proxy-connection expect host content-length'.split(' '),
)

const [, , kind = 'fastify', port = '0', backendPort = '0'] = process.argv
const pool = new Pool(`http://127.0.0.1:${backendPort}`, {
  connections: 20_000,
  pipelining: 1,
  keepAliveTimeout: 60_000,
  headersTimeout: 0,
  bodyTimeout: 0,
})

const forwarded = (raw: readonly string[]): string[] => {
  const out: string[] = []
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]!
    if (!HOP_BY_HOP.has(name.toLowerCase())) out.push(name, raw[index + 1]!)
  }
  return out
}

class Copy implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse
  #controller: Dispatcher.DispatchController | null = null
  #done = false

  constructor(response: ServerResponse) {
    this.#response = response
    response.on('close', () => {
      if (!this.#done) this.#controller?.abort(new Error('client closed'))
    })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const raw = (controller.rawHeaders ?? []) as (Buffer | string)[]
    const headers: string[] = []
    for (let index = 0; index < raw.length; index += 2) {
      const name = raw[index]!.toString('latin1')
      const lower = name.toLowerCase()
      if (lower === 'content-length' || !HOP_BY_HOP.has(lower)) headers.push(name, raw[index + 1]!.toString('latin1'))
    }
    this.#response.writeHead(status, headers)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#response.write(chunk)) return
    controller.pause()
    this.#response.once('drain', () => controller.resume())
  }

  onResponseEnd(): void {
    this.#done = true
    this.#response.end()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#done = true
    if (this.#response.headersSent) this.#response.destroy()
    else this.#response.writeHead(502).end(error.message)
  }
}

const forward = (request: IncomingMessage, body: Buffer, response: ServerResponse): void => {
  const headers = forwarded(request.rawHeaders)
  pool.dispatch({ path: request.url ?? '/', method: 'POST', headers, body }, new Copy(response))
}

const timeouts = { keepAliveTimeout: 65_000, requestTimeout: 0, headersTimeout: 0, noDelay: true }

const startHttp = (): void => {
  createServer(timeouts, (request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => forward(request, parts.length === 1 ? parts[0]! : Buffer.concat(parts), response))
  }).listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 })
}

const startFastify = async (): Promise<void> => {
  const app = fastify({ logger: false, bodyLimit: 32 << 20, keepAliveTimeout: 65_000, http: timeouts })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.post('/*', (request, reply) => {
    reply.hijack()
    forward(request.raw, request.body as Buffer, reply.raw)
  })
  await app.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 })
}

if (kind === 'http') startHttp()
else await startFastify()
// The benchmark ends this process with a signal, and then what was compiled would not be kept for its next start.
setTimeout(flushCompileCache, 500)
