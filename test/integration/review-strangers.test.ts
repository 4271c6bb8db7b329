// What those who are nobody can do to others.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

let gateway: Gateway | null = null
let folder = ''
afterEach(async () => {
  await gateway?.stop()
  gateway = null
  if (folder !== '') rmSync(folder, { recursive: true, force: true })
})

const KEY = 'sk-Vb7kQ2mZx9TfLr4WPn3c'
const chat = async (key: string): Promise<number> => {
  const answer = await fetch(`${gateway!.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'hi' }] }),
  })
  await answer.text()
  return answer.status
}

test('a stranger fills no usage records', async () => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-review-'))
  const file = join(folder, 'usage.jsonl')
  gateway = await startGateway(`
providers: { sim: }
models: { small: sim/sim-small }
auth: { keys: [{ id: ci, key: ${KEY}, models: [small] }] }
usage: { records: { file: { path: ${file} } } }
`)
  for (let i = 0; i < 20; i++) expect(await chat(`guess-${i}-guess`)).toBe(401)
  expect(await chat(KEY)).toBe(200)
  await until(() => readFileSync(file, 'utf8').includes('"ci"'))
  expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(1)
  expect(await gateway.metric('heddle_requests_total', { outcome: 'unauthenticated' })).toBe(20)
})

/** Status of a request with these raw header lines. */
const raw = (lines: readonly string[]): Promise<number> =>
  new Promise((resolve, reject) => {
    const socket = connect(gateway!.port, '127.0.0.1')
    let text = ''
    socket.on('error', reject)
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.on('close', () => resolve(Number(text.slice(9, 12))))
    socket.write(`GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${lines.join('\r\n')}\r\n\r\n`)
  })

const ADMIN = 'spiffe://cluster.local/ns/ops/sa/admin'
const NOBODY = 'spiffe://cluster.local/ns/apps/sa/web'

test.each([
  ['x-forwarded-client-cert', `URI=${ADMIN}`, `URI=${NOBODY}`],
  [
    'l5d-client-id',
    'admin.ops.serviceaccount.identity.cluster.local',
    'web.apps.serviceaccount.identity.cluster.local',
  ],
  ['x-caller', ADMIN, NOBODY],
])('a line of %s in front of the proxy’s own is not believed', async (header, admin, nobody) => {
  gateway = await startGateway(`
providers: { sim: }
auth:
  peers: { header: ${header}, trust: [127.0.0.1], map: [{ id: "${header.startsWith('l5d') ? admin : ADMIN}" }] }
`)
  expect(await raw([`${header}: ${admin}`])).toBe(200)
  expect(await raw([`${header}: ${nobody}`])).toBe(401)
  expect(await raw([`${header}: ${admin}`, `${header}: ${nobody}`])).toBe(401)
})

const elsewhere = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address

test.skipIf(elsewhere === undefined)('from other machines nobody sees callers without the token', async () => {
  gateway = await startGateway(`
server: { admin_host: "0.0.0.0", insecure: true, log: { level: silent, access: false } }
providers: { sim: }
auth: { keys: [{ id: ci, key: ${KEY} }] }
limits: { each: { per: [key], rules: [{ requests: 10, per: 1m }] } }
`)
  expect(await chat(KEY)).toBe(404)
  for (const [path, status] of [
    ['/admin/limits', 403],
    ['/admin/keys/revoked', 403],
    ['/admin/state', 200],
    ['/livez', 200],
  ] as const)
    expect([path, (await fetch(`${gateway.adminUrl}${path}`)).status]).toEqual([path, status])
})
