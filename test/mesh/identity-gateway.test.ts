// Identities of a mesh at the whole gateway: who is believed, what others see of it, what can be asked by it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import type { Backend } from '../support/backend.ts'
import { until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

const HEDDLE = 'spiffe://cluster.local/ns/llm/sa/heddle'
const ADMIN = 'spiffe://cluster.local/ns/ops/sa/admin'
const WEB = 'spiffe://cluster.local/ns/apps/sa/web'
const xfcc = (id: string): string => `x-forwarded-client-cert: By=${HEDDLE};Hash=ab;Subject="";URI=${id}`
const BODY = JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'hi' }] })

let gateway: Gateway
let backend: Backend
let folder = ''
let seen: IncomingHttpHeaders[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-identity-'))
  seen = []
  backend = await startBackend((res, _n, req) => {
    seen.push(req.headers)
    sendJson(res, 200, CHAT_ANSWER)
  })
})
afterEach(async () => {
  await gateway.stop()
  await backend.close()
  rmSync(folder, { recursive: true, force: true })
})

const start = async (mesh: string, auth: string, rest = ''): Promise<void> => {
  gateway = await startGateway(`
mesh: { wait_for_proxy: 0, ${mesh} }
providers: { local: { type: openai_compatible, base_url: "${backend.url}", api_key: operators-key } }
models: { small: local/m, large: local/m }
usage: { records: { file: { path: "${join(folder, 'usage.jsonl')}" } } }
auth:
${auth}
${rest}`)
}
const SIDECAR = 'kind: istio, identity: { trust: loopback-sidecar }'
const OPS = '  peers: { map: [{ namespace: ops }] }'

/** Status of a chat request with these raw header lines. */
const ask = (lines: readonly string[], host = '127.0.0.1', body = BODY): Promise<number> =>
  new Promise((resolve, reject) => {
    const socket = connect(gateway.port, host)
    let text = ''
    socket.on('error', reject)
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.on('close', () => resolve(Number(text.slice(9, 12))))
    const head = ['host: x', 'connection: close', 'content-type: application/json', `content-length: ${body.length}`]
    socket.write(`POST /v1/chat/completions HTTP/1.1\r\n${[...head, ...lines].join('\r\n')}\r\n\r\n${body}`)
  })

const records = async (n: number): Promise<Record<string, unknown>[]> => {
  const read = (): string[] => {
    try {
      return readFileSync(join(folder, 'usage.jsonl'), 'utf8').split('\n').slice(0, -1)
    } catch {
      return []
    }
  }
  await until(() => read().length >= n)
  return read().map((line) => JSON.parse(line) as Record<string, unknown>)
}

const elsewhere = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address

describe('AC-ID-2', () => {
  test('over a plain socket that is no sidecar’s the caller is anonymous, and no backend sees the header', async () => {
    await start(
      'kind: istio, identity: { trust: cidr, cidrs: [192.0.2.0/24] }',
      '  anonymous: true\n  peers: { map: [{ namespace: ops, models: [large] }] }',
    )
    expect(await ask([xfcc(ADMIN), 'l5d-client-id: x', 'x-jwt-payload: e30', 'x-envoy-original-dst-host: h'])).toBe(200)
    const [record] = await records(1)
    expect(record).not.toHaveProperty('peer')
    expect(record).not.toHaveProperty('namespace')
    expect(JSON.stringify(seen)).not.toMatch(/client-cert|l5d|jwt-payload|x-envoy-|spiffe/)
  })

  test('the sidecar’s word counts: no key anywhere', async () => {
    await start(SIDECAR, OPS)
    expect(await ask([xfcc(ADMIN)])).toBe(200)
    expect(await ask([xfcc(WEB)])).toBe(401)
    expect(await ask([])).toBe(401)
    expect((await records(1))[0]).toMatchObject({ peer: ADMIN, namespace: 'ops', service_account: 'admin' })
    expect(JSON.stringify(seen)).not.toMatch(/client-cert|spiffe/)
  })

  test.each(['none', 'auto'])(
    'on loopback without a mesh (%s) everybody is as near as a sidecar: nobody',
    async (kind) => {
      const trust = kind === 'none' ? 'cidr, cidrs: [192.0.2.1]' : 'loopback-sidecar'
      await start(`kind: ${kind}, identity: { trust: ${trust} }`, OPS)
      expect(await ask([xfcc(ADMIN)])).toBe(401)
    },
  )

  test.skipIf(elsewhere === undefined)(
    'the pod’s own address is a sidecar’s too, as Linkerd’s proxy dials it',
    async () => {
      gateway = await startGateway(
        `
server: { log: { level: silent, access: false }, host: "0.0.0.0", insecure: true }
mesh: { kind: linkerd, wait_for_proxy: 0, identity: { trust: loopback-sidecar } }
providers: { local: { type: openai_compatible, base_url: "${backend.url}", api_key: operators-key } }
models: { small: local/m }
auth:
${OPS}
`,
      )
      expect(await ask(['l5d-client-id: admin.ops.serviceaccount.identity.cluster.local'], elsewhere)).toBe(200)
      expect(await ask([xfcc(ADMIN)], elsewhere)).toBe(401)
    },
  )
})

