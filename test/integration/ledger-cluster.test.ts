import { expect, test } from 'vitest'
import { redisServer, TestRedis } from '../support/redis.ts'
import { admitted, atOnce, attempt, instanceOf, limitOf, principalOf, queryOf, redisConfig } from './ledger-kit.ts'
import { sliding, until, used, yearly } from './ledger-kit.ts'

const startCluster = async (): Promise<readonly TestRedis[]> => {
  const options = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf']
  const nodes = await Promise.all([1, 2, 3].map(() => TestRedis.start(...options)))
  const bounds = [0, 5461, 10_923, 16_384]
  for (const [i, node] of nodes.entries()) {
    await node.ask('CLUSTER', 'ADDSLOTSRANGE', String(bounds[i]), String(bounds[i + 1]! - 1))
    await node.ask('CONFIG', 'SET', 'cluster-node-timeout', '500')
    if (i > 0) await node.ask('CLUSTER', 'MEET', '127.0.0.1', String(nodes[0]!.port))
  }
  const whole = async (node: TestRedis): Promise<boolean> => {
    const text = await node.ask('CLUSTER', 'INFO')
    return text.includes('cluster_state:ok') && text.includes('cluster_known_nodes:3')
  }
  await until(async () => (await Promise.all(nodes.map(whole))).every(Boolean))
  return nodes
}

test.skipIf(redisServer === null)(
  'a cluster of three: exact for each scope, nothing left taken when one of them refuses',
  { timeout: 40_000 },
  async () => {
    const nodes = await startCluster()
    const config = redisConfig(
      nodes.map(({ url }) => url),
      { cluster: true, deadlineMs: 1000 },
    )
    const limits = [
      limitOf([sliding('requests', 1000, 60_000), yearly('tokens', 10_000), atOnce(500)]),
      limitOf([sliding('requests', 60, 60_000), atOnce(100)], { name: 'all', per: [] }),
      limitOf([yearly('tokens', 25)], { name: 'per_model', per: [{ kind: 'model' }], when: 'model == "none"' }),
    ]
    const instances = [1, 2].map(() => instanceOf(config, limits))
    try {
      await until(() => instances.every(({ ledger }) => ledger.up))
      const principals = Array.from({ length: 10 }, (_, i) => principalOf(`k${i}`, { tenant: `t${i}` }))
      const results = await Promise.all(
        Array.from({ length: 200 }, (_, i) => attempt(instances[i % 2]!.limiter, queryOf(1, 0, principals[i % 10]))),
      )
      expect(admitted(results)).toHaveLength(60)
      expect(results.filter((result) => result === 'rate_limited')).toHaveLength(140)
      for (const lease of admitted(results)) lease.settle(used(1))
      await until(() => instances.every(({ ledger }) => ledger.pending === 0))
      // What the refused took of their own tenant's counters has been given back.
      const counted = await Promise.all(
        nodes.map((node) =>
          node.ask(
            'EVAL',
            "local n = 0 for _, k in ipairs(redis.call('KEYS', '*:a:*')) do n = n + redis.call('HGET', k, 'R') + redis.call('HGET', k, 'S') end return n",
            '0',
          ),
        ),
      )
      expect(counted.reduce((sum, text) => sum + Number(text.trim().slice(1)), 0)).toBe(60)
    } finally {
      for (const { ledger } of instances) await ledger.close()
      for (const node of nodes) await node.stop()
    }
  },
)
