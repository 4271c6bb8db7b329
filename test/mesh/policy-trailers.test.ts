// Trailers of requests pass through external processing, and end what they end.
import { connect } from 'node:http2'
import { describe, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { closedAfterEach } from '../support/closing.ts'
import { envoy } from './kit/binary.ts'
import { extProc } from './kit/policy.ts'
import { KEY, policyMesh } from './policy-kit.ts'

const closing = closedAfterEach()

describe.skipIf(envoy === null)('a request with trailers', () => {
  test.each([false, true])('is answered; refused: %s', async (refused) => {
    const backend = await startBackend((res) => sendJson(res, 200, CHAT_ANSWER))
    closing.push(() => backend.close())
    const mesh = await policyMesh(closing, { filters: () => [extProc('policy')], backend: backend.url })
    const session = connect(mesh.url)
    closing.push(() => session.destroy())
    const stream = session.request(
      { ':method': 'POST', ':path': '/v1/chat/completions', authorization: refused ? 'Bearer x' : `Bearer ${KEY}` },
      { waitForTrailers: true },
    )
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1' }))
    const body = JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'x'.repeat(100_000) }] })
    stream.write(body.slice(0, 50_000))
    stream.end(body.slice(50_000))
    const status = await new Promise<number>((resolve, reject) => {
      stream.on('response', (headers) => resolve(headers[':status'] ?? 0))
      stream.on('error', reject)
    })
    stream.resume()
    expect(status).toBe(refused ? 401 : 200)
    expect(backend.bodies.length).toBe(refused ? 0 : 1)
    expect(await mesh.envoy.stat('http.ingress.ext_proc.spurious_msgs_received')).toBe(0)
    expect(await mesh.envoy.stat('http.ingress.ext_proc.streams_failed')).toBe(0)
  })
})
