// Our server side of HTTP/2 and gRPC with clients that others have made: grpc-js, node:http2, curl.
import { execFile } from 'node:child_process'
import { connect as connectH2, type ClientHttp2Session } from 'node:http2'
import { connect as connectTcp, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { credentials, makeGenericClientConstructor, Metadata, type Client, type ServiceError } from '@grpc/grpc-js'
import type { Codec, StreamCall, UnaryCall } from '../../src/protocol/grpc/calls.ts'
import { Health } from '../../src/protocol/grpc/gen/health_pb.ts'
import { ExternalProcessor } from '../../src/protocol/grpc/gen/ext_proc_pb.ts'
import { frameOf } from '../../src/protocol/grpc/messages.ts'
import { GrpcServer } from '../../src/protocol/grpc/server.ts'
import { until } from '../support/client.ts'

const same = (bytes: Buffer): Buffer => bytes
const RAW: Codec<Buffer, Buffer> = { read: (bytes) => Buffer.from(bytes), frame: frameOf }
const NAME = 'test.Echo'
const MB = 1024 * 1024

let server: GrpcServer
let listener: Server
let port: number
let client: Client
let waiting: UnaryCall<Buffer>[]
let cancelled: number
let streams: { readonly call: StreamCall<unknown>; gone: boolean; ended: boolean }[]
const sockets = new Set<Socket>()
const faults: unknown[] = []

function fill(): void {
  server.unaryWith(NAME, 'Echo', RAW, (call, request) => call.answer(request))
  server.unaryWith(NAME, 'Fail', RAW, (call, request) => call.fail(9, `nein: 100 % ${request.toString()}`))
  server.unaryWith(NAME, 'Throw', RAW, () => {
    throw new Error('of ours')
  })
  server.unaryWith(NAME, 'Wait', RAW, (call) => {
    waiting.push(call)
    call.listener = { onCancelled: () => void cancelled++ }
  })
  // Any message of the generated code will do: its bytes are echoed.
  server.streaming(
    NAME,
    ExternalProcessor.method.process,
    (call) => {
      const seen = { call: call as StreamCall<unknown>, gone: false, ended: false }
      streams.push(seen)
      return {
        onMessage: (message) => void call.write(message as never),
        onEnd: () => {
          seen.ended = true
          call.end()
        },
        onDrain() {},
        onGone: () => {
          seen.gone = true
        },
      }
    },
    RAW as never,
  )
  server.streaming('grpc.health.v1.Health', Health.method.watch, (call) => ({
    onMessage: () => {
      call.write({ $typeName: 'heddle.health.HealthCheckResponse', status: 1 })
      call.write({ $typeName: 'heddle.health.HealthCheckResponse', status: 2 })
    },
    onEnd() {},
    onDrain() {},
    onGone() {},
  }))
}

beforeEach(async () => {
  waiting = []
  streams = []
  cancelled = 0
  faults.length = 0
  server = new GrpcServer({
    maxMessage: 6 * MB,
    maxPartial: 64 * MB,
    maxStreams: 200,
    onFault: (error) => void faults.push(error),
  })
  fill()
  listener = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    server.accept(socket)
  })
  await new Promise<void>((resolve) => void listener.listen(0, '127.0.0.1', resolve))
  ;({ port } = listener.address() as AddressInfo)
  client = new (makeGenericClientConstructor({}, 'raw'))(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
  })
})
afterEach(() => {
  client.close()
  server.close()
  listener.close()
})

const unary = (
  method: string,
  bytes: Buffer,
  options: object = {},
  metadata = new Metadata(),
): Promise<{ bytes: Buffer | null; error: ServiceError | null }> =>
  new Promise((resolve) => {
    client.makeUnaryRequest(`/${NAME}/${method}`, same, same, bytes, metadata, options, (error, answer) =>
      resolve({ bytes: answer ?? null, error }),
    )
  })

