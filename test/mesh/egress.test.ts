// Calls through an HTTP proxy, and keys that must not leave in clear whatever the configuration did not see.
import { createServer as createTls } from 'node:https'
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { UndiciUpstream } from '../../src/upstream/index.ts'
import { chat } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'
import { certificateFor, hasOpenssl } from './egress-certs.ts'
import { freePort } from './kit/health-port.ts'

const KEY = 'sk-vendor-0123456789abcdef'
const closing = closedAfterEach()

const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  closing.push(() => (server.closeAllConnections(), server.close()))
  return (server.address() as AddressInfo).port
}

const answer = (content: string): string =>
  JSON.stringify({
    id: 'c1',
    object: 'chat.completion',
    created: 1,
    model: 'x',
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
  })

/** A forward proxy that knows where names lead: `to`. */
const forwardProxy = async (to: number, password: string | null) => {
  const seen: { authority: string; authorization: string | undefined }[] = []
  const bytes: Buffer[] = []
  const server = createServer((_req, res) => res.writeHead(405).end())
  server.on('connect', (req, socket: Socket, head: Buffer) => {
    const authorization = req.headers['proxy-authorization']
    seen.push({ authority: req.url!, authorization })
    if (password !== null && authorization !== `Basic ${Buffer.from(password).toString('base64')}`) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
      return
    }
    const upstream = connect(to, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      if (head.length > 0) upstream.write(head)
      socket.on('data', (chunk: Buffer) => bytes.push(chunk))
      socket.pipe(upstream).pipe(socket)
    })
    socket.on('error', () => upstream.destroy())
    upstream.on('error', () => socket.destroy())
    closing.push(() => (socket.destroy(), upstream.destroy()))
  })
  return { port: await listen(server), seen, clear: () => Buffer.concat(bytes).toString('latin1') }
}

describe.skipIf(!hasOpenssl)('connect-proxy', () => {
  const vendor = async () => {
    const { ca, cert, key } = certificateFor('api.vendor.example')
    const keys: (string | undefined)[] = []
    const server = createTls({ cert, key }, (req, res) => {
      keys.push(req.headers.authorization)
      req.resume()
      res.writeHead(200, { 'content-type': 'application/json' }).end(answer(String(req.headers.host)))
    })
    return { port: await listen(server), ca, keys }
  }

  const gatewayThrough = async (proxy: string, ca: string) => {
    const indented = ca.trim().replaceAll('\n', '\n        ')
    const gateway = await startGateway(`
defaults: { retries: { max_attempts: 1 } }
providers:
  v:
    type: openai_compatible
    base_url: https://api.vendor.example/v1
    api_key: ${KEY}
    egress: { mode: connect-proxy, proxy: "${proxy}" }
    tls:
      ca: |
        ${indented}
models: { m: v/x }
`)
    closing.push(() => gateway.stop())
    return gateway
  }

  test('a tunnel by the provider’s name, TLS inside: the proxy sees neither key nor question', async () => {
    const { port, ca, keys } = await vendor()
    const proxy = await forwardProxy(port, 'user:p@ss')
    const gateway = await gatewayThrough(`http://user:p%40ss@127.0.0.1:${proxy.port}`, ca)
    for (let i = 0; i < 3; i++) expect((await chat(gateway.url, 'm')).text).toBe('api.vendor.example')
    expect(keys).toEqual(Array(3).fill(`Bearer ${KEY}`))
    // One connection for all of them.
    expect(proxy.seen.map(({ authority }) => authority)).toEqual(['api.vendor.example:443'])
    expect(proxy.clear()).not.toContain(KEY)
    const shown = await (await fetch(`${gateway.adminUrl}/admin/config`)).text()
    expect(shown).toContain(`http://127.0.0.1:${proxy.port}`)
    expect(shown).not.toContain(Buffer.from('user:p@ss').toString('base64'))
  })

  test('a proxy that refuses, one that is gone, a certificate of somebody else: no key, and the call fails', async () => {
    const { port, ca, keys } = await vendor()
    const proxy = await forwardProxy(port, 'user:other')
    for (const url of [`http://user:wrong@127.0.0.1:${proxy.port}`, `http://127.0.0.1:${await freePort()}`]) {
      const gateway = await gatewayThrough(url, ca)
      expect((await chat(gateway.url, 'm')).status).toBeGreaterThanOrEqual(500)
    }
    const open = await forwardProxy(port, null)
    const stranger = certificateFor('api.vendor.example').ca
    const gateway = await gatewayThrough(`http://127.0.0.1:${open.port}`, stranger)
    expect((await chat(gateway.url, 'm')).status).toBeGreaterThanOrEqual(500)
    expect(open.seen).toHaveLength(1)
    expect(keys).toEqual([])
  })
})

const send = (upstream: UndiciUpstream, headers: string[]): Promise<string> =>
  new Promise((resolve) => {
    upstream.call(
      { method: 'POST', path: '/v1/x', headers, body: Buffer.from('{}') },
      {
        onHead: (status) => resolve(String(status)),
        onData: () => {},
        onEnd: () => {},
        onFault: ({ kind, detail }) => resolve(`${kind}: ${detail}`),
      },
    )
  })

test('EG-4: a busy connection is not kept for ever, and no call is lost when it is replaced', async () => {
  const ports = new Set<number>()
  const port = await listen(
    createServer((req, res) => {
      ports.add(req.socket.remotePort!)
      req.resume()
      res.end()
    }),
  )
  const upstream = new UndiciUpstream({
    origin: `http://127.0.0.1:${port}`,
    connections: 1,
    connectTimeoutMs: 1000,
    maxAgeMs: 60,
    tls: { ca: null, serverName: null, rejectUnauthorized: true },
  })
  closing.push(() => upstream.close())
  const answers = new Set<string>()
  const until = performance.now() + 300
  while (performance.now() < until) answers.add(await send(upstream, []))
  expect([...answers]).toEqual(['200'])
  expect(ports.size).toBeGreaterThanOrEqual(3)
  expect(ports.size).toBeLessThan(12)
})

describe('in clear', () => {
  test('what the configuration could not see is stopped at the connection', async () => {
    let requests = 0
    const port = await listen(createServer((_req, res) => (requests++, res.end())))
    const upstream = new UndiciUpstream({
      origin: `http://127.0.0.1:${port}`,
      connections: 1,
      connectTimeoutMs: 1000,
      tls: { ca: null, serverName: null, rejectUnauthorized: true },
      clear: true,
    })
    closing.push(() => upstream.close())
    for (const name of ['Authorization', 'x-api-key', 'api-key', 'x-goog-api-key', 'cookie'])
      expect(await send(upstream, ['accept', '*/*', name, 'secret'])).toMatch(/^protocol: a key would cross/)
    expect(requests).toBe(0)
    expect(await send(upstream, ['accept', '*/*'])).toBe('200')
  })
})
