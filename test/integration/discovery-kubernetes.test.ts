// EndpointSlices and InferencePools from an API server that does to its clients what Kubernetes does.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DiscoveryConfig } from '../../src/contracts/config-cluster.ts'
import { Heard } from '../support/discovery.ts'
import { pause, until } from '../support/etcd.ts'
import { kubePaths, pod, pool, slice, TestKube } from '../support/kube.ts'

type SliceConfig = Extract<DiscoveryConfig, { type: 'endpoint_slice' }>

const SLICES = kubePaths.slices('llm')
const POOLS = kubePaths.pools('llm')
const PODS = kubePaths.pods('llm')
const open: Heard[] = []
let kube: TestKube

beforeEach(async () => {
  kube = await TestKube.start()
})

afterEach(async () => {
  for (const heard of open.splice(0)) heard.close()
  await kube.stop()
})

const heardOf = async (config: DiscoveryConfig): Promise<Heard> => {
  const heard = await Heard.of(config)
  open.push(heard)
  return heard
}

const follow = (more: Partial<SliceConfig> = {}): Promise<Heard> =>
  heardOf({
    type: 'endpoint_slice',
    namespace: 'llm',
    service: 'vllm',
    port: 'http',
    api: { url: kube.url, token: null, ca: null },
    kubeconfig: null,
    onEmpty: 'keep',
    ...more,
  })

const followPool = (): Promise<Heard> =>
  heardOf({
    type: 'inference_pool',
    namespace: 'llm',
    name: 'llama',
    api: { url: kube.url, token: null, ca: null },
    kubeconfig: null,
    onEmpty: 'keep',
  })

test('slices of one service are one set, and follow what changes', async () => {
  kube.apply(SLICES, slice('vllm-1', 'vllm', [{ ip: '10.0.0.1', pod: 'a', zone: 'z1', forZones: ['z1', 'z2'] }]))
  kube.apply(
    SLICES,
    slice('vllm-2', 'vllm', [
      { ip: '10.0.0.2', pod: 'b' },
      { ip: '10.0.0.1', pod: 'a' },
    ]),
  )
  kube.apply(SLICES, slice('other-1', 'other', [{ ip: '10.9.9.9' }]))
  const heard = await follow()
  await heard.expect('10.0.0.1:8000', '10.0.0.2:8000')
  expect(heard.last.find(({ host }) => host === '10.0.0.1')).toMatchObject({
    zone: 'z1',
    forZones: ['z1', 'z2'],
    name: 'a',
  })
  kube.apply(SLICES, slice('vllm-2', 'vllm', [{ ip: '10.0.0.3', pod: 'c' }]))
  await heard.expect('10.0.0.1:8000', '10.0.0.3:8000')
  kube.delete(SLICES, 'vllm-1')
  await heard.expect('10.0.0.3:8000')
  kube.delete(SLICES, 'vllm-2')
  await heard.expect()
  expect(heard.errors).toEqual([])
})

test('conditions: not said is ready, terminating and serving is draining, the rest serves nobody', async () => {
  const endpoints = [
    { ip: '10.0.0.1', ready: null, serving: null, terminating: null },
    { ip: '10.0.0.2', ready: false, serving: true, terminating: true },
    { ip: '10.0.0.3', ready: false, serving: false, terminating: true },
    { ip: '10.0.0.4', ready: false, serving: false },
    { ip: '10.0.0.5' },
  ]
  kube.apply(SLICES, slice('vllm-1', 'vllm', endpoints))
  const heard = await follow()
  await heard.expect('10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.5:8000')
  expect(heard.last.filter(({ state }) => state === 'draining').map(({ host }) => host)).toEqual(['10.0.0.2'])
})

test('ports by name, by number and the first; a pod of two families is one member', async () => {
  const ports = { metrics: 9090, http: 8000 }
  kube.apply(SLICES, slice('vllm-4', 'vllm', [{ ip: '10.0.0.1', pod: 'a' }], ports))
  kube.apply(
    SLICES,
    slice(
      'vllm-6',
      'vllm',
      [
        { ip: 'fd00::1', pod: 'a' },
        { ip: 'fd00::2', pod: 'b' },
      ],
      ports,
    ),
  )
  await (await follow()).expect('10.0.0.1:8000', '[fd00::2]:8000')
  await (await follow({ port: '9090' })).expect('10.0.0.1:9090', '[fd00::2]:9090')
  await (await follow({ port: '' })).expect('10.0.0.1:9090', '[fd00::2]:9090')
  const none = await follow({ port: 'grpc' })
  await none.expect()
  expect(none.errors).toEqual([])
})