describe('which header', () => {
  const L5D = 'l5d-client-id: admin.ops.serviceaccount.identity.cluster.local'

  test('each mesh’s own; the other’s says nothing', async () => {
    await start(SIDECAR, OPS)
    expect(await ask([L5D])).toBe(401)
    expect(await ask([xfcc(ADMIN)])).toBe(200)
  })

  test('Linkerd’s', async () => {
    await start(SIDECAR.replace('istio', 'linkerd'), OPS)
    expect(await ask([L5D])).toBe(200)
    expect(await ask([xfcc(ADMIN)])).toBe(401)
    // Two lines: which of them did the proxy write?
    expect(await ask([L5D, L5D])).toBe(401)
  })

  test('a line of one’s own in front of the proxy’s is not believed', async () => {
    await start(SIDECAR, OPS)
    expect(await ask([xfcc(ADMIN), xfcc(WEB)])).toBe(401)
    expect(await ask([xfcc(WEB), xfcc(ADMIN)])).toBe(200)
    expect(await ask([xfcc(ADMIN).replace('x-f', 'X-F'), xfcc(WEB)])).toBe(401)
  })
})

describe('what others see', () => {
  test('conditions see neither identity headers nor what steers proxies', async () => {
    const names = [
      'x-forwarded-client-cert',
      'l5d-client-id',
      'x-jwt-payload',
      'x-gateway-destination-endpoint',
      'l5d-dst-override',
    ]
    const when = names.map((name) => `!("${name}" in headers)`).join(' && ')
    await start(SIDECAR, `  peers: { map: [{ namespace: ops, when: '${when} && headers["x-mine"] == "1"' }] }`)
    const lines = names.slice(1).map((name) => `${name}: x`)
    expect(await ask([xfcc(ADMIN), ...lines, 'x-mine: 1'])).toBe(200)
    expect(await ask([xfcc(ADMIN), ...lines])).toBe(403)
  })

  test('without `auth` they are hidden as well', async () => {
    gateway = await startGateway(`
providers: { local: { type: openai_compatible, base_url: "${backend.url}", api_key: operators-key } }
models: { small: local/m }
limits:
  forged: { per: [{ expression: 'headers["x-forwarded-client-cert"]' }], rules: [{ requests: 0, per: 1m }] }
  mine: { per: [{ expression: 'headers["x-mine"]' }], rules: [{ requests: 0, per: 1m }] }
`)
    expect(await ask([xfcc(ADMIN)])).toBe(200)
    expect(await ask([xfcc(ADMIN), 'x-mine: 1'])).toBe(429)
  })
})

describe('what can be asked by it', () => {
  test('conditions and limits by namespace and service account', async () => {
    await start(
      SIDECAR,
      '  peers: { map: [{ id: "spiffe://*", when: principal.peer.trust_domain == "cluster.local" && principal.peer.id != "" }] }',
      `limits:
  namespaces: { per: [namespace], rules: [{ requests: 2, per: 1h }] }
  accounts: { per: [service_account], rules: [{ requests: 1, per: 1h }] }`,
    )
    const of = (namespace: string, account: string): Promise<number> =>
      ask([xfcc(`spiffe://cluster.local/ns/${namespace}/sa/${account}`)])
    expect(await of('a', 'x')).toBe(200)
    expect(await of('a', 'x')).toBe(429)
    expect(await of('a', 'y')).toBe(200)
    expect(await of('a', 'z')).toBe(429)
    expect(await of('b', 'x')).toBe(200)
    expect(await ask([xfcc('spiffe://other/ns/a/sa/x')])).toBe(403)
  })

  test('a key besides, of the peer’s tenant', async () => {
    const key = 'sk-Vb7kQ2mZx9TfLr4WPn3c'
    await start(
      SIDECAR,
      `  keys: [{ id: ci, key: ${key}, tenant: batch }]
  peers: { map: [{ namespace: batch, also_key: true, tenant: batch, models: [small] }, { namespace: ops, also_key: true, tenant: ops }] }
tenants: { batch: , ops: }`,
    )
    const batch = xfcc('spiffe://cluster.local/ns/batch/sa/job')
    const header = `authorization: Bearer ${key}`
    expect(await ask([batch])).toBe(401)
    expect(await ask([batch, header])).toBe(200)
    expect(await ask([batch, header], '127.0.0.1', BODY.replace('small', 'large'))).toBe(403)
    expect(await ask([xfcc(ADMIN), header])).toBe(401)
    expect(await ask([header])).toBe(200)
    expect((await records(1))[0]).toMatchObject({ key_id: 'ci', tenant: 'batch', namespace: 'batch' })
  })

  test('claims of a token that the ingress has verified, of nobody else', async () => {
    await start(
      'kind: istio, identity: { trust: loopback-sidecar, payload_header: x-jwt-verified, claims_from: ["spiffe://*/ns/edge/sa/*"] }',
      `  peers:
    map: [{ namespace: apps }]
    claims: { name: sso, issuers: [https://idp.example], claims: { user: email, roles: groups } }
  roles: { dev: { models: [small] } }`,
    )
    const claims = { iss: 'https://idp.example', sub: 'ann', email: 'ann@example.com', groups: ['dev'] }
    const header = (some: object): string =>
      `x-jwt-verified: ${Buffer.from(JSON.stringify({ ...claims, ...some })).toString('base64url')}`
    const edge = xfcc('spiffe://cluster.local/ns/edge/sa/ingress')
    expect(await ask([edge, header({})])).toBe(200)
    expect(await ask([edge, header({ groups: [] })])).toBe(403)
    expect(await ask([edge, header({ iss: 'https://evil.example' })])).toBe(401)
    expect(await ask([edge, header({ exp: 1 })])).toBe(401)
    expect(await ask([edge, header({}), header({ sub: 'root' })])).toBe(401)
    // Another workload of the mesh is itself, whatever it claims.
    expect(await ask([xfcc(WEB), header({})])).toBe(200)
    expect(await ask([header({})])).toBe(401)
    const all = await records(2)
    expect(all.map((record) => record['key_id'])).toEqual(expect.arrayContaining(['sso:ann', `peer:${WEB}`]))
    expect(JSON.stringify(seen)).not.toContain('x-jwt-verified')
  })
})
