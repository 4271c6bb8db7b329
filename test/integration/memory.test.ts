// What an open stream may hold: its sockets and a little state, not its prompt.
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { startGateway } from '../support/gateway.ts'

const STREAMS = 60
const PROMPT_BYTES = 400_000

test('open streams let go of their prompts once they are sent', async () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const backend = createServer((req, res) => {
    req.resume()
    req.on('end', () => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write('data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n')
    })
  })
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve))
  const { port } = backend.address() as AddressInfo
  const gateway = await startGateway(
    `providers: { b: { type: openai_compatible, base_url: "http://127.0.0.1:${port}/v1" } }\nmodels: { m: b/other }\n`,
  )
  const body = Buffer.from(
    JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'x'.repeat(PROMPT_BYTES) }] }),
  )
  const opened: Promise<void>[] = []
  const requests: ReturnType<typeof request>[] = []
  for (let i = 0; i < STREAMS; i++) {
    opened.push(
      new Promise((resolve, reject) => {
        const r = request(
          `${gateway.url}/v1/chat/completions`,
          {
            method: 'POST',
            agent: false,
            headers: { 'content-type': 'application/json', 'content-length': body.length },
          },
          (res) => {
            res.once('data', () => resolve())
            res.on('error', () => {})
          },
        )
        r.on('error', reject)
        requests.push(r)
        r.end(body)
      }),
    )
  }
  await Promise.all(opened)
  // Collected twice: what the first round finalises the second one frees.
  gc()
  await new Promise((resolve) => setImmediate(resolve))
  gc()
  const held = process.memoryUsage().arrayBuffers
  for (const r of requests) {
    r.on('error', () => {})
    r.destroy()
  }
  await gateway.stop()
  backend.closeAllConnections()
  backend.close()
  // One body is this test's own; a tenth of the prompts leaves room for pools and half-read sockets.
  expect(held).toBeLessThan((STREAMS * PROMPT_BYTES) / 10 + 2 * PROMPT_BYTES)
}, 20_000)
