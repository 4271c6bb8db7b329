// A real etcd: what Heddle knows follows it through everything that etcd does to its clients.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { DiscoveryConfig } from '../../src/contracts/config-cluster.ts'
import { Heard } from '../support/discovery.ts'
import { etcdServer, TestEtcd, until } from '../support/etcd.ts'

const PREFIX = '/models/llama/'
const open: Heard[] = []
let etcd: TestEtcd

const config = (more: Partial<Extract<DiscoveryConfig, { type: 'etcd' }>> = {}): DiscoveryConfig => ({
  type: 'etcd',
  urls: [etcd.url],
  prefix: PREFIX,
  username: null,
  password: null,
  token: null,
  ca: null,
  onEmpty: 'keep',
  ...more,
})

const follow = async (given = config()): Promise<Heard> => {
  const heard = await Heard.of(given)
  open.push(heard)
  return heard
}

beforeAll(async () => {
  if (etcdServer !== null) etcd = await TestEtcd.start()
})

afterEach(async () => {
  for (const heard of open.splice(0)) heard.close()
  if (etcdServer !== null) await etcd.call('kv/deleterange', { key: 'AA==', range_end: 'AA==' })
})

afterAll(async () => {
  await etcd?.stop()
})

describe.skipIf(etcdServer === null)('a real etcd', () => {
  test('members that are there, that come, change and go', async () => {
    await etcd.put(`${PREFIX}a`, '10.0.0.1:8000')
    await etcd.put('/models/llamaX', '10.9.9.9:1')
    const heard = await follow()
    await heard.expect('10.0.0.1:8000')
    await etcd.put(`${PREFIX}b`, '{"address":"[fd00::2]:8000","weight":3,"zone":"z1","priority":1,"state":"draining"}')
    await heard.expect('10.0.0.1:8000', '[fd00::2]:8000')
    const two = heard.last.find(({ host }) => host === 'fd00::2')
    expect(two).toMatchObject({ weight: 3, zone: 'z1', priority: 1, state: 'draining', name: `${PREFIX}b` })
    await etcd.put(`${PREFIX}a`, '10.0.0.3:8000')
    await heard.expect('10.0.0.3:8000', '[fd00::2]:8000')
    await etcd.delete(`${PREFIX}a`)
    await heard.expect('[fd00::2]:8000')
    await etcd.delete(`${PREFIX}b`)
    await heard.expect()
    expect(heard.errors).toEqual([])
  })

  test('what ends with its lease is gone', async () => {
    const { ID } = (await etcd.call('lease/grant', { TTL: 1 })) as { ID: string }
    await etcd.put(`${PREFIX}a`, '10.0.0.1:8000', ID)
    const heard = await follow()
    await heard.expect('10.0.0.1:8000')
    await heard.expect()
    expect(heard.errors).toEqual([])
  })

  test('values that make no sense are left out and said', async () => {
    await etcd.put(`${PREFIX}a`, '10.0.0.1:8000')
    await etcd.put(`${PREFIX}b`, 'not an address')
    const heard = await follow()
    await heard.expect('10.0.0.1:8000')
    expect(heard.skipped).toEqual([{ reason: 'invalid', detail: '1 keys hold no address' }])
    await etcd.put(`${PREFIX}a`, '\u0000\u0001')
    await heard.expectError('invalid')
    expect(heard.addresses).toEqual(['10.0.0.1:8000'])
  })

  test('a compaction while the connection is away costs nothing', async () => {
    await etcd.put(`${PREFIX}a`, '10.0.0.1:8000')
    const heard = await follow()
    await heard.expect('10.0.0.1:8000')
    await etcd.kill()
    await heard.expectError('unreachable')
    await etcd.start()
    for (let i = 0; i < 20; i++) await etcd.put(`${PREFIX}b`, `10.0.1.${i}:8000`)
    await etcd.compact()
    await heard.expect('10.0.0.1:8000', '10.0.1.19:8000')
    expect(heard.reasons).toEqual(['unreachable'])
  })

  test('it comes back with its data, and without it', async () => {
    await etcd.put(`${PREFIX}a`, '10.0.0.1:8000')
    const heard = await follow()
    await heard.expect('10.0.0.1:8000')
    const before = heard.sets.length
    await etcd.kill()
    await heard.expectError('unreachable')
    expect(heard.addresses).toEqual(['10.0.0.1:8000'])
    await etcd.start()
    await until('it is asked again', () => heard.sets.length > before)
    expect(heard.addresses).toEqual(['10.0.0.1:8000'])
    await etcd.put(`${PREFIX}b`, '10.0.0.2:8000')
    await heard.expect('10.0.0.1:8000', '10.0.0.2:8000')
    await etcd.wipe()
    await etcd.start()
    // It states that nobody is there; whether that is believed is for the hub to decide.
    await heard.expect()
    await etcd.put(`${PREFIX}c`, '10.0.0.3:8000')
    await heard.expect('10.0.0.3:8000')
  })

  test('the next URL is asked when one does not answer', async () => {
    await etcd.put(`${PREFIX}a`, '10.0.0.1:8000')
    const heard = await follow(config({ urls: ['http://127.0.0.1:1', etcd.url] }))
    await heard.expect('10.0.0.1:8000')
    expect(heard.reasons).toEqual(['unreachable'])
  })

  test('with authentication: a token by user and password; refused without', async () => {
    await etcd.put(`${PREFIX}a`, '10.0.0.1:8000')
    await etcd.call('auth/user/add', { name: 'root', password: 'secret-word' })
    await etcd.call('auth/user/grant', { user: 'root', role: 'root' })
    await etcd.call('auth/enable', {})
    try {
      const none = await follow()
      await none.expectError('denied')
      const wrong = await follow(config({ username: 'root', password: 'wrong-word' }))
      await wrong.expectError('denied')
      expect(JSON.stringify([none.errors, wrong.errors])).not.toMatch(/secret-word|wrong-word/)
      const heard = await follow(config({ username: 'root', password: 'secret-word' }))
      await heard.expect('10.0.0.1:8000')
      etcd.token = (
        (await etcd.call('auth/authenticate', { name: 'root', password: 'secret-word' })) as { token: string }
      ).token
      await etcd.put(`${PREFIX}b`, '10.0.0.2:8000')
      await heard.expect('10.0.0.1:8000', '10.0.0.2:8000')
      expect(heard.errors).toEqual([])
    } finally {
      etcd.token = (
        (await etcd.call('auth/authenticate', { name: 'root', password: 'secret-word' })) as { token: string }
      ).token
      await etcd.call('auth/disable', {})
      etcd.token = ''
    }
  })
})
