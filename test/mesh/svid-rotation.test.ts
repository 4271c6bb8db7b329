// AC-ID-4: certificates of this workload change under load, as Istio's agent and the SPIFFE Workload API give them out.
import { X509Certificate } from 'node:crypto'
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import { Agent, createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { hasOpenssl } from './identity-certs.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'
import { sdsStub, startMint, workloadStub, type Authority, type Issued, type Mint } from './svid-kit.ts'

const HEDDLE = 'spiffe://cluster.local/ns/llm/sa/heddle'
const MODEL = 'spiffe://cluster.local/ns/models/sa/vllm'
const CHAT = 'spiffe://cluster.local/ns/apps/sa/chat'
const ROTATIONS = 20
/** TLS says so, or the connection is closed. */
const REFUSED = /socket|ECONNRESET|alert|closed|disconnected/

const closers = closedAfterEach()
let mint: Mint
let mesh: Authority
let stranger: Authority
let chat: Issued
let model: Issued
let names = 0
const socketPath = (): string => join(mint.folder, `s${++names}`)

beforeAll(() => {
  if (!hasOpenssl) return
  mint = startMint()
  mesh = mint.authority('mesh')
  stranger = mint.authority('stranger')
  chat = mesh.issue([CHAT])
  model = mesh.issue([MODEL])
})
afterAll(() => mint?.close())

interface Peer {
  readonly url: string
  /** Serials of the client certificates whose connections are open. */
  readonly open: () => readonly string[]
  /** Of the connection that was made last. */
  readonly last: () => string
  readonly ids: Set<string>
}

/** A model server that takes members of the mesh only; streams last for half a second. */
const startPeer = async (own: Issued, ca = mesh.pem): Promise<Peer> => {
  const sockets = new Map<TLSSocket, string>()
  const ids = new Set<string>()
  let last = ''
  const server = createServer(
    { cert: own.cert, key: own.key, ca, requestCert: true, rejectUnauthorized: true },
    (req, res) => {
      let body = ''
      req.on('data', (chunk: Buffer) => (body += chunk.toString()))
      req.on('end', () => {
        if (!body.includes('"stream":true')) {
          sendJson(res, 200, CHAT_ANSWER)
          return
        }
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        let n = 0
        const timer = setInterval(() => {
          const finish = ++n === 10 ? '"stop"' : 'null'
          res.write(
            `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"w"},"finish_reason":${finish}}]}\n\n`,
          )
          if (n < 10) return
          clearInterval(timer)
          res.end('data: [DONE]\n\n')
        }, 50)
      })
    },
  )
  server.on('secureConnection', (socket: TLSSocket) => {
    const certificate = socket.getPeerX509Certificate()!
    last = certificate.serialNumber.toLowerCase()
    ids.add(certificate.subjectAltName ?? '')
    sockets.set(socket, last)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return { url, open: () => [...sockets.values()], last: () => last, ids }
}

const start = async (svid: string, url: string, ids?: string): Promise<Gateway> => {
  const gateway = await startGateway(gatewayYaml(svid, url, ids))
  closers.push(() => gateway.stop())
  return gateway
}

const bodyOf = (stream: boolean): string =>
  JSON.stringify({ model: 'm', stream, messages: [{ role: 'user', content: 'hi' }] })

const tlsOptions = (client: Issued) => ({
  ca: [mesh.pem, stranger.pem],
  cert: client.cert,
  key: client.key,
  checkServerIdentity: () => undefined,
})

/** Resolves with `STATUS BODY`, rejects when the connection breaks. */
const post = (gateway: Gateway, stream: boolean, agent: Agent | false, client = chat): Promise<string> =>
  new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const options = { method: 'POST', agent, headers, ...tlsOptions(client) }
    const call = request(`${gateway.tlsUrl}/v1/chat/completions`, options, (res) => {
      let text = ''
      res.on('data', (chunk: Buffer) => (text += chunk.toString()))
      res.on('error', reject)
      res.on('end', () => resolve(`${res.statusCode} ${text}`))
    })
    call.on('error', reject)
    call.end(bodyOf(stream))
  })

const post2 = (session: ClientHttp2Session, stream: boolean): Promise<string> =>
  new Promise((resolve, reject) => {
    const call = session.request({
      ':method': 'POST',
      ':path': '/v1/chat/completions',
      'content-type': 'application/json',
    })
    let text = ''
    let status = 0
    call.on('response', (headers) => (status = headers[':status'] ?? 0))
    call.on('data', (chunk: Buffer) => (text += chunk.toString()))
    call.on('error', reject)
    call.on('end', () => resolve(`${status} ${text}`))
    call.end(bodyOf(stream))
  })

/** Serial that the gateway shows to a new connection; rejects when there is none. */
const serialOf = (gateway: Gateway): Promise<string> =>
  new Promise((resolve, reject) => {
    const port = Number(new URL(gateway.tlsUrl!).port)
    const socket = connect({ host: '127.0.0.1', port, ...tlsOptions(chat) })
    socket.on('error', reject)
    socket.on('secureConnect', () => {
      resolve(socket.getPeerX509Certificate()!.serialNumber.toLowerCase())
      socket.destroy()
    })
  })

/** Requests of all kinds that go on until the returned function is called; that resolves with what did not succeed. */
const load = (gateway: Gateway): (() => Promise<{ readonly failures: readonly string[]; readonly done: number }>) => {
  const failures: string[] = []
  const state = { running: true }
  let done = 0
  const kept = new Agent({ keepAlive: true, maxSockets: 4 })
  const session = connectHttp2(gateway.tlsUrl!, tlsOptions(chat))
  session.on('error', (error) => failures.push(`session: ${error.message}`))
  const loop = async (send: () => Promise<string>, whole: (text: string) => boolean): Promise<void> => {
    while (state.running) {
      const text = await send().catch((error: Error) => `broke: ${error.message}`)
      if (text.startsWith('200 ') && whole(text)) done++
      else failures.push(text.slice(0, 300))
    }
  }
  const json = (text: string): boolean => text.includes('"choices"')
  const sse = (text: string): boolean => text.trimEnd().endsWith('[DONE]')
  const loops = [
    loop(() => post(gateway, false, kept), json),
    loop(() => post(gateway, false, false), json),
    loop(() => post(gateway, true, kept), sse),
    loop(() => post(gateway, true, false), sse),
    loop(() => post2(session, false), json),
    loop(() => post2(session, true), sse),
  ]
  closers.push(() => {
    state.running = false
    session.destroy()
    kept.destroy()
  })
  return async () => {
    state.running = false
    await Promise.all(loops)
    session.close()
    kept.destroy()
    return { failures, done }
  }
}

describe.skipIf(!hasOpenssl)('AC-ID-4', () => {
  test('Istio’s agent: 20 rotations under load lose no request, and each is used at once as server and as client', async () => {
    const path = socketPath()
    const sds = sdsStub(path)
    sds.pair(mesh.issue([HEDDLE]))
    sds.bundle(mesh.pem)
    await sds.start()
    closers.push(() => sds.stop())
    const peer = await startPeer(model)
    const gateway = await start(`{ source: istio-sds, socket: "unix:${path}" }`, peer.url)
    expect(sds.asked.toSorted()).toEqual(['ROOTCA', 'default'])
    const stop = load(gateway)
    let serial = ''
    for (let i = 0; i < ROTATIONS; i++) {
      const next = mesh.issue([HEDDLE])
      serial = next.serial
      sds.pair(next)
      await until(async () => (await serialOf(gateway)) === serial)
      await until(() => peer.last() === serial)
    }
    const { failures, done } = await stop()
    expect(failures).toEqual([])
    expect(done).toBeGreaterThan(ROTATIONS)
    // What comes next passes by the old connections: they are closed, and only those with the last certificate stay.
    await until(async () => {
      await post(gateway, false, false)
      return peer.open().every((open) => open === serial)
    })
    expect([...peer.ids]).toEqual([`URI:${HEDDLE}`])
    expect(await gateway.metric('heddle_svid_rotations_total')).toBe(ROTATIONS)
    const { validToDate } = new X509Certificate(mesh.issue([HEDDLE]).cert)
    const expiry = await gateway.metric('heddle_svid_expiry_timestamp_seconds')
    expect(Math.abs(expiry - validToDate.getTime() / 1000)).toBeLessThan(600)
  })

  test('the agent dies and comes back; what it says that cannot be used changes nothing', async () => {
    const path = socketPath()
    const sds = sdsStub(path)
    const first = mesh.issue([HEDDLE])
    sds.pair(first)
    sds.bundle(mesh.pem)
    await sds.start()
    closers.push(() => sds.stop())
    const peer = await startPeer(model)
    const gateway = await start(`{ source: istio-sds, socket: "unix:${path}" }`, peer.url)
    const faults = (reason: string): Promise<number> => gateway.metric('heddle_svid_errors_total', { reason })
    const other = mesh.issue([HEDDLE])
    const bad: readonly (readonly [string, Pick<Issued, 'cert' | 'key'>])[] = [
      ['unreadable', { cert: 'garbage', key: 'garbage' }],
      ['unreadable', { cert: other.cert, key: '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n' }],
      ['mismatch', { cert: other.cert, key: first.key }],
      ['expired', mesh.issue([HEDDLE], -1)],
      ['identity', mesh.issue([HEDDLE, CHAT])],
    ]
    for (const [reason, pair] of bad) {
      const before = await faults(reason)
      const refusals = sds.refused.length
      sds.pair(pair)
      await until(async () => (await faults(reason)) > before && sds.refused.length > refusals)
      expect([reason, await serialOf(gateway)]).toEqual([reason, first.serial])
    }
    expect(sds.refused.join()).not.toContain('PRIVATE')
    const bundleFaults = await faults('unreadable')
    sds.bundle('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
    await until(async () => (await faults('unreadable')) > bundleFaults)
    expect(await post(gateway, false, false)).toMatch(/^200 /)

    sds.stop()
    await until(async () => (await faults('source')) > 0)
    expect(await post(gateway, false, false)).toMatch(/^200 /)
    const next = mesh.issue([HEDDLE])
    sds.pair(next)
    sds.bundle(mesh.pem)
    await sds.start()
    await until(async () => (await serialOf(gateway)) === next.serial)
    expect(await post(gateway, false, false)).toMatch(/^200 /)
  })

  test('SPIFFE Workload API: rotations, one of several ids, bundles of other trust domains', async () => {
    const path = socketPath()
    const api = workloadStub(path)
    const other = { id: 'spiffe://cluster.local/ns/llm/sa/other', issued: mesh.issue(['spiffe://cluster.local/x']) }
    const give = (issued: Issued): void =>
      api.give(
        [
          { ...other, bundle: mesh.pem },
          { id: HEDDLE, issued, bundle: mesh.pem },
        ],
        {
          'spiffe://partner.example': stranger.pem,
        },
      )
    give(mesh.issue([HEDDLE]))
    await api.start()
    closers.push(() => api.stop())
    const partner = stranger.issue(['spiffe://partner.example/ns/models/sa/vllm'])
    const peer = await startPeer(partner)
    const source = `{ source: spiffe, socket: "unix://${path}", spiffe_id: "${HEDDLE}" }`
    const gateway = await start(source, peer.url, 'spiffe://partner.example/*')
    const stop = load(gateway)
    for (let i = 0; i < 5; i++) {
      const next = mesh.issue([HEDDLE])
      give(next)
      await until(async () => (await serialOf(gateway)) === next.serial)
      await until(() => peer.last() === next.serial)
    }
    expect((await stop()).failures).toEqual([])
    expect(api.unmarked).toBe(0)

    // The authority of one trust domain cannot name members of another, although TLS alone would believe it.
    const impostor = await startPeer(stranger.issue([MODEL]))
    await gateway.reload(gatewayYaml(source, impostor.url, 'spiffe://cluster.local/*'))
    expect(await post(gateway, false, false)).not.toMatch(/^200 /)
    await expect(post(gateway, false, false, stranger.issue([CHAT]))).rejects.toThrow(REFUSED)
    expect(await post(gateway, false, false, chat)).toMatch(/^5/)
  })

  test('peers: strangers, two SPIFFE ids and none are refused, as clients and as backends', async () => {
    const path = socketPath()
    const sds = sdsStub(path)
    sds.pair(mesh.issue([HEDDLE]))
    sds.bundle(mesh.pem)
    await sds.start()
    closers.push(() => sds.stop())
    const good = await startPeer(model)
    const source = `{ source: istio-sds, socket: "unix:${path}" }`
    const gateway = await start(source, good.url)
    expect(await post(gateway, false, false)).toMatch(/^200 /)
    const bad = [
      stranger.issue([CHAT]),
      mesh.issue([CHAT, MODEL]),
      mesh.issue([]),
      mesh.issue(['spiffe://elsewhere.example/ns/apps/sa/chat']),
    ]
    for (const client of bad) await expect(post(gateway, false, false, client)).rejects.toThrow(REFUSED)
    const servers = [
      stranger.issue([MODEL]),
      mesh.issue([MODEL, CHAT]),
      mesh.issue(['spiffe://cluster.local/ns/other/sa/vllm']),
      mesh.issue([]),
    ]
    for (const own of servers) {
      const peer = await startPeer(own)
      expect(await gateway.reload(gatewayYaml(source, peer.url))).toBe(true)
      expect(await post(gateway, false, false)).toMatch(/^5/)
    }
    expect(await gateway.reload(gatewayYaml(source, good.url))).toBe(true)
    expect(await post(gateway, false, false)).toMatch(/^200 /)
    const shown = JSON.stringify(await gateway.state()) + (await gateway.metrics())
    expect(shown).not.toContain('PRIVATE KEY')
  })

  test('without its first certificate the process is not ready, and turns requests away', async () => {
    const path = socketPath()
    const peer = await startPeer(model)
    const gateway = await start(`{ source: istio-sds, socket: "unix:${path}" }`, peer.url)
    const ready = async (): Promise<number> => (await fetch(`${gateway.adminUrl}/readyz`)).status
    expect(await ready()).toBe(503)
    expect(JSON.stringify(await gateway.state())).toContain('no valid certificate of this workload')
    const sds = sdsStub(path)
    sds.pair(mesh.issue([HEDDLE]))
    sds.bundle(mesh.pem)
    await sds.start()
    closers.push(() => sds.stop())
    await until(async () => (await ready()) === 200)
    expect(await post(gateway, false, false)).toMatch(/^200 /)
  })

  test.skipIf(envoy === null)('real Envoys on both sides, as sidecars are, live through rotations', async () => {
    const path = socketPath()
    const sds = sdsStub(path)
    sds.pair(mesh.issue([HEDDLE]))
    sds.bundle(mesh.pem)
    await sds.start()
    closers.push(() => sds.stop())
    let xfcc = ''
    const backend = await startBackend((res, _n, req) => {
      xfcc = String(req.headers['x-forwarded-client-cert'])
      sendJson(res, 200, CHAT_ANSWER)
    })
    closers.push(() => backend.close())
    const behind = await startEnvoy([
      {
        name: 'behind',
        to: [Number(new URL(backend.url).port)],
        direction: 'inbound',
        xfcc: 'SANITIZE_SET',
        tls: { cert: model.cert, key: model.key, ca: mesh.pem },
        manager: { set_current_client_cert_details: { cert: true, uri: true } },
      },
    ])
    closers.push(() => behind.stop())
    const url = behind.url('behind').replace('http:', 'https:')
    const gateway = await start(`{ source: istio-sds, socket: "unix:${path}" }`, `${url}/v1`)
    const upstreamTls = { sni: 'heddle.llm', ca: mesh.pem, cert: chat.cert, key: chat.key }
    const to = [Number(new URL(gateway.tlsUrl!).port)]
    const front = await startEnvoy([
      { name: 'one', to, direction: 'outbound', upstreamTls },
      { name: 'two', to, direction: 'outbound', upstreamTls, upstreamHttp2: true },
    ])
    closers.push(() => front.stop())
    const send = async (name: string): Promise<number> => {
      const headers = { 'content-type': 'application/json' }
      const options = { method: 'POST', headers, body: bodyOf(false) }
      return (await fetch(`${front.url(name)}/v1/chat/completions`, options)).status
    }
    const seen = (): string => {
      const pem = decodeURIComponent(/Cert="([^"]+)"/.exec(xfcc)?.[1] ?? '')
      return pem === '' ? '' : new X509Certificate(pem).serialNumber.toLowerCase()
    }
    const failed: number[] = []
    for (let i = 0; i < 5; i++) {
      const next = mesh.issue([HEDDLE])
      sds.pair(next)
      await until(async () => {
        for (const name of ['one', 'two']) {
          const status = await send(name)
          if (status !== 200) failed.push(status)
        }
        return seen() === next.serial
      })
      expect(xfcc).toContain(`URI=${HEDDLE}`)
    }
    expect(failed).toEqual([])
    expect(await behind.stat('listener.127.0.0.1_0.ssl.fail_verify_error')).toBe(0)
  })
})

function gatewayYaml(svid: string, url: string, ids = 'spiffe://cluster.local/ns/models/sa/*'): string {
  return `server: { log: { level: silent, access: false }, tls: { port: 0, svid: true, client_cert: required } }
mesh: { kind: none, wait_for_proxy: 20s, svid: ${svid} }
auth: { peers: { map: [{ id: "${CHAT}", tenant: a }] }, anonymous: true }
tenants: { a: {} }
providers: { model: { type: openai_compatible, base_url: "${url}", api_key: k, tls: { svid: true, spiffe_ids: ["${ids}"] } } }
models: { m: model/x }
defaults: { retries: { max_attempts: 1, per_target: 1 } }
`
}
