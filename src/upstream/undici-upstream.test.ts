import { createServer } from 'node:http'
import type { RequestListener, ServerResponse } from 'node:http'
import { createServer as createRaw } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { UpstreamSink } from '../contracts/upstream.ts'
import { UndiciUpstream } from './undici-upstream.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).toReversed()) await clean()
})

const upstreamFor = (origin: string, connections = 1): UndiciUpstream => {
  const upstream = new UndiciUpstream({
    origin,
    connections,
    connectTimeoutMs: 1000,
    tls: { ca: null, serverName: null, rejectUnauthorized: true },
  })
  cleanups.push(() => upstream.close().catch(() => {}))
  return upstream
}

const listen = async (handler: RequestListener): Promise<string> => {
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => (server.closeAllConnections(), server.close()))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const listenRaw = async (handler: (socket: Socket) => void): Promise<string> => {
  const server = createRaw((socket) => {
    socket.on('error', () => {})
    handler(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Result {
  readonly events: string[]
  readonly body: string
}

const request = { method: 'POST', path: '/v1/x?y=1', headers: ['x-a', 'b'], body: Buffer.from('{}') }

const run = (upstream: UndiciUpstream, given: typeof request = request): Promise<Result> =>
  new Promise((resolve) => {
    const events: string[] = []
    let body = ''
    let returned = false
    const end = (event: string): void => {
      // Whoever calls has not got the call yet: what ends before it is in hand cannot be told from the next one.
      events.push(returned ? event : `early ${event}`)
      resolve({ events, body })
    }
    const sink: UpstreamSink = {
      onHead: (status) => events.push(`head ${status}`),
      onData: (chunk) => (body += chunk.toString()),
      onEnd: () => end('end'),
      onFault: (fault) => end(`fault ${fault.kind}`),
    }
    upstream.call(given, sink)
    returned = true
  })

test('request and answer as they are', async () => {
  const seen: unknown[] = []
  const origin = await listen((req, res) => {
    seen.push(req.method, req.url, req.headers['x-a'], req.headers['content-length'])
    res.end('woven')
  })
  expect(await run(upstreamFor(origin))).toEqual({ events: ['head 200', 'end'], body: 'woven' })
  expect(seen).toEqual(['POST', '/v1/x?y=1', 'b', '2'])
})

test('no connection, a reset, no HTTP: each its own kind, and never before the call is in hand', async () => {
  expect((await run(upstreamFor('http://127.0.0.1:9'))).events).toEqual(['fault connect'])
  expect((await run(upstreamFor(await listenRaw((s) => s.once('data', () => s.destroy()))))).events).toEqual([
    'fault reset',
  ])
  expect(
    (await run(upstreamFor(await listenRaw((s) => s.once('data', () => s.end('SMTP ready\r\n\r\n')))))).events,
  ).toEqual(['fault protocol'])
  expect(
    (
      await run(
        upstreamFor(
          await listenRaw((s) => s.once('data', () => s.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`))),
        ),
      )
    ).events,
  ).toEqual(['fault protocol'])
})

test('a request that cannot be sent is a fault like any other', async () => {
  const origin = await listen((_req, res) => res.end())
  const upstream = upstreamFor(origin)
  const bad = [
    ['x-bad', 'a\nb'],
    ['authorization', 'Bearer key\r'],
    ['x-bad', 'ключ'],
    ['b d', 'x'],
    ['', 'x'],
    ['transfer-encoding', 'chunked'],
    ['Content-Length', '7'],
    ['expect', '100-continue'],
  ]
  for (const headers of bad) expect((await run(upstream, { ...request, headers })).events).toEqual(['fault protocol'])
  for (const path of ['/a b', '/a\r\nx: y', '/ключ'])
    expect((await run(upstream, { ...request, path })).events).toEqual(['fault protocol'])
  // And the one connection still serves.
  expect((await run(upstream)).events).toEqual(['head 200', 'end'])
})

test('a cut answer is a fault, not an end', async () => {
  const origin = await listenRaw((s) =>
    s.once('data', () => s.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')),
  )
  expect((await run(upstreamFor(origin))).events).toEqual(['head 200', 'fault reset'])
})

test('1xx answers are skipped, however many', async () => {
  const origin = await listen((_req, res) => {
    for (let i = 0; i < 5; i++) res.writeEarlyHints({ link: '</x>; rel=preload' })
    res.writeProcessing()
    res.end('real')
  })
  const upstream = upstreamFor(origin)
  for (let i = 0; i < 5; i++) expect(await run(upstream)).toEqual({ events: ['head 200', 'end'], body: 'real' })
})

test('abort closes the socket and is the last that is heard', async () => {
  let closed: (() => void) | undefined
  const gone = new Promise<void>((resolve) => (closed = resolve))
  const origin = await listen((_req, res) => {
    res.on('close', () => closed?.())
    res.write('begin')
  })
  const events: string[] = []
  await new Promise<void>((resolve) => {
    const call = upstreamFor(origin).call(request, {
      onHead: () => events.push('head'),
      onData: () => {
        call.abort()
        resolve()
      },
      onEnd: () => events.push('end'),
      onFault: () => events.push('fault'),
    })
  })
  await gone
  expect(events).toEqual(['head'])
})

test('a call aborted while it waits for a connection is never sent', async () => {
  let requests = 0
  const held = Promise.withResolvers<ServerResponse>()
  const origin = await listen((_req, res) => {
    requests++
    if (requests === 1) held.resolve(res)
    else res.end()
  })
  const upstream = upstreamFor(origin)
  const first = run(upstream)
  const silent: UpstreamSink = { onHead: () => {}, onData: () => {}, onEnd: () => {}, onFault: () => {} }
  const waiting = upstream.call(request, silent)
  waiting.abort()
  const answer = await held.promise
  answer.end()
  await first
  await run(upstream)
  expect(requests).toBe(2)
})

test('after close() a call fails, and not before it is in hand', async () => {
  const upstream = upstreamFor(await listen((_req, res) => res.end()))
  await upstream.close()
  expect((await run(upstream)).events).toEqual(['fault reset'])
})

test.each(['GET', 'DELETE', 'PUT', 'PATCH'])('%s with a body is sent with it', async (method) => {
  const origin = await listen((req, res) => req.pipe(res))
  const upstream = upstreamFor(origin)
  for (let i = 0; i < 2; i++)
    expect(await run(upstream, { ...request, method })).toEqual({ events: ['head 200', 'end'], body: '{}' })
})