describe('grpc-js', () => {
  test('asks and is answered: nothing, a little, 5 MB', async () => {
    for (const size of [0, 1, 1000, 65_536, 5 * MB]) {
      const bytes = Buffer.alloc(size, 'w')
      const answer = await unary('Echo', bytes)
      expect(answer.error).toBeNull()
      expect(answer.bytes!.equals(bytes)).toBe(true)
    }
  })

  test('a thousand at a time, of which each has its own', async () => {
    const texts = Array.from({ length: 1000 }, (_, i) => `${i}`.padEnd((i * 37) % 3000, '.'))
    const answers = await Promise.all(texts.map((text) => unary('Echo', Buffer.from(text))))
    expect(answers.map(({ bytes }) => bytes?.toString())).toEqual(texts)
  })

  test('metadata of any kind goes by', async () => {
    const metadata = new Metadata()
    metadata.set('x-long', 'y'.repeat(6000))
    metadata.set('x-some-bin', Buffer.from([0, 1, 255]))
    expect((await unary('Echo', Buffer.from('a'), {}, metadata)).bytes?.toString()).toBe('a')
  })

  test('errors have their code and their words', async () => {
    expect((await unary('Fail', Buffer.from('é'))).error).toMatchObject({ code: 9, details: 'nein: 100 % é' })
    expect((await unary('Throw', Buffer.from('x'))).error).toMatchObject({ code: 13 })
    expect(faults.length).toBe(1)
    expect((await unary('None', Buffer.from('x'))).error).toMatchObject({ code: 12 })
    expect((await unary('Echo', Buffer.alloc(7 * MB))).error).toMatchObject({ code: 8 })
    expect((await unary('Echo', Buffer.from('x'))).error).toBeNull()
  })

  test('a cancel is told to the handler, once; what it answers then is nothing', async () => {
    const call = client.makeUnaryRequest(`/${NAME}/Wait`, same, same, Buffer.from('x'), () => {})
    await until(() => waiting.length === 1)
    call.cancel()
    await until(() => cancelled === 1)
    expect(waiting[0]!.cancelled).toBe(true)
    waiting[0]!.answer(Buffer.from('late'))
    expect((await unary('Echo', Buffer.from('x'))).error).toBeNull()
    expect(cancelled).toBe(1)
  })

  test('a deadline ends the call, on the server’s side by itself', async () => {
    const answer = await unary('Wait', Buffer.from('x'), { deadline: Date.now() + 200 })
    expect(answer.error).toMatchObject({ code: 4 })
    await until(() => cancelled === 1)
  })

  test('streams both ways, with messages of all sizes, end in order', async () => {
    const call = client.makeBidiStreamRequest(`/${NAME}/Process`, same, same)
    const got: number[] = []
    call.on('data', (bytes: Buffer) => got.push(bytes.length))
    const over = new Promise<number>((resolve) => void call.on('status', ({ code }) => resolve(code)))
    const sizes = [0, 5, 70_000, 1, 3 * MB, 16_384]
    for (const size of sizes) call.write(Buffer.alloc(size))
    call.end()
    expect(await over).toBe(0)
    expect(got).toEqual(sizes)
    await until(() => streams[0]!.gone)
    expect(streams[0]!.ended).toBe(true)
  })

  test('a stream that is paused has its messages later, all of them', async () => {
    const call = client.makeBidiStreamRequest(`/${NAME}/Process`, same, same)
    let got = 0
    call.on('data', () => got++)
    call.write(Buffer.from('first'))
    await until(() => got === 1)
    streams[0]!.call.pause()
    for (let i = 0; i < 100; i++) call.write(Buffer.alloc(20_000))
    call.end()
    await new Promise((resolve) => void setTimeout(resolve, 200))
    expect(got).toBe(1)
    streams[0]!.call.resume()
    await until(() => got === 101 && streams[0]!.gone)
  })

  test('a stream that is cancelled, and one whose connection breaks, are gone', async () => {
    const ends = [(call: { cancel(): void }) => call.cancel(), () => void [...sockets].map((s) => s.destroy())]
    for (const [i, end] of ends.entries()) {
      const call = client.makeBidiStreamRequest(`/${NAME}/Process`, same, same)
      call.on('error', () => {})
      call.write(Buffer.from('x'))
      const count = streams.length
      await until(() => streams.length > count)
      const seen = streams.at(-1)!
      end(call)
      await until(() => seen.gone)
      // Node ends its side before it cancels, and this handler ends with it.
      expect(seen.call.cancelled).toBe(i === 1)
    }
  })

  test('a service that goes on telling', async () => {
    const call = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', same, same, Buffer.alloc(0))
    const got: string[] = []
    call.on('data', (bytes: Buffer) => got.push(bytes.toString('hex')))
    call.on('error', () => {})
    await until(() => got.length === 2)
    expect(got).toEqual(['0801', '0802'])
    call.cancel()
  })

  test('a drain lets calls end, and new ones go elsewhere', async () => {
    const late = unary('Wait', Buffer.from('x'))
    await until(() => waiting.length === 1)
    const [socket] = sockets
    server.drain(5000)
    // The client has heard it: its next call takes another connection.
    await until(async () => (await unary('Echo', Buffer.from('y'))).error === null && sockets.size > 1)
    waiting[0]!.answer(Buffer.from('in time'))
    expect((await late).bytes?.toString()).toBe('in time')
    await until(() => socket!.destroyed, 4000)
  })
})

