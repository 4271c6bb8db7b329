// Members by their address, with TLS: which name they are asked for and must show, and that nothing else of them counts.
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { certificateFor, hasOpenssl } from '../mesh/egress-certs.ts'
import { CHAT_ANSWER } from '../support/backend.ts'
import { chat } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway } from '../support/gateway.ts'

const open = closedAfterEach()
const NAME = 'pods.internal'

const members = async (count: number) => {
  const { ca, cert, key } = certificateFor(NAME)
  const seen: { readonly sni: string | false | null; readonly host: string | undefined }[] = []
  const ports: number[] = []
  for (let i = 0; i < count; i++) {
    const server = createServer({ cert, key }, (req, res) => {
      seen.push({ sni: (req.socket as TLSSocket).servername, host: req.headers.host })
      req.resume().on('end', () => {
        res.setHeader('content-type', 'application/json')
        res.end(JSON.stringify(CHAT_ANSWER))
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    open.push(() => (server.closeAllConnections(), server.close()))
    ports.push((server.address() as AddressInfo).port)
  }
  return { ca, seen, ports }
}

const gatewayTo = async (host: string, serverName: string | null, { ca, ports }: { ca: string; ports: number[] }) => {
  const indent = ca.trim().replaceAll('\n', '\n        ')
  const gateway = await startGateway(`
providers:
  pods:
    type: openai_compatible
    base_url: https://${host}/v1
    api_key: sk-1
    discovery: { type: static, endpoints: [${ports.map((port) => `"127.0.0.1:${port}"`).join(', ')}] }
    balancing: { policy: round_robin, metrics: false }
    tls:
      ${serverName === null ? '' : `server_name: ${serverName}`}
      ca: |
        ${indent}
models: { m: pods/m }
defaults: { retries: { max_attempts: 1 } }
`)
  open.push(() => gateway.stop())
  return gateway
}

describe.skipIf(!hasOpenssl)('TLS to members', () => {
  test('without a name of its own the certificate is that of the host of base_url', async () => {
    const all = await members(2)
    const { url } = await gatewayTo(NAME, null, all)
    for (let i = 0; i < 2; i++) expect((await chat(url, 'm')).status).toBe(200)
    expect(all.seen).toEqual(Array.from({ length: 2 }, () => ({ sni: NAME, host: NAME })))
  })

  test('`server_name` is asked for and verified; the host stays that of base_url', async () => {
    const all = await members(2)
    const { url } = await gatewayTo('models.example', NAME, all)
    for (let i = 0; i < 4; i++) expect((await chat(url, 'm')).status).toBe(200)
    expect(all.seen).toEqual(Array.from({ length: 4 }, () => ({ sni: NAME, host: 'models.example' })))
  })

  test.each([
    ['models.example', null],
    [NAME, 'models.example'],
  ])('a certificate of another name than %s, %s is no member’s', async (host, serverName) => {
    const all = await members(1)
    const { url } = await gatewayTo(host, serverName, all)
    expect((await chat(url, 'm')).status).toBe(503)
    expect(all.seen).toEqual([])
  })
})
