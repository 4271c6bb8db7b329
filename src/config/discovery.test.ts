import { expect, test } from 'vitest'
import type { DiscoveryConfig } from '../contracts/config-cluster.ts'
import { maskedConfig } from './dump.ts'
import { loadConfigText } from './load.ts'
import { ConfigError } from './problem.ts'

const SECRET = 'S3CRET-value'
const yaml = (discovery: string): string =>
  `providers:\n  p: { type: openai_compatible, base_url: "http://h/v1", discovery: ${discovery} }\n`
const load = (discovery: string, env: Record<string, string> = {}) =>
  loadConfigText(yaml(discovery), { presets: [], env }).config
const discoveryOf = (discovery: string, env: Record<string, string> = {}): DiscoveryConfig =>
  load(discovery, env).providers[0]!.discovery!
const problems = (discovery: string, env: Record<string, string> = {}): string[] => {
  try {
    load(discovery, env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((p) => `${p.path}: ${p.message}`)
    throw error
  }
  return []
}

test('the short forms of all sources, with their defaults', () => {
  expect(
    discoveryOf('{ type: static, endpoints: ["10.0.0.1:8000", { address: "[fd00::1]:8000", weight: 2, zone: a }] }'),
  ).toEqual({
    type: 'static',
    endpoints: [
      { address: '10.0.0.1:8000', weight: 1, zone: '' },
      { address: '[fd00::1]:8000', weight: 2, zone: 'a' },
    ],
    onEmpty: 'keep',
  })
  expect(discoveryOf('{ type: dns, name: vllm.llm.svc, port: 8000, on_empty: drop }')).toEqual({
    type: 'dns',
    name: 'vllm.llm.svc',
    port: 8000,
    servers: [],
    minTtlMs: 1000,
    maxTtlMs: 30_000,
    onEmpty: 'drop',
  })
  expect(discoveryOf('{ type: dns_srv, name: _http._tcp.vllm.llm, servers: ["10.0.0.53:53"] }')).toMatchObject({
    type: 'dns_srv',
    servers: ['10.0.0.53:53'],
  })
  expect(discoveryOf('{ type: endpoint_slice, service: llm/vllm, port: 8000 }')).toMatchObject({
    namespace: 'llm',
    service: 'vllm',
    port: '8000',
    api: null,
    kubeconfig: null,
  })
  expect(discoveryOf('{ type: inference_pool, pool: llama }', { POD_NAMESPACE: 'models' })).toMatchObject({
    namespace: 'models',
    name: 'llama',
  })
  expect(discoveryOf('{ type: consul, url: "http://consul:8500/", service: vllm, tag: gpu }')).toMatchObject({
    url: 'http://consul:8500',
    service: 'vllm',
    tag: 'gpu',
    waitMs: 55_000,
    passingOnly: true,
  })
  expect(discoveryOf('{ type: etcd, urls: ["http://etcd:2379"], prefix: /models/ }')).toMatchObject({
    urls: ['http://etcd:2379'],
    prefix: '/models/',
    username: null,
  })
  expect(discoveryOf('{ type: xds, server: "istiod:15010", cluster: "outbound|80||x" }')).toMatchObject({
    nodeId: 'heddle',
    tls: false,
  })
  const pod = { POD_NAME: 'h-1', POD_NAMESPACE: 'llm', POD_IP: '10.1.1.1' }
  expect(discoveryOf('{ type: xds, server: "istiod:15010", cluster: c }', pod)).toMatchObject({
    nodeId: 'sidecar~10.1.1.1~h-1.llm~llm.svc.cluster.local',
  })
})

test.each([
  ['{ type: consull, service: a }', 'discovery.type: must have `type`: one of `static`, `dns`,'],
  ['{ type: consul, servic: a }', 'discovery.servic: unknown key; did you mean `service`?'],
  ['{ type: static, endpoints: ["10.0.0.1"] }', 'endpoints[0]: must be `host:port`, IPv6 in brackets'],
  ['{ type: static, endpoints: ["a:1", "a:1"] }', 'endpoints[1]: stands here twice'],
  ['{ type: dns, name: "a b", port: 1 }', 'discovery.name: is not a DNS name'],
  ['{ type: dns, name: a, port: 1, min_ttl: 1m }', 'discovery.max_ttl: is below `min_ttl`'],
  ['{ type: dns, name: a, port: 1, servers: [dns.example] }', 'discovery.servers[0]: must be `ip` or `ip:port`'],
  ['{ type: endpoint_slice, service: a/b/c }', 'discovery.service: must be `namespace/name`'],
  ['{ type: endpoint_slice, service: vllm }', 'discovery.service: needs its namespace'],
  [
    '{ type: endpoint_slice, service: a/b, kubeconfig: /k, api: { url: "http://x" } }',
    'discovery.kubeconfig: stands beside `api`',
  ],
  ['{ type: consul, url: "http://u:p@consul:8500", service: a }', 'discovery.url: must not hold credentials'],
  ['{ type: consul, service: a, wait: 1h }', 'discovery.wait: must be from `1s` to `10m`'],
  [
    '{ type: etcd, urls: ["http://e:2379"], prefix: /, username: u }',
    'discovery: needs `username` and `password` together',
  ],
  ['{ type: etcd, urls: [], prefix: / }', 'discovery.urls'],
  ['{ type: etcd, urls: ["https://e:2379"], prefix: /, ca: nonsense }', 'discovery.ca: must be PEM text'],
  ['{ type: xds, server: istiod, cluster: c }', 'discovery.server: must be `host:port` or `unix:/path`'],
])('%s is refused', (text, message) => {
  expect(problems(text).join('\n')).toContain(message)
})

test('no message and no dump shows a secret', () => {
  const secret = [
    `{ type: consul, service: a, token: ${SECRET} }`,
    `{ type: etcd, urls: ["http://e:2379"], prefix: /, token: ${SECRET} }`,
    `{ type: etcd, urls: ["http://e:2379"], prefix: /, username: u, password: ${SECRET} }`,
    `{ type: endpoint_slice, service: a/b, api: { url: "https://x", token: ${SECRET} } }`,
    `{ type: inference_pool, pool: a/b, api: { url: "https://x", token: ${SECRET} } }`,
  ]
  for (const text of secret) {
    const config = load(text)
    expect(JSON.stringify(config)).toContain(SECRET)
    expect(JSON.stringify(maskedConfig(config))).not.toContain(SECRET)
    expect(JSON.stringify(maskedConfig(config))).toContain('***')
  }
  const wrong = `{ type: consul, service: a, token: "${SECRET} with blanks" }`
  expect(problems(wrong)).toHaveLength(1)
  expect(problems(wrong).join()).not.toContain(SECRET)
})
