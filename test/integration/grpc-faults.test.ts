// A gRPC server's faults, each told as what it is. The server is node:http2's, with what a test wants it to do wrong.
import { createServer as createHttp1 } from 'node:http'
import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer as createTcp, type AddressInfo, type Server } from 'node:net'
import { expect, test } from 'vitest'
import type { UpstreamFault, UpstreamHeaders, UpstreamRequest } from '../../src/contracts/upstream.ts'
import { GrpcUpstream, type GrpcUpstreamOptions } from '../../src/upstream/grpc-upstream.ts'
import { closedAfterEach } from '../support/closing.ts'

const open = closedAfterEach()

const TLS = { ca: null, serverName: null, rejectUnauthorized: true }
/** Says in upper case what it is told. */
const codec: GrpcUpstreamOptions['codec'] = {
  method: '/test.Echo/Say',
  request: (_path, body) => body,
  answer: (bytes) => JSON.stringify({ said: Buffer.from(bytes).toString().toUpperCase() }),
}

const frame = (text: string, flag = 0): Buffer => {
  const bytes = Buffer.alloc(5 + Buffer.byteLength(text))
  bytes[0] = flag
  bytes.writeUInt32BE(bytes.length - 5, 1)
  bytes.write(text, 5)
  return bytes
}

const portOf = (server: Server | Http2Server): number => (server.address() as AddressInfo).port

interface Place {
  readonly server: Http2Server
  readonly port: number
  readonly sessions: ServerHttp2Session[]
}

async function serve(
  handle: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  port = 0,
): Promise<Place> {
  const server = createServer()
  const sessions: ServerHttp2Session[] = []
  server.on('session', (session) => sessions.push(session))
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    handle(stream as ServerHttp2Stream, headers)
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  open.push(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return { server, port: portOf(server), sessions }
}

function upstream(port: number, more: Partial<GrpcUpstreamOptions> = {}): GrpcUpstream {
  const made = new GrpcUpstream({
    origin: `http://127.0.0.1:${port}`,
    tls: TLS,
    connectTimeoutMs: 2000,
    codec,
    maxAnswer: 1000,
    deadlineMs: 0,
    ...more,
  })
  open.push(() => made.close())
  return made
}

interface Outcome {
  readonly status: number
  readonly headers: UpstreamHeaders
  readonly body: string
  readonly fault: UpstreamFault | null
}

const request = (text = 'hello', headers: readonly string[] = []): UpstreamRequest => ({
  method: 'POST',
  path: '/whatever',
  headers: ['content-type', 'application/json', ...headers],
  body: Buffer.from(text),
})

function outcomeOf(made: GrpcUpstream, asked = request()): Promise<Outcome> {
  return new Promise((resolve) => {
    let status = 0
    let headers: UpstreamHeaders = {}
    let body = ''
    made.call(asked, {
      onHead: (...head) => ([status, headers] = head),
      onData: (chunk) => (body += chunk.toString()),
      onEnd: () => resolve({ status, headers, body, fault: null }),
      onFault: (fault) => resolve({ status, headers, body, fault }),
    })
  })
}

const good = (stream: ServerHttp2Stream, text: string): void => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-cost': '3' }))
  stream.end(frame(text))
}

const echo = (stream: ServerHttp2Stream): void => {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('end', () => good(stream, Buffer.concat(chunks).subarray(5).toString()))
}

test('a call is one message there and one back, with metadata and trailers', async () => {
  let seen: IncomingHttpHeaders = {}
  const { port } = await serve((stream, headers) => {
    seen = headers
    echo(stream)
  })
  const made = upstream(port, { deadlineMs: 5000 })
  const outcome = await outcomeOf(
    made,
    request('hello', ['authorization', 'Bearer k', 'X-Mixed', 'v', 'accept', 'x/y']),
  )
  expect(outcome).toMatchObject({ status: 200, body: '{"said":"HELLO"}', fault: null })
  expect(outcome.headers).toMatchObject({ 'content-type': 'application/json', 'x-cost': '3' })
  expect(seen).toMatchObject({
    ':path': '/test.Echo/Say',
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: 'Bearer k',
    'x-mixed': 'v',
    'grpc-timeout': '5000m',
  })
  expect(seen['accept']).toBeUndefined()
})

