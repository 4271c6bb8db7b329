// Keys of vendors and a proxy that speaks TLS for us (EG-1): they are sent to it, and to nobody in its place.
import { createServer, type Server as HttpServer } from 'node:http'
import { createServer as createTls } from 'node:https'
import { createServer as createTcp, type AddressInfo, type Server } from 'node:net'
import { describe, expect, test } from 'vitest'
import { chat, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'
import { certificateFor, hasOpenssl } from './egress-certs.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'

const KEY = 'sk-vendor-0123456789abcdef'
const closing = closedAfterEach()

const listen = async (server: Server | HttpServer, port = 0): Promise<number> => {
  await new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', resolve))
  closing.push(() => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const ANSWER = JSON.stringify({
  id: 'c1',
  object: 'chat.completion',
  created: 1,
  model: 'x',
  choices: [{ index: 0, message: { role: 'assistant', content: 'through the mesh' }, finish_reason: 'stop' }],
})

/** A vendor: TLS only, 401 to strangers. */
const vendor = async (stranger = 401) => {
  const { ca, cert, key } = certificateFor('api.vendor.test')
  const seen: { path: string; authorization: string | undefined; host: string | undefined }[] = []
  const port = await listen(
    createTls({ cert, key }, (req, res) => {
      const { authorization, host } = req.headers
      seen.push({ path: req.url!, authorization, host })
      req.resume()
      if (authorization !== `Bearer ${KEY}`) {
        res.writeHead(stranger, { 'content-type': 'application/json', location: 'https://api.vendor.test/' })
        res.end('{"error":{"message":"No key."}}')
      } else res.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER)
    }),
  )
  return { port, seen, ca }
}

const gatewayTo = async (port: number, egress = '{ mode: mesh-originate }') => {
  const gateway = await startGateway(`
defaults: { retries: { max_attempts: 1 }, breaker: { enabled: false } }
providers:
  v: { type: openai_compatible, base_url: "http://127.0.0.1:${port}/v1", api_key: ${KEY}, class: vendor, egress: ${egress} }
models: { m: v/x }
`)
  closing.push(() => gateway.stop())
  return gateway
}

/** Whoever listens in clear where the proxy was: writes down every byte. */
const impostor = async (port: number, head: string) => {
  const chunks: Buffer[] = []
  await listen(
    createTcp((socket) => {
      socket.on('error', () => {})
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        socket.write(head)
      })
    }),
    port,
  )
  return () => Buffer.concat(chunks).toString('latin1')
}

describe.skipIf(envoy === null || !hasOpenssl)('AC-EG-1', () => {
  test('through Envoy, which speaks TLS: 200; Envoy gone and a plain server in its place: no byte of the key', async () => {
    const { port, seen, ca } = await vendor()
    const proxy = await startEnvoy([
      { name: 'vendor', direction: 'outbound', to: [port], upstreamTls: { sni: 'api.vendor.test', ca } },
    ])
    closing.push(() => proxy.stop())
    const there = proxy.port('vendor')
    const gateway = await gatewayTo(there)
    expect((await chat(gateway.url, 'm')).text).toBe('through the mesh')
    // The first thing that was asked came from nobody.
    expect(seen.map(({ path, authorization }) => [path, authorization])).toEqual([
      ['/v1/models', undefined],
      ['/v1/chat/completions', `Bearer ${KEY}`],
    ])
    // Once a connection, not once a call.
    for (let i = 0; i < 3; i++) expect((await chat(gateway.url, 'm')).status).toBe(200)
    expect(seen.filter(({ path }) => path === '/v1/models')).toHaveLength(1)

    await proxy.stop('SIGKILL')
    const captured = await impostor(
      there,
      'HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
    )
    for (let i = 0; i < 5; i++) {
      const answer = await chat(gateway.url, 'm')
      expect(answer.status).toBeGreaterThanOrEqual(500)
    }
    expect(captured()).toContain('GET /v1/models HTTP/1.1')
    expect(captured().toLowerCase()).not.toContain('authorization')
    expect(captured()).not.toContain(KEY)
    expect(captured()).not.toContain('chat/completions')
  })

  test('a proxy that comes back is asked again, and serves', async () => {
    const { port, seen, ca } = await vendor(404)
    const settings = {
      name: 'vendor',
      direction: 'outbound',
      to: [port],
      upstreamTls: { sni: 'api.vendor.test', ca },
    } as const
    const first = await startEnvoy([settings])
    const there = first.port('vendor')
    const gateway = await gatewayTo(there)
    expect((await chat(gateway.url, 'm')).status).toBe(200)
    await first.stop('SIGKILL')
    expect((await chat(gateway.url, 'm')).status).toBeGreaterThanOrEqual(500)
    const second = await startEnvoy([settings])
    closing.push(() => second.stop())
    // Another Envoy on another port: as the name would lead there.
    const again = await gatewayTo(second.port('vendor'))
    await until(async () => (await chat(again.url, 'm')).status === 200)
    expect(seen.filter(({ path }) => path === '/v1/models').length).toBeGreaterThanOrEqual(2)
  })

  test('Envoy that passes on in clear meets the vendor’s redirect: no key', async () => {
    const captured: string[] = []
    const port = await listen(
      createServer((req, res) => {
        captured.push(req.rawHeaders.join('\n'))
        res.writeHead(301, { location: 'https://api.vendor.test/v1/models' }).end()
      }),
    )
    const proxy = await startEnvoy([{ name: 'vendor', direction: 'outbound', to: [port] }])
    closing.push(() => proxy.stop())
    const gateway = await gatewayTo(proxy.port('vendor'))
    expect((await chat(gateway.url, 'm')).status).toBeGreaterThanOrEqual(500)
    expect(captured.length).toBeGreaterThan(0)
    expect(captured.join('\n').toLowerCase()).not.toContain('authorization')
  })

  test('Envoy that cannot reach the vendor answers itself: no key', async () => {
    // Speaks no TLS, so that Envoy itself must answer.
    const port = await listen(createTcp((socket) => void socket.on('error', () => {}).end('no TLS here')))
    const { ca } = certificateFor('api.vendor.test')
    const proxy = await startEnvoy([
      { name: 'vendor', direction: 'outbound', to: [port], upstreamTls: { sni: 'api.vendor.test', ca } },
    ])
    closing.push(() => proxy.stop())
    const gateway = await gatewayTo(proxy.port('vendor'))
    expect((await chat(gateway.url, 'm')).status).toBeGreaterThanOrEqual(500)
    // The question for strangers, and nothing after it.
    expect(await proxy.stat('http.vendor.downstream_rq_total')).toBe(1)
  })
})
