// The scraper against members that do not behave: it never has more than one connection to each, and none for long.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { member, TestCluster } from '../../src/routing/balance/balance-fixture.ts'
import { createScraper } from '../../src/routing/balance/scraper.ts'
import { until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'

const open = closedAfterEach()

const scraped = async (answer: (res: ServerResponse) => void) => {
  let asked = 0
  let connections = 0
  let most = 0
  const server = createServer((_req, res) => {
    asked++
    answer(res)
  })
  server.on('connection', (socket) => {
    most = Math.max(most, ++connections)
    socket.on('error', () => {})
    socket.on('close', () => connections--)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(() => (server.closeAllConnections(), server.close()))
  const { port } = server.address() as AddressInfo
  const cluster = new TestCluster([member(0, { host: '127.0.0.1', port, address: `127.0.0.1:${port}` })])
  const lines: string[] = []
  const scraper = createScraper({
    set: cluster.set,
    config: { path: '/metrics', port: null, intervalMs: 100, engine: 'auto' },
    memory: cluster.memory,
    workers: 1,
    cluster: 'p',
    log: (_level, fields) => void lines.push(JSON.stringify(fields)),
  })
  open.push(() => scraper.close())
  return { cluster, lines, facts: () => ({ asked, connections, most }) }
}

test('refusals whose bodies never end are not read, and it asks again', async () => {
  const { facts, lines, cluster } = await scraped((res) => {
    res.writeHead(503).write('x'.repeat(1000))
  })
  await until(() => facts().asked >= 4)
  expect(facts().most).toBeLessThanOrEqual(2)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('status 503')
  expect(cluster.state.queue(0)).toBe(-1)
})

test('metrics that never end and redirects are passed by; good ones count', async () => {
  const answers: ((res: ServerResponse) => void)[] = [
    (res) => void res.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
    (res) => void res.write('vllm:num_requests_waiting 3\n'),
    (res) => void res.end('vllm:num_requests_waiting NaN\nvllm:kv_cache_usage_perc +Inf\n'),
    (res) => void res.end('vllm:num_requests_waiting 7\n'),
  ]
  let turn = 0
  const { facts, cluster } = await scraped((res) => answers[Math.min(turn++, answers.length - 1)]!(res))
  await until(() => cluster.state.queue(0) === 7)
  expect(cluster.state.kv(0)).toBe(-1)
  expect(facts().most).toBeLessThanOrEqual(2)
})