test('what proxies are told of the time that is left the server is told, too', async () => {
  let timeout: unknown = ''
  const { port } = await serve((stream, headers) => {
    timeout = headers['grpc-timeout']
    echo(stream)
  })
  await outcomeOf(upstream(port, { deadlineMs: 5000 }), {
    ...request(),
    more: ['x-envoy-upstream-rq-timeout-ms', '700'],
  })
  expect(timeout).toBe('700m')
})

test.each([
  [3, 400],
  [4, 504],
  [5, 404],
  [7, 403],
  [8, 429],
  [13, 500],
  [14, 503],
  [16, 401],
  [99, 500],
])('status %i is told as %i', async (code, status) => {
  const { port } = await serve((stream) => {
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': String(code),
        'grpc-message': 'caf%C3%A9 100%25',
      },
      { endStream: true },
    )
  })
  const outcome = await outcomeOf(upstream(port))
  expect(outcome).toMatchObject({ status, fault: null })
  expect(JSON.parse(outcome.body)).toMatchObject({ error: { message: 'café 100%' } })
})

test('an answer of plain HTTP keeps its status', async () => {
  const { port } = await serve((stream) => {
    stream.respond({ ':status': 503, 'content-type': 'text/plain' })
    stream.end('no healthy upstream')
  })
  expect(await outcomeOf(upstream(port))).toMatchObject({ status: 503, body: 'no healthy upstream', fault: null })
})

const WRONG: readonly (readonly [string, (stream: ServerHttp2Stream) => void, string])[] = [
  ['no message', (stream) => wrong(stream, Buffer.alloc(0)), 'protocol'],
  ['a compressed message', (stream) => wrong(stream, frame('x', 1)), 'protocol'],
  ['a message that is cut', (stream) => wrong(stream, frame('hello').subarray(0, 7)), 'protocol'],
  ['more than one message', (stream) => wrong(stream, Buffer.concat([frame('a'), frame('b')])), 'protocol'],
  ['more than is allowed', (stream) => wrong(stream, frame('x'.repeat(2000))), 'protocol'],
  ['a claim of four gigabytes', (stream) => wrong(stream, Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1])), 'protocol'],
  [
    'something else than gRPC',
    (stream) => (stream.respond({ ':status': 200, 'content-type': 'text/html' }), stream.end('<p>')),
    'protocol',
  ],
  ['a refused stream', (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM), 'connect'],
  ['a reset', (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR), 'reset'],
]

function wrong(stream: ServerHttp2Stream, bytes: Buffer): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.end(bytes)
}

test.each(WRONG)('%s is a fault', async (_what, handle, kind) => {
  let broken = true
  const { port } = await serve((stream) => (broken ? handle(stream) : echo(stream)))
  const made = upstream(port)
  const { fault, status } = await outcomeOf(made)
  expect(fault?.kind).toBe(kind)
  expect(status).toBe(0)
  // The connection is still good for others.
  broken = false
  expect((await outcomeOf(made)).status).toBe(200)
})

test('nobody at the port, somebody else at it, and nobody who answers', async () => {
  const free = createTcp()
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
  const port = portOf(free)
  await new Promise((resolve) => free.close(resolve))
  expect((await outcomeOf(upstream(port))).fault).toMatchObject({ kind: 'connect', detail: 'ECONNREFUSED' })
  const http1 = createHttp1((_req, res) => res.end('hi'))
  await new Promise<void>((resolve) => http1.listen(0, '127.0.0.1', resolve))
  open.push(() => (http1.closeAllConnections(), http1.close()))
  expect(['protocol', 'reset']).toContain((await outcomeOf(upstream(portOf(http1)))).fault?.kind)
  const deaf = createTcp((socket) => void socket.on('error', () => {}))
  const tls = await new Promise<number>((resolve) => deaf.listen(0, '127.0.0.1', () => resolve(portOf(deaf))))
  open.push(() => void deaf.close())
  const silent = upstream(tls, { origin: `https://127.0.0.1:${tls}`, connectTimeoutMs: 30 })
  expect((await outcomeOf(silent)).fault).toMatchObject({ kind: 'connect', detail: 'ETIMEDOUT' })
})

