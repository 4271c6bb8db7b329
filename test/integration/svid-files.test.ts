// Certificates of files at the whole gateway with worker threads: each thread uses the new one without a restart.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'
import { hasOpenssl } from '../mesh/identity-certs.ts'
import { startMint } from '../mesh/svid-kit.ts'
import type { Authority, Issued, Mint } from '../mesh/svid-kit.ts'

const HEDDLE = 'spiffe://cluster.local/ns/llm/sa/heddle'

describe.skipIf(!hasOpenssl)('certificates of files', () => {
  let mint: Mint
  let mesh: Authority
  let chat: Issued
  let gateway: Gateway

  const put = ({ cert, key }: Pick<Issued, 'cert' | 'key'>): void => {
    writeFileSync(join(mint.folder, 'cert-chain.pem'), cert)
    writeFileSync(join(mint.folder, 'key.pem'), key)
  }
  /** Status of a request on a connection of its own, and the serial that it was shown. */
  const ask = (): Promise<{ readonly serial: string; readonly status: string }> =>
    new Promise((resolve, reject) => {
      const port = Number(new URL(gateway.tlsUrl!).port)
      const own = { cert: chat.cert, key: chat.key, ca: mesh.pem, checkServerIdentity: () => undefined }
      const socket = connect({ host: '127.0.0.1', port, ...own, ALPNProtocols: ['istio-http/1.1', 'istio'] })
      let text = ''
      socket.on('error', reject)
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
      socket.on('secureConnect', () => {
        const serial = socket.getPeerX509Certificate()!.serialNumber.toLowerCase()
        socket.on('close', () => resolve({ serial, status: text.slice(9, 12) }))
        socket.write('GET /v1/models HTTP/1.1\r\nhost: heddle\r\nconnection: close\r\n\r\n')
      })
    })

  beforeAll(async () => {
    mint = startMint()
    mesh = mint.authority('mesh')
    chat = mesh.issue(['spiffe://cluster.local/ns/apps/sa/chat'])
    put(mesh.issue([HEDDLE]))
    writeFileSync(join(mint.folder, 'root-cert.pem'), mesh.pem)
    const files = ['cert-chain', 'key', 'root-cert'].map((name) => join(mint.folder, `${name}.pem`))
    gateway = await startGateway(`server:
  log: { level: silent, access: false }
  workers: 2
  tls: { port: 0, svid: true, client_cert: required }
mesh: { kind: none, svid: { source: files, cert: "${files[0]}", key: "${files[1]}", bundle: "${files[2]}" } }
auth: { peers: { map: [{ namespace: apps, service_account: chat, tenant: a }] } }
tenants: { a: {} }
providers: { sim: {} }
`)
  })
  afterAll(async () => {
    await gateway?.stop()
    mint?.close()
  })

  test('new files are the certificate of all threads, and callers are who their SPIFFE id says', async () => {
    expect((await ask()).status).toBe('200')
    const next = mesh.issue([HEDDLE])
    put(next)
    let same = 0
    // Connections go to either thread.
    await until(async () => {
      const { serial, status } = await ask()
      expect(status).toBe('200')
      same = serial === next.serial ? same + 1 : 0
      return same === 12
    }, 8000)
  })
})