describe('node:http2', () => {
  let session: ClientHttp2Session
  beforeEach(() => {
    session = connectH2(`http://127.0.0.1:${port}`)
    session.on('error', () => {})
  })
  afterEach(() => session.destroy())

  const ask = (headers: object, body: Buffer | null): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': `/${NAME}/Echo`,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      })
      const found: Record<string, unknown> = {}
      const parts: Buffer[] = []
      stream.on('response', (head) => Object.assign(found, head))
      stream.on('trailers', (trailers) => Object.assign(found, trailers))
      stream.on('data', (part: Buffer) => parts.push(part))
      stream.on('error', reject)
      stream.on('end', () => resolve({ ...found, body: Buffer.concat(parts) }))
      if (body === null) stream.end()
      else stream.end(body)
    })

  test('what is no call of gRPC is told so in HTTP', async () => {
    expect(await ask({ 'content-type': 'text/plain' }, Buffer.from('x'))).toMatchObject({ ':status': 415 })
    expect(await ask({ 'content-type': 'application/grpcx' }, null)).toMatchObject({ ':status': 415 })
    expect(await ask({ ':method': 'GET' }, null)).toMatchObject({ ':status': 405 })
  })

  test.each([
    ['a compressed message', Buffer.from('0100000001aa', 'hex'), '12'],
    ['a message that is cut', Buffer.from('0000000005aa', 'hex'), '13'],
    ['no message', Buffer.alloc(0), '12'],
    ['two messages', Buffer.concat([frameOf(Buffer.from('a')), frameOf(Buffer.from('b'))]), '12'],
  ])('%s', async (_name, body, status) => {
    const answer = await ask({}, body)
    expect(answer).toMatchObject({ ':status': 200, 'grpc-status': status })
    if (status === '12') expect(answer['grpc-accept-encoding']).toBe('identity')
  })

  test('subtypes of the type, and a timeout that is none', async () => {
    const body = frameOf(Buffer.from('a'))
    expect(await ask({ 'content-type': 'application/grpc+proto' }, body)).toMatchObject({ 'grpc-status': '0' })
    expect(await ask({ 'grpc-timeout': 'soon' }, body)).toMatchObject({ 'grpc-status': '13' })
  })

  test('a server that is far away: the deadline is its own', async () => {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/${NAME}/Wait`,
      'content-type': 'application/grpc',
      'grpc-timeout': '100m',
    })
    const trailers = new Promise<object>((resolve) => void stream.on('response', resolve))
    stream.end(frameOf(Buffer.from('x')))
    expect(await trailers).toMatchObject({ 'grpc-status': '4' })
    expect(cancelled).toBe(1)
  })

  test('small windows, small frames, and a table that is none', async () => {
    session.destroy()
    session = connectH2(`http://127.0.0.1:${port}`, {
      settings: { initialWindowSize: 100, headerTableSize: 0 },
    })
    const body = frameOf(Buffer.alloc(300_000, 'z'))
    const answer = await ask({}, body)
    expect((answer['body'] as Buffer).equals(body)).toBe(true)
    expect(answer['grpc-status']).toBe('0')
  })

  test('pings and settings are answered', async () => {
    await new Promise<void>((resolve) => void session.once('remoteSettings', () => resolve()))
    const ms = await new Promise<number>((resolve, reject) => {
      session.ping((error, duration) => (error === null ? resolve(duration) : reject(error)))
    })
    expect(ms).toBeGreaterThanOrEqual(0)
    await new Promise<void>((resolve) => session.settings({ initialWindowSize: 1000 }, () => resolve()))
    expect(session.remoteSettings).toMatchObject({ maxConcurrentStreams: 200, initialWindowSize: 256 * 1024 })
    expect(session.remoteSettings.maxHeaderListSize).toBe(16_384)
  })
})

test('curl, with prior knowledge', async (context) => {
  const run = promisify(execFile)
  const { stdout: version } = await run('curl', ['--version']).catch(() => ({ stdout: '' }))
  if (!/HTTP2/.test(version)) {
    process.stderr.write('SKIPPED: there is no curl that speaks HTTP/2\n')
    context.skip()
  }
  const url = `http://127.0.0.1:${port}/${NAME}/Echo`
  const args = ['-s', '--http2-prior-knowledge', '-o', '/dev/null', '-w', '%{http_version} %{http_code}']
  expect((await run('curl', [...args, url])).stdout).toBe('2 415')
  const grpc = ['-X', 'POST', '-H', 'content-type: application/grpc', '--data-binary', 'xxx']
  expect((await run('curl', [...args, ...grpc, url])).stdout).toBe('2 200')
})

test('a connection that says nothing of HTTP/2 is ended', async () => {
  const socket = connectTcp(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await new Promise<void>((resolve) => void socket.resume().on('close', () => resolve()))
  await until(() => server.connections === 0)
  expect(faults).toEqual([])
})