test('a watch that ends goes on where it was: nothing is listed again, nothing is missed', async () => {
  kube.apply(SLICES, slice('vllm-1', 'vllm', [{ ip: '10.0.0.1' }]))
  const heard = await follow()
  await heard.expect('10.0.0.1:8000')
  for (const hard of [false, true]) {
    await until('it watches', () => kube.watchers === 1)
    kube.endWatches(hard)
    kube.apply(SLICES, slice('vllm-2', 'vllm', [{ ip: hard ? '10.0.0.3' : '10.0.0.2' }]))
    await heard.expect('10.0.0.1:8000', hard ? '10.0.0.3:8000' : '10.0.0.2:8000')
  }
  expect(kube.asked.filter((path) => !path.includes('watch=true'))).toHaveLength(1)
})

test('a bookmark is where the next watch begins', async () => {
  const heard = await follow()
  await until('it watches', () => kube.watchers === 1)
  kube.bookmark()
  await until('it has heard', () => heard.alive > 0)
  kube.endWatches()
  await until('it watches again', () => kube.asked.filter((path) => path.includes('watch=true')).length === 2)
  const versions = kube.asked.flatMap((path) => /resourceVersion=(\d+)/.exec(path)?.[1] ?? [])
  expect(versions).toEqual(['100', '101'])
})

test.each([true, false])(
  'a version that is gone (told in the stream: %s) is made good with a list',
  async (inStream) => {
    kube.apply(SLICES, slice('vllm-1', 'vllm', [{ ip: '10.0.0.1' }]))
    const heard = await follow()
    await heard.expect('10.0.0.1:8000')
    await until('it watches', () => kube.watchers === 1)
    if (!inStream) await kube.stop()
    kube.delete(SLICES, 'vllm-1')
    kube.apply(SLICES, slice('vllm-2', 'vllm', [{ ip: '10.0.0.2' }]))
    kube.forget(inStream)
    if (!inStream) await kube.start()
    await heard.expect('10.0.0.2:8000')
    await until('it has been listed', () => kube.asked.filter((path) => !path.includes('watch=true')).length === 2)
    expect(heard.addresses).toEqual(['10.0.0.2:8000'])
  },
)

test('many pages, and events in small pieces', async () => {
  kube.pageSize = 3
  kube.chunk = 7
  for (let i = 0; i < 10; i++) kube.apply(SLICES, slice(`vllm-${i}`, 'vllm', [{ ip: `10.0.1.${i}` }]))
  const heard = await follow()
  await until('all are there', () => heard.last.length === 10)
  kube.apply(SLICES, slice('vllm-0', 'vllm', [{ ip: '10.0.2.1', zone: 'zürich' }]))
  await until('the change is', () => heard.last.some(({ host }) => host === '10.0.2.1'))
  expect(heard.last.find(({ host }) => host === '10.0.2.1')?.zone).toBe('zürich')
  expect(heard.last).toHaveLength(10)
})

test('a token that is refused is told, and what was known holds until it is taken', async () => {
  kube.apply(SLICES, slice('vllm-1', 'vllm', [{ ip: '10.0.0.1' }]))
  const heard = await follow()
  await heard.expect('10.0.0.1:8000')
  kube.token = 'token-of-the-pod'
  kube.endWatches()
  await heard.expectError('denied')
  expect(heard.addresses).toEqual(['10.0.0.1:8000'])
  const other = await follow({ api: { url: kube.url, token: 'token-of-the-pod', ca: null } })
  await other.expect('10.0.0.1:8000')
  expect(JSON.stringify(other.errors)).not.toContain('token-of-the-pod')
})

const nonsense: readonly (readonly [string, string, (response: ServerResponse) => void])[] = [
  ['garbage', 'invalid', (response) => void response.end('\u0000garbage\n')],
  [
    'an event of no kind',
    'invalid',
    (response) => void response.end('{"type":"X","object":{"metadata":{"resourceVersion":"1"}}}\n'),
  ],
  ['an event without a version', 'invalid', (response) => void response.end('{"type":"ADDED","object":{}}\n')],
  ['an error', 'failed', (response) => void response.end('{"type":"ERROR","object":{"code":500}}\n')],
  ['a line without an end', 'too_large', (response) => void response.end(Buffer.alloc(5 * 1024 * 1024, 97))],
  ['not allowed', 'denied', (response) => void response.writeHead(403).end('{}')],
]

