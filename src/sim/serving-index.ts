/**
 * Simulated model servers: TensorFlow Serving, KServe v2, Triton's generate and TorchServe, by REST on one port and by gRPC on
 * another. They serve models of any name; some names do something special, see serving-model.ts.
 */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { answerRest } from './serving-http.ts'
import { servingGrpc } from './serving-grpc.ts'

export interface SimServingOptions {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: any free port. */
  readonly port?: number
  readonly grpcPort?: number
  /** What answers depend on beside the prompt; default 1. */
  readonly seed?: number
}

export interface SimServing {
  /** `http://HOST:PORT` */
  readonly url: string
  /** `grpc://HOST:PORT` */
  readonly grpcUrl: string
  readonly port: number
  readonly grpcPort: number
  /** REST requests, oldest first, at most a thousand. */
  readonly received: readonly {
    readonly path: string
    readonly headers: IncomingMessage['headers']
    readonly body: string
  }[]
  /** Closes open connections as well. */
  close(): Promise<void>
}

const MAX_BODY = 64 * 1024 * 1024
const KEPT = 1000

const bodyOf = (req: IncomingMessage): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > MAX_BODY) req.destroy()
      else chunks.push(chunk)
    })
    req.on('end', () => resolve(Buffer.concat(chunks)))
    req.on('error', reject)
    req.on('close', () => reject(new Error('the request was cut')))
  })

const listen = (server: Server, port: number, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port))
  })

export async function startServing(options: SimServingOptions = {}): Promise<SimServing> {
  const { host = '127.0.0.1', seed = 1 } = options
  const received: { path: string; headers: IncomingMessage['headers']; body: string }[] = []
  const handle = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const body = await bodyOf(req)
    const path = req.url ?? '/'
    received.push({ path, headers: req.headers, body: body.toString() })
    if (received.length > KEPT) received.shift()
    const answer = answerRest(path.replace(/\?.*$/, ''), body, { seed })
    res.writeHead(answer.status, { 'content-type': answer.type }).end(answer.body)
  }
  const rest = createHttpServer((req, res) => {
    handle(req, res).catch(() => res.destroy())
  })
  const grpc = servingGrpc({ seed })
  const sockets = new Set<Socket>()
  const calls = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    grpc.accept(socket)
  })
  const port = await listen(rest, options.port ?? 0, host)
  const grpcPort = await listen(calls, options.grpcPort ?? 0, host)
  return {
    url: `http://${host}:${port}`,
    grpcUrl: `grpc://${host}:${grpcPort}`,
    port,
    grpcPort,
    received,
    async close() {
      grpc.close()
      rest.closeAllConnections()
      for (const socket of sockets) socket.destroy()
      await Promise.all([rest, calls].map((server) => new Promise((resolve) => server.close(resolve))))
    },
  }
}
