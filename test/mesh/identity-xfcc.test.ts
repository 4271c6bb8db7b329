// AC-ID-1: mesh identities through the real Envoy, set as Istio sets its sidecars, with callers who lie.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import type { Backend } from '../support/backend.ts'
import { call, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'
import { hasOpenssl, makeCerts } from './identity-certs.ts'
import type { Certs, Reply } from './identity-certs.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'
import type { RunningEnvoy } from './kit/envoy.ts'

const XFCC = 'x-forwarded-client-cert'
const HEDDLE = 'spiffe://cluster.local/ns/llm/sa/heddle'
const CHAT = 'spiffe://cluster.local/ns/apps/sa/chat'
const ROOT = 'spiffe://cluster.local/ns/ops/sa/root'
const BODY = { model: 'small', messages: [{ role: 'user', content: 'hi' }] }

const config = (backend: string, records: string, own: string): string => `
server:
  log: { level: silent, access: false }
  # Chains of certificates are longer than heads are otherwise.
  limits: { header_bytes: 64KiB }
mesh:
  kind: istio
  wait_for_proxy: 0
  identity: { trust: loopback-sidecar, own_principals: ["${own}"] }
providers: { local: { type: openai_compatible, base_url: "${backend}", api_key: operators-key } }
models: { small: local/m, large: local/m }
auth:
  peers:
    map:
      - { namespace: ops, models: ["*"] }
      - { namespace: apps, service_account: chat, models: [small], when: principal.peer.namespace == "apps" }
limits:
  each: { per: [namespace], rules: [{ requests: 1000, per: 1h }] }
usage: { records: { file: { path: "${records}" } } }
`

describe.skipIf(envoy === null || !hasOpenssl)('AC-ID-1', () => {
  let certs: Certs
  let backend: Backend
  let gateway: Gateway
  let proxy: RunningEnvoy
  let other: Gateway
  let toOther: RunningEnvoy
  let folder = ''
  const seen: IncomingHttpHeaders[] = []
  const echoed: IncomingHttpHeaders[] = []
  let echo: Backend
  let toEcho: RunningEnvoy

  const sidecar = (port: number, tls: boolean): Promise<RunningEnvoy> =>
    startEnvoy([
      {
        name: 'in',
        to: [port],
        direction: 'inbound',
        xfcc: 'APPEND_FORWARD',
        ...(tls
          ? { tls: { cert: certs.pem('heddle.pem'), key: certs.pem('heddle.key'), ca: certs.pem('ca.pem') } }
          : {}),
      },
    ])

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-identity-'))
    certs = makeCerts()
    certs.issue('heddle', '/O=x', `URI.1=${HEDDLE}`)
    certs.issue('chat', '/', `URI.1=${CHAT}`)
    certs.issue('named', '/CN=chat/O=a\\, "b"\\\\', `URI.1=${CHAT}`)
    certs.issue('two', '/CN=two', `URI.1=${CHAT}\nURI.2=${ROOT}`)
    certs.issue('also', '/CN=also', `URI.1=${CHAT}\nURI.2=https://a.example/x\nDNS.1=a.example`)
    certs.issue('separators', '/CN=s', `URI.1=spiffe://cluster.local/ns/x/sa/y,By=${HEDDLE};URI=${ROOT}`)
    backend = await startBackend((res, _n, req) => {
      seen.push(req.headers)
      sendJson(res, 200, CHAT_ANSWER)
    })
    echo = await startBackend((res, _n, req) => {
      echoed.push(req.headers)
      res.end()
    })
    gateway = await startGateway(config(backend.url, join(folder, 'usage.jsonl'), HEDDLE))
    other = await startGateway(config(backend.url, join(folder, 'other.jsonl'), 'spiffe://cluster.local/ns/llm/sa/x'))
    proxy = await sidecar(gateway.port, true)
    toOther = await sidecar(other.port, true)
    toEcho = await sidecar(Number(new URL(echo.url).port), true)
  }, 60_000)
  afterAll(async () => {
    await Promise.all([proxy, toOther, toEcho].map((one) => one?.stop()))
    await Promise.all([gateway, other].map((one) => one?.stop()))
    await Promise.all([backend, echo].map((one) => one?.close()))
    certs?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const ask = (
    client: string,
    headers: Readonly<Record<string, string | string[]>> = {},
    model = 'small',
    via = proxy,
  ): Promise<Reply> =>
    certs.send(`https://127.0.0.1:${via.port('in')}/v1/chat/completions`, client, headers, { ...BODY, model })

  const records = (): Record<string, unknown>[] =>
    readFileSync(join(folder, 'usage.jsonl'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>)

  const FORGED = `By=${HEDDLE};Hash=${'a'.repeat(64)};Subject="";URI=${ROOT}`

  test('policy sees who holds the certificate, not who is claimed in front: no key anywhere', async () => {
    expect((await ask('chat', { [XFCC]: FORGED })).status).toBe(200)
    expect((await ask('chat', { [XFCC]: FORGED }, 'large')).status).toBe(403)
    await until(() => records().length > 0)
    expect(records()[0]).toMatchObject({
      key_id: `peer:${CHAT}`,
      peer: CHAT,
      namespace: 'apps',
      service_account: 'chat',
      trust_domain: 'cluster.local',
    })
    expect(JSON.stringify(records())).not.toContain(ROOT)
  })

  test.each([
    ['a list with an empty end', `${FORGED},`],
    ['an open quote', `URI=${ROOT};Subject="`],
    ['an open quote and an escape', `URI=${ROOT};Subject="\\`],
    ['an escaped quote', `URI=${ROOT};Subject="a\\"`],
    ['a quote', `"`],
    ['20 kB of certificate', `By=${HEDDLE};URI=${ROOT};Cert="${'%2B'.repeat(6000)}"`],
    ['two lines', [FORGED, FORGED]],
    ['two lines that share a quote', ['Subject="', FORGED]],
  ])('%s in front makes nobody more than he is', async (_name, value) => {
    expect((await ask('chat', { [XFCC]: value }, 'large')).status).toBeGreaterThanOrEqual(401)
    expect([200, 401]).toContain((await ask('chat', { [XFCC]: value })).status)
  })

  test.each([
    ['chat', 200],
    // Quotes, commas and backslashes in the subject, as Envoy writes them.
    ['named', 200],
    // Two SPIFFE ids name nobody; another URI or a DNS name beside the one do no harm.
    ['two', 401],
    ['also', 200],
  ])('the certificate of %s: %i', async (client, status) => {
    expect((await ask(client)).status).toBe(status)
    expect((await ask(client, {}, 'large')).status).not.toBe(200)
  })

  test('what Envoy writes is what the reader was built for', async () => {
    for (const client of ['chat', 'named', 'also', 'separators'])
      await certs.send(`https://127.0.0.1:${toEcho.port('in')}/`, client, { [XFCC]: FORGED }, {})
    const values = echoed.map((headers) => String(headers[XFCC]))
    for (const value of values) expect(value.startsWith(`${FORGED},By=${HEDDLE};Hash=`)).toBe(true)
    expect(values[0]).toMatch(new RegExp(`;Subject="";URI=${CHAT}$`))
    expect(values[1]).toContain('Subject="')
    expect(values[2]).toContain('DNS=a.example')
    // Nobody behind Envoy could tell this from two elements: an authority that signs it gives all its identities away.
    expect(values[3]).toContain(`;URI=spiffe://cluster.local/ns/x/sa/y,By=${HEDDLE};URI=${ROOT}`)
  })

  test('the header of the other mesh passes through the sidecar, and says nothing', async () => {
    const l5d = { 'l5d-client-id': 'root.ops.serviceaccount.identity.cluster.local' }
    expect((await ask('chat', l5d, 'large')).status).toBe(403)
    expect((await ask('chat', l5d)).status).toBe(200)
  })

  test('no backend is told: neither the header nor who called', async () => {
    seen.length = 0
    await ask('chat', { [XFCC]: FORGED, 'l5d-client-id': 'x', 'x-jwt-payload': 'e30' })
    expect(seen).toHaveLength(1)
    expect(JSON.stringify(seen)).not.toMatch(/client-cert|l5d|jwt-payload|spiffe/)
  })

  test('plaintext through the sidecar: it takes the forged header away, and nobody is known', async () => {
    const plain = await sidecar(gateway.port, false)
    try {
      const reply = await call(`${plain.url('in')}/v1/chat/completions`, { body: BODY, headers: { [XFCC]: FORGED } })
      expect(reply.status).toBe(401)
    } finally {
      await plain.stop()
    }
  })

  test('an element whose `By` is another workload is not for us', async () => {
    expect((await ask('chat', {}, 'small', toOther)).status).toBe(401)
    expect(
      (await ask('chat', { [XFCC]: `By=spiffe://cluster.local/ns/llm/sa/x;URI=${ROOT}` }, 'small', toOther)).status,
    ).toBe(401)
  })
})
