// The same story against a real Consul agent, where there is one, and against a double of its API.
import type { ServerResponse } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { DiscoveryConfig } from '../../src/contracts/config-cluster.ts'
import { consulBinary, DoubleConsul, RealConsul, type TestConsul } from '../support/consul.ts'
import { Heard } from '../support/discovery.ts'
import { pause, until } from '../support/etcd.ts'

type ConsulConfig = Extract<DiscoveryConfig, { type: 'consul' }>

const open: Heard[] = []

const follow = async (url: string, more: Partial<ConsulConfig> = {}): Promise<Heard> => {
  const heard = await Heard.of({
    type: 'consul',
    url,
    service: 'vllm',
    tag: null,
    datacenter: null,
    namespace: null,
    token: null,
    ca: null,
    waitMs: 2000,
    passingOnly: true,
    onEmpty: 'keep',
    ...more,
  })
  open.push(heard)
  return heard
}

// Without the binary test/support/consul.ts has said so.
const kinds: readonly (readonly [string, () => Promise<TestConsul>])[] = [
  ...(consulBinary === null ? [] : [['a real agent', () => RealConsul.start()] as const]),
  ['a double of the API', () => DoubleConsul.start()],
]

afterEach(() => {
  for (const heard of open.splice(0)) heard.close()
})

describe.each(kinds)('%s', (_name, start) => {
  let consul: TestConsul

  beforeAll(async () => {
    consul = await start()
  }, 40_000)

  afterAll(async () => {
    await consul?.kill()
  })

  test('instances that come, fall ill and go', async () => {
    await consul.register('vllm', { id: 'a', address: '10.0.0.1', port: 8000, tags: ['gpu'], zone: 'z1' })
    await consul.register('vllm', { id: 'n', address: '', port: 8001, tags: [] })
    await consul.register('other', { id: 'o', address: '10.0.0.9', port: 8000 })
    const heard = await follow(consul.url)
    await heard.expect('10.0.0.1:8000', '127.0.0.1:8001')
    expect(heard.last.find(({ host }) => host === '10.0.0.1')).toMatchObject({ zone: 'z1', name: 'a', weight: 1 })
    const tagged = await follow(consul.url, { tag: 'gpu' })
    await tagged.expect('10.0.0.1:8000')
    await consul.check('a', 'critical')
    await heard.expect('127.0.0.1:8001')
    await tagged.expect()
    await consul.check('a', 'passing')
    await heard.expect('10.0.0.1:8000', '127.0.0.1:8001')
    await consul.deregister('n')
    await heard.expect('10.0.0.1:8000')
    await consul.deregister('a')
    await heard.expect()
    expect([...heard.errors, ...tagged.errors]).toEqual([])
  })

  test('one with a warning counts by its weight, when it may', async () => {
    const weights = { Passing: 10, Warning: 2 }
    await consul.register('vllm', { id: 'w', address: '10.0.0.2', port: 8000, weights })
    const strict = await follow(consul.url)
    const lenient = await follow(consul.url, { passingOnly: false })
    await lenient.expect('10.0.0.2:8000')
    expect(lenient.last[0]).toMatchObject({ weight: 10 })
    await consul.check('w', 'warning')
    await strict.expect()
    await until('it has the lower weight', () => lenient.last[0]?.weight === 2)
    await consul.check('w', 'critical')
    await lenient.expect()
    await consul.deregister('w')
  })

  test('a quiet one is asked with blocking queries, and answers that nothing is new', async () => {
    const heard = await follow(consul.url, { waitMs: 1000, service: 'quiet' })
    await until('two queries have ended', () => heard.alive >= 2)
    expect(heard.sets).toEqual([[]])
    expect(heard.errors).toEqual([])
  })

  test('it comes back, with its index where it began', async () => {
    await consul.register('vllm', { id: 'a', address: '10.0.0.1', port: 8000 })
    const heard = await follow(consul.url)
    await heard.expect('10.0.0.1:8000')
    await consul.kill()
    await heard.expectError('unreachable')
    expect(heard.addresses).toEqual(['10.0.0.1:8000'])
    await consul.start()
    await consul.register('vllm', { id: 'b', address: '10.0.0.2', port: 8000 })
    await heard.expect('10.0.0.2:8000')
  }, 40_000)
})

describe('what only a double does', () => {
  let consul: DoubleConsul

  beforeAll(async () => {
    consul = await DoubleConsul.start()
  })

  afterAll(() => consul.kill())

  test('an index that goes back is given up', async () => {
    await consul.register('vllm', { id: 'a', address: '10.0.0.1', port: 8000 })
    const heard = await follow(consul.url)
    await heard.expect('10.0.0.1:8000')
    await until('it waits', () => consul.asked.at(-1)!.includes('index='))
    consul.asked.length = 0
    consul.rewind(3)
    await until('it has asked without an index', () => consul.asked.some((path) => !path.includes('index=')))
    await until('and goes on from there', () => consul.asked.at(-1)!.includes('index=3'))
    expect(heard.errors).toEqual([])
  })

  test('an index of 0 never makes a busy loop', async () => {
    consul.rewind(0)
    consul.asked.length = 0
    const heard = await follow(consul.url)
    await heard.expect('10.0.0.1:8000')
    await pause(500)
    expect(consul.asked.length).toBeLessThan(30)
  })

  test('one that does not wait although it is asked to is no busy loop either', async () => {
    const heard = await follow(consul.url)
    await heard.expect('10.0.0.1:8000')
    consul.asked.length = 0
    // As a cache in between does it.
    consul.answer = (response) => void response.setHeader('x-consul-index', '7').end('[]')
    consul.rewind(7)
    await pause(600)
    consul.answer = null
    expect(consul.asked.length).toBeLessThan(20)
  })

  test('a token that is refused is said without it, and one that is taken is sent', async () => {
    consul.rewind(50)
    consul.token = 'token-of-consul'
    const wrong = await follow(consul.url, { token: 'another-token' })
    await wrong.expectError('denied')
    expect(JSON.stringify(wrong.errors)).not.toContain('another-token')
    const heard = await follow(consul.url, { token: 'token-of-consul' })
    await heard.expect('10.0.0.1:8000')
    consul.token = ''
  })

  const answers: readonly (readonly [string, string, (response: ServerResponse) => void])[] = [
    ['garbage', 'invalid', (response) => void response.end('\u0000{{')],
    ['no list', 'invalid', (response) => void response.end('{"a":1}')],
    ['an error', 'failed', (response) => void response.writeHead(500).end('no leader')],
    ['too much', 'too_large', (response) => void response.end(Buffer.alloc(5 * 1024 * 1024, 32))],
    ['a cut', 'unreachable', (response) => void response.write('[', () => response.destroy())],
    ['another protocol', 'unreachable', (response) => void response.socket!.end('SSH-2.0-x\r\n')],
  ]

  test.each(answers)('%s is told as %s, and what was known holds', async (_what, reason, answer) => {
    const heard = await follow(consul.url)
    await heard.expect('10.0.0.1:8000')
    consul.answer = answer
    consul.rewind(60 + consul.asked.length)
    await heard.expectError(reason)
    expect(heard.addresses).toEqual(['10.0.0.1:8000'])
    consul.answer = null
    await consul.register('vllm', { id: 'b', address: '10.0.0.2', port: 8000 })
    await heard.expect('10.0.0.1:8000', '10.0.0.2:8000')
    await consul.deregister('b')
  })
})
