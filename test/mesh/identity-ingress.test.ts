// An ingress that ends its callers' TLS and speaks for them to Heddle's own TLS port: `trust: mtls`.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'
import { hasOpenssl, makeCerts } from './identity-certs.ts'
import type { Certs } from './identity-certs.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'
import type { RunningEnvoy } from './kit/envoy.ts'

const id = (namespace: string, account: string): string => `spiffe://cluster.local/ns/${namespace}/sa/${account}`
const indent = (text: string): string => text.trim().replaceAll('\n', '\n      ')

const config = (certs: Certs): string => `
server:
  log: { level: silent, access: false }
  tls:
    port: 0
    client_cert: required
    cert: |
      ${indent(certs.pem('heddle.pem'))}
    key: |
      ${indent(certs.pem('heddle.key'))}
    client_ca: |
      ${indent(certs.pem('ca.pem'))}
mesh:
  kind: istio
  wait_for_proxy: 0
  identity: { trust: mtls, forwarders: ["${id('edge', 'ingress')}"] }
providers: { sim: }
models: { small: sim/sim-small, large: sim/sim-large }
auth:
  peers:
    map:
      - { namespace: apps, models: [small] }
      - { namespace: ops }
      - { namespace: edge, models: [] }
`

describe.skipIf(envoy === null || !hasOpenssl)('an ingress', () => {
  let certs: Certs
  let gateway: Gateway
  const proxies: RunningEnvoy[] = []

  const edge = async (name: string, xfcc: 'SANITIZE_SET' | 'SANITIZE'): Promise<RunningEnvoy> => {
    const pair = { cert: certs.pem(`${name}.pem`), key: certs.pem(`${name}.key`), ca: certs.pem('ca.pem') }
    const port = Number(new URL(gateway.tlsUrl!).port)
    const proxy = await startEnvoy([
      { name: 'in', to: [port], direction: 'inbound', xfcc, tls: pair, upstreamTls: { sni: 'heddle', ...pair } },
    ])
    proxies.push(proxy)
    return proxy
  }

  beforeAll(async () => {
    certs = makeCerts()
    certs.issue('heddle', '/CN=heddle', `URI.1=${id('llm', 'heddle')}`)
    certs.issue('ingress', '/CN=ingress', `URI.1=${id('edge', 'ingress')}`)
    certs.issue('chat', '/CN=chat', `URI.1=${id('apps', 'chat')}`)
    gateway = await startGateway(config(certs))
  })
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()))
    await gateway?.stop()
    certs?.close()
  })

  const forged = { 'x-forwarded-client-cert': `By=${id('edge', 'ingress')};URI=${id('ops', 'root')}` }
  const ask = async (url: string, client: string, model: string): Promise<number> => {
    const body = { model, messages: [{ role: 'user', content: 'hi' }] }
    return (await certs.send(`${url}/v1/chat/completions`, client, forged, body)).status
  }
  const urlOf = (proxy: RunningEnvoy): string => `https://127.0.0.1:${proxy.port('in')}`

  test('speaks for its callers', async () => {
    const url = urlOf(await edge('ingress', 'SANITIZE_SET'))
    expect(await ask(url, 'chat', 'small')).toBe(200)
    expect(await ask(url, 'chat', 'large')).toBe(403)
  })

  test('does not lend its own identity to those for whom it says nothing', async () => {
    expect(await ask(urlOf(await edge('ingress', 'SANITIZE')), 'chat', 'small')).toBe(401)
  })

  test('is not everybody who shows a certificate: another workload is itself', async () => {
    expect(await ask(gateway.tlsUrl!, 'chat', 'small')).toBe(200)
    expect(await ask(gateway.tlsUrl!, 'chat', 'large')).toBe(403)
  })
})
