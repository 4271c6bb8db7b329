// The API with TLS: client certificates as identities, new certificates without a restart.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

const found = spawnSync('openssl', ['version']).status === 0
if (!found) process.stderr.write('SKIPPED: TLS tests need the openssl program to make certificates\n')

const SPIFFE = 'spiffe://cluster.local/ns/apps/sa/chat'
let folder = ''
const file = (name: string): string => join(folder, name)
const pem = (name: string): string => readFileSync(file(name), 'utf8')

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })

/** A key and a certificate `name.key`, `name.pem`, signed by `ca`, or by itself. */
const certificate = (name: string, { san = '', ca = '' }): void => {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`]
  if (ca === '') {
    openssl('req', '-x509', ...key, '-out', `${name}.pem`, '-days', '2', '-subj', `/CN=${name}`)
    return
  }
  writeFileSync(file(`${name}.ext`), `subjectAltName=${san}\n`)
  openssl('req', ...key, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
  const signer = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-days', '2']
  openssl('x509', '-req', '-in', `${name}.csr`, ...signer, '-extfile', `${name}.ext`, '-out', `${name}.pem`)
}

const indent = (text: string): string => text.trim().replaceAll('\n', '\n      ')

const config = (server: string): string => `
server:
  log: { level: silent, access: false }
  tls:
    port: 0
    cert: |
      ${indent(pem(`${server}.pem`))}
    key: |
      ${indent(pem(`${server}.key`))}
    client_ca: |
      ${indent(pem('ca.pem'))}
    client_cert: optional
providers: { sim: }
models: { small: sim/sim-small, large: sim/sim-large }
tenants: { apps: {} }
auth:
  peers:
    map: [{ id: 'spiffe://cluster.local/ns/apps/*', tenant: apps, models: [small] }]
`

interface Answer {
  readonly status: number
  readonly body: string
}

describe.skipIf(!found)('TLS', () => {
  let gateway: Gateway
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-tls-'))
    certificate('ca', {})
    certificate('stranger-ca', {})
    certificate('server', { ca: 'ca', san: 'DNS:localhost' })
    certificate('server2', { ca: 'ca', san: 'DNS:localhost' })
    certificate('chat', { ca: 'ca', san: `URI:${SPIFFE}` })
    certificate('other', { ca: 'ca', san: 'URI:spiffe://cluster.local/ns/elsewhere/sa/x' })
    certificate('forged', { ca: 'stranger-ca', san: `URI:${SPIFFE}` })
  })
  afterEach(async () => gateway.stop())
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const ask = (client: string | null, model = 'small'): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const call = request(
        `${gateway.tlsUrl}/v1/chat/completions`.replace('127.0.0.1', 'localhost'),
        {
          method: 'POST',
          agent: false,
          ca: pem('ca.pem'),
          headers: { 'content-type': 'application/json' },
          ...(client === null ? {} : { cert: pem(`${client}.pem`), key: pem(`${client}.key`) }),
        },
        (response) => {
          let body = ''
          response.on('data', (chunk) => (body += chunk))
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
        },
      )
      call.on('error', reject)
      call.end(JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }] }))
    })

  test('a verified certificate is an identity; one of a stranger’s authority is none', async () => {
    gateway = await startGateway(config('server'))
    expect((await ask('chat')).status).toBe(200)
    expect((await ask('chat', 'large')).status).toBe(403)
    expect((await ask('other')).status).toBe(401)
    expect((await ask('forged')).status).toBe(401)
    expect((await ask(null)).status).toBe(401)
    // Without TLS there is nobody to vouch for anyone.
    const plain = await fetch(`${gateway.url}/v1/models`, { headers: { 'x-forwarded-client-cert': `URI=${SPIFFE}` } })
    expect(plain.status).toBe(401)
  })

  test('HTTP/2 by ALPN, with the same identity', async () => {
    gateway = await startGateway(config('server'))
    const session = connectHttp2(gateway.tlsUrl!.replace('127.0.0.1', 'localhost'), {
      ca: pem('ca.pem'),
      cert: pem('chat.pem'),
      key: pem('chat.key'),
    })
    const status = await new Promise((resolve, reject) => {
      session.on('error', reject)
      const stream = session.request({ ':path': '/v1/models' })
      stream.on('response', (headers) => resolve(headers[':status']))
      stream.on('error', reject)
      stream.resume()
    })
    session.close()
    expect(status).toBe(200)
  })

  /** One request on a connection of its own. session: of an earlier one, to be resumed. */
  const resume = (client: string | null, version: 'TLSv1.2' | 'TLSv1.3', session?: Buffer) =>
    new Promise<{ readonly status: string; readonly resumed: boolean; readonly session: Buffer }>((resolve, reject) => {
      let kept = session
      let text = ''
      const socket = connect({
        host: 'localhost',
        port: Number(new URL(gateway.tlsUrl!).port),
        ca: pem('ca.pem'),
        minVersion: version,
        maxVersion: version,
        ...(session === undefined ? {} : { session }),
        ...(client === null ? {} : { cert: pem(`${client}.pem`), key: pem(`${client}.key`) }),
      })
      socket.on('session', (next) => (kept = next))
      socket.on('error', reject)
      socket.on('data', (chunk) => (text += chunk.toString()))
      socket.on('secureConnect', () => {
        const resumed = socket.isSessionReused()
        socket.on('close', () => resolve({ status: text.slice(9, 12), resumed, session: kept! }))
        socket.write('GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
      })
    })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    '%s: a resumed session is the same caller as the first',
    async (version) => {
      gateway = await startGateway(config('server'))
      for (const [client, status] of [
        ['chat', '200'],
        ['other', '401'],
        ['forged', '401'],
        [null, '401'],
      ] as const) {
        const first = await resume(client, version)
        expect([client, first.status, first.resumed]).toEqual([client, status, false])
        const second = await resume(client, version, first.session)
        expect([client, second.status, second.resumed]).toEqual([client, status, true])
      }
      // With other authorities than at its beginning no session goes on.
      const { session } = await resume('chat', version)
      const others = config('server').replace(indent(pem('ca.pem')), indent(pem('stranger-ca.pem')))
      expect(await gateway.reload(others)).toBe(true)
      const late = await resume('chat', version, session)
      expect([late.status, late.resumed]).toEqual(['401', false])
    },
  )

  test('a new certificate is used for new connections, without a restart', async () => {
    gateway = await startGateway(config('server'))
    const serial = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: 'localhost', port: Number(new URL(gateway.tlsUrl!).port), ca: pem('ca.pem') })
        socket.on('error', reject)
        socket.on('secureConnect', () => {
          resolve(socket.getPeerCertificate().serialNumber)
          socket.destroy()
        })
      })
    const before = await serial()
    expect(await gateway.reload(config('server2'))).toBe(true)
    expect(await serial()).not.toBe(before)
    // A key that does not fit is refused, and the old one serves on.
    expect(await gateway.reload(config('server2').replace(indent(pem('server2.key')), indent(pem('server.key'))))).toBe(
      false,
    )
    expect((await ask('chat')).status).toBe(200)
  })
})
