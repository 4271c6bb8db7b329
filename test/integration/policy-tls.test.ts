// The policy port behind TLS: certificates decide who may ask, and what was said in plain is said here as well.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { credentials, makeGenericClientConstructor, type ServiceError } from '@grpc/grpc-js'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { CheckRequestSchema, CheckResponseSchema } from '../../src/protocol/grpc/gen/authz_pb.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

const found = spawnSync('openssl', ['version']).status === 0
if (!found) process.stderr.write('SKIPPED: TLS tests need the openssl program to make certificates\n')

const CHECK = '/envoy.service.auth.v3.Authorization/Check'
const same = (bytes: Buffer): Buffer => bytes
const Client = makeGenericClientConstructor({}, 'raw')

let folder = ''
let gateway: Gateway
const file = (name: string): string => join(folder, name)
const pem = (name: string): Buffer => readFileSync(file(name))
const indent = (name: string): string => pem(name).toString().trim().replaceAll('\n', '\n      ')

function certificate(name: string, ca: string): void {
  const openssl = (...args: readonly string[]): void =>
    void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`]
  if (ca === '') {
    openssl('req', '-x509', ...key, '-out', `${name}.pem`, '-days', '2', '-subj', `/CN=${name}`)
    return
  }
  writeFileSync(file(`${name}.ext`), 'subjectAltName=DNS:localhost\n')
  openssl('req', ...key, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
  const signer = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-days', '2']
  openssl('x509', '-req', '-in', `${name}.csr`, ...signer, '-extfile', `${name}.ext`, '-out', `${name}.pem`)
}

/** One check with a body of so many bytes. */
function check(size: number, own: string | null): Promise<{ bytes: Buffer | null; error: ServiceError | null }> {
  const pair = own === null ? [] : [pem(`${own}.key`), pem(`${own}.pem`)]
  const client = new Client(`localhost:${gateway.ports.policy}`, credentials.createSsl(pem('ca.pem'), ...pair), {
    'grpc.use_local_subchannel_pool': 1,
  })
  const body = JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'x'.repeat(size) }] })
  const headers = { 'content-type': 'application/json' }
  const http = { method: 'POST', path: '/v1/chat/completions', headers, rawBody: Buffer.from(body) }
  const asked = toBinary(CheckRequestSchema, create(CheckRequestSchema, { attributes: { request: { http } } }))
  return new Promise((resolve) => {
    client.makeUnaryRequest(CHECK, same, same, Buffer.from(asked), { deadline: Date.now() + 5000 }, (error, bytes) => {
      client.close()
      resolve({ bytes: bytes ?? null, error })
    })
  })
}

describe.skipIf(!found)('TLS on the policy port', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-policy-tls-'))
    for (const ca of ['ca', 'stranger-ca']) certificate(ca, '')
    certificate('server', 'ca')
    certificate('proxy', 'ca')
    certificate('stranger', 'stranger-ca')
    gateway = await startGateway(`
server:
  log: { level: silent, access: false }
  policy: { port: 0, tls: true }
  tls:
    port: 0
    cert: |
      ${indent('server.pem')}
    key: |
      ${indent('server.key')}
    client_ca: |
      ${indent('ca.pem')}
    client_cert: required
mesh: { kind: none }
providers: { alpha: { type: openai_compatible, base_url: "http://127.0.0.1:9/v1", api_key: sk-1 } }
models: { small: alpha/real }
`)
  })
  afterAll(async () => {
    await gateway.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test('whose certificate is known asks, also with a megabyte', async () => {
    for (const size of [10, 1_000_000]) {
      const { bytes, error } = await check(size, 'proxy')
      expect(error).toBeNull()
      expect(fromBinary(CheckResponseSchema, bytes!).httpResponse.case).toBe('okResponse')
    }
  })

  test('nobody else does', async () => {
    for (const own of [null, 'stranger']) expect((await check(10, own)).error?.code).toBe(14)
  })

  test('who speaks something else is shown out', async () => {
    const socket = connect({
      port: gateway.ports.policy,
      host: 'localhost',
      ca: pem('ca.pem'),
      key: pem('proxy.key'),
      cert: pem('proxy.pem'),
      ALPNProtocols: ['http/1.1'],
    })
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await new Promise<void>((resolve) => void socket.resume().on('close', () => resolve()))
    expect((await check(10, 'proxy')).error).toBeNull()
  })
})