test.each(nonsense)('watches that give %s are told as %s, and a list makes it good', async (_what, reason, answer) => {
  kube.apply(SLICES, slice('vllm-1', 'vllm', [{ ip: '10.0.0.1' }]))
  kube.watch = answer
  const heard = await follow()
  await heard.expectError(reason)
  expect(heard.addresses).toEqual(['10.0.0.1:8000'])
  kube.apply(SLICES, slice('vllm-1', 'vllm', [{ ip: '10.0.0.2' }]))
  await heard.expect('10.0.0.2:8000')
  // It does not run in circles.
  const asked = kube.asked.length
  await pause(300)
  expect(kube.asked.length - asked).toBeLessThan(20)
})

test('a kubeconfig is read as kubectl reads it', async () => {
  kube.token = 'token-of-the-user'
  kube.apply(SLICES, slice('vllm-1', 'vllm', [{ ip: '10.0.0.1' }]))
  const folder = mkdtempSync(join(tmpdir(), 'heddle-kube-'))
  const file = join(folder, 'config')
  // The library wants the flag for plain HTTP; certificates are checked all the same.
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: kube.url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: { token: 'token-of-the-user' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  }
  const heard = await follow({ api: null, kubeconfig: file })
  await heard.expectError('invalid')
  writeFileSync(file, JSON.stringify(config))
  await heard.expect('10.0.0.1:8000')
  expect(heard.reasons).toEqual(['invalid'])
  rmSync(folder, { recursive: true })
})

test('outside of a pod the reason is said', async () => {
  const heard = await follow({ api: null })
  await heard.expectError('unreachable')
  expect(heard.errors[0]?.detail).toContain('not in a pod')
})

test('an InferencePool: ready pods of its selector at each of its ports', async () => {
  kube.apply(POOLS, pool('llama', { app: 'vllm' }, [8000, 8001]))
  kube.apply(POOLS, pool('other', { app: 'other' }, [9000]))
  kube.apply(PODS, pod('a', '10.0.0.1'))
  kube.apply(PODS, pod('b', '10.0.0.2', { ready: false }))
  kube.apply(PODS, pod('c', '10.0.0.3', { labels: { app: 'other' } }))
  const heard = await followPool()
  await heard.expect('10.0.0.1:8000', '10.0.0.1:8001')
  kube.apply(PODS, pod('b', '10.0.0.2'))
  await heard.expect('10.0.0.1:8000', '10.0.0.1:8001', '10.0.0.2:8000', '10.0.0.2:8001')
  kube.apply(PODS, pod('a', '10.0.0.1', { deleted: true }))
  await until('it drains', () => heard.last.filter(({ state }) => state === 'draining').length === 2)
  kube.delete(PODS, 'a')
  await heard.expect('10.0.0.2:8000', '10.0.0.2:8001')
  expect(heard.errors).toEqual([])
})

test('an InferencePool that changes, and one that is gone', async () => {
  kube.apply(PODS, pod('a', '10.0.0.1'))
  kube.apply(PODS, pod('c', '10.0.0.3', { labels: { app: 'other' } }))
  const heard = await followPool()
  await heard.expectError('not_found')
  kube.apply(POOLS, pool('llama', { app: 'vllm' }, [8000]))
  await heard.expect('10.0.0.1:8000')
  kube.apply(POOLS, pool('llama', { app: 'vllm' }, [8002]))
  await heard.expect('10.0.0.1:8002')
  kube.apply(POOLS, pool('llama', { app: 'other' }, [8002]))
  await heard.expect('10.0.0.3:8002')
  const errors = heard.errors.length
  kube.delete(POOLS, 'llama')
  await until('that is told', () => heard.errors.length > errors)
  expect(heard.addresses).toEqual(['10.0.0.3:8002'])
})

test('a list whose pages never end is given up, and asked for with pauses', async () => {
  let asked = 0
  const server = createServer((_request, response) => {
    asked++
    response.setHeader('content-type', 'application/json')
    const items = [slice('vllm-1', 'vllm', [{ ip: '10.0.0.1', pod: 'a' }])]
    response.end(JSON.stringify({ metadata: { resourceVersion: '1', continue: 'more' }, items }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const heard = await follow({ api: { url, token: null, ca: null } })
    await heard.expectError('invalid')
    expect(asked).toBeLessThan(500)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
