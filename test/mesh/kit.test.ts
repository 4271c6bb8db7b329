// What the design rests on, asked of the real proxy: when a new Envoy answers otherwise, it is this file that says so.
import { afterAll, describe, expect, test } from 'vitest'
import { call } from '../support/client.ts'
import { startBackend } from '../support/backend.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'

describe.skipIf(envoy === null)('Envoy, as the design takes it to be', () => {
  const closers: (() => Promise<unknown>)[] = []
  afterAll(() => Promise.all(closers.map((close) => close())))

  test('a 503 is tried three times, one with x-envoy-ratelimited once; x-should-retry changes nothing', async () => {
    const backend = await startBackend((res, _n, req) => {
      res.writeHead(503, { [String(req.headers['x-answer'])]: 'true' })
      res.end()
    })
    closers.push(() => backend.close())
    const port = Number(new URL(backend.url).port)
    const proxy = await startEnvoy([
      { name: 'in', to: [port], direction: 'inbound', retry: { on: '5xx', attempts: 2 } },
    ])
    closers.push(() => proxy.stop())
    const attempts = async (header: string): Promise<number> => {
      const before = backend.times.length
      await call(`${proxy.url('in')}/x`, { headers: { 'x-answer': header } })
      return backend.times.length - before
    }
    expect(await attempts('x-nothing')).toBe(3)
    expect(await attempts('x-envoy-ratelimited')).toBe(1)
    expect(await attempts('x-should-retry')).toBe(3)
    expect(await attempts('x-envoy-overloaded')).toBe(3)
  })

  test('a workload’s own x-envoy-* request headers are thrown away by its sidecar', async () => {
    const seen: Record<string, unknown>[] = []
    const backend = await startBackend((res, _n, req) => {
      seen.push(req.headers)
      res.end()
    })
    closers.push(() => backend.close())
    const proxy = await startEnvoy([
      {
        name: 'out',
        to: [Number(new URL(backend.url).port)],
        direction: 'outbound',
        retry: { on: '5xx', attempts: 2 },
      },
    ])
    closers.push(() => proxy.stop())
    const reply = await call(`${proxy.url('out')}/x`, {
      headers: { 'x-envoy-max-retries': '0', 'x-envoy-upstream-rq-timeout-ms': '5' },
    })
    expect(reply.headers['x-envoy-upstream-service-time']).toMatch(/^\d+$/)
    expect(seen[0]).not.toHaveProperty('x-envoy-max-retries')
    expect(seen[0]).toHaveProperty('x-envoy-attempt-count', '1')
    expect(String(seen[0]?.['x-request-id'])).toMatch(/^[\da-f-]{36}$/)
  })
})