test('a server that goes and comes again is found again', async () => {
  const first = await serve(echo)
  const made = upstream(first.port)
  expect((await outcomeOf(made)).status).toBe(200)
  const gone = new Promise((resolve) => first.server.once('close', resolve))
  first.server.close()
  for (const session of first.sessions) session.destroy()
  await gone
  expect((await outcomeOf(made)).fault?.kind).toMatch(/connect|reset/)
  await serve(echo, first.port)
  expect((await outcomeOf(made)).status).toBe(200)
})

test('a server that says it goes gets no more calls on that connection, and what is open ends well', async () => {
  let held: ServerHttp2Stream | null = null
  const place = await serve((stream) => {
    if (place.sessions.length === 1) {
      held = stream
      place.sessions[0]!.goaway()
    } else echo(stream)
  })
  const made = upstream(place.port)
  const slow = outcomeOf(made)
  await new Promise<void>((resolve) => {
    const look = setInterval(() => {
      if (held === null) return
      clearInterval(look)
      resolve()
    }, 1)
  })
  let status = 0
  while (place.sessions.length < 2)
    status = await Promise.race([outcomeOf(made).then((one) => one.status), slow.then(() => 0)])
  expect(status).toBe(200)
  good(held!, 'late')
  expect(await slow).toMatchObject({ status: 200, body: '{"said":"LATE"}' })
})

test('a call that is taken back is reset at the server, before and after it has a connection', async () => {
  let closed: ((code: number) => void) | null = null
  let arrived: (() => void) | null = null
  const { port, sessions } = await serve((stream) => {
    stream.on('close', () => closed?.(stream.rstCode))
    arrived?.()
  })
  const made = upstream(port)
  const never = {
    onHead: expect.unreachable,
    onData: expect.unreachable,
    onEnd: expect.unreachable,
    onFault: expect.unreachable,
  }
  made.call(request(), never as never).abort()
  const here = new Promise<void>((resolve) => (arrived = resolve))
  const code = new Promise<number>((resolve) => (closed = resolve))
  const call = made.call(request(), never as never)
  await here
  call.abort(true)
  expect(await code).toBe(constants.NGHTTP2_CANCEL)
  expect(sessions).toHaveLength(1)
})

test('two hundred calls at once share one connection and get each their own answer', async () => {
  const { port, sessions } = await serve(echo)
  const made = upstream(port)
  const outcomes = await Promise.all(Array.from({ length: 200 }, (_, i) => outcomeOf(made, request(`n${i}`))))
  expect(outcomes.map(({ body }) => body)).toEqual(outcomes.map((_, i) => `{"said":"N${i}"}`))
  expect(sessions.length).toBeLessThan(3)
})

test('a connection that has grown old is replaced', async () => {
  const { port, sessions } = await serve(echo)
  const made = upstream(port, { maxAgeMs: -1 })
  await outcomeOf(made)
  await outcomeOf(made)
  expect(sessions).toHaveLength(2)
})

test('a key does not cross a network in clear, and no header breaks the line', async () => {
  const { port, sessions } = await serve(echo)
  const made = upstream(port, { clear: true })
  expect((await outcomeOf(made, request('x', ['Authorization', 'Bearer k']))).fault).toMatchObject({ kind: 'protocol' })
  expect((await outcomeOf(made, request('x', ['x-a', 'b\r\nc: d']))).fault?.detail).toBe("header 'x-a' cannot be sent")
  expect(sessions).toHaveLength(0)
})
