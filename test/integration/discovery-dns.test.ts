// A, AAAA and SRV records from a name server that fails in all the ways that name servers do.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DiscoveryConfig } from '../../src/contracts/config-cluster.ts'
import { Heard } from '../support/discovery.ts'
import { TestDns, type DnsFault } from '../support/dns.ts'
import { pause, until } from '../support/etcd.ts'

const NAME = 'vllm.llm.svc'
const open: Heard[] = []
let dns: TestDns

beforeEach(async () => {
  dns = await TestDns.start()
})

afterEach(() => {
  for (const heard of open.splice(0)) heard.close()
  dns.stop()
})

const follow = async (more: object = {}): Promise<Heard> => {
  const base = { name: NAME, servers: [dns.server], minTtlMs: 100, maxTtlMs: 30_000, onEmpty: 'keep' }
  const heard = await Heard.of({ type: 'dns', port: 8000, ...base, ...more } as DiscoveryConfig)
  open.push(heard)
  return heard
}

const followSrv = (): Promise<Heard> => follow({ type: 'dns_srv' })

const a = (address: string, ttl = 0) => ({ type: 'A', address, ttl }) as const
const aaaa = (address: string, ttl = 0) => ({ type: 'AAAA', address, ttl }) as const
const srv = (target: string, port: number, priority = 0, weight = 0) =>
  ({ type: 'SRV', target, port, priority, weight, ttl: 0 }) as const

test('addresses of both families, asked for again when they expire', async () => {
  dns.set(NAME, a('10.0.0.1'), aaaa('fd00::1'))
  const heard = await follow()
  await heard.expect('10.0.0.1:8000', '[fd00::1]:8000')
  dns.set(NAME, a('10.0.0.2'))
  await heard.expect('10.0.0.2:8000')
  expect(heard.errors).toEqual([])
})

test('a TTL is kept to, within its bounds', async () => {
  dns.set(NAME, a('10.0.0.1', 3600))
  const long = await follow({ maxTtlMs: 150 })
  await until('it has asked again', () => long.sets.length >= 2)
  long.close()
  const asked = dns.asked.length
  const heard = await follow()
  await heard.expect('10.0.0.1:8000')
  await pause(400)
  expect(dns.asked.length - asked).toBe(2)
})

test('no records is empty; a name that is not there is an error, and what was known holds', async () => {
  dns.set(NAME, a('10.0.0.1'))
  const heard = await follow()
  await heard.expect('10.0.0.1:8000')
  dns.forget(NAME)
  await heard.expectError('not_found')
  expect(heard.addresses).toEqual(['10.0.0.1:8000'])
  dns.set(NAME)
  await heard.expect()
  dns.set(NAME, a('10.0.0.2'))
  await heard.expect('10.0.0.2:8000')
  expect(heard.reasons).toEqual(['not_found'])
})

const faults: readonly (readonly [DnsFault, string])[] = [
  ['servfail', 'failed'],
  ['refused', 'denied'],
]

test.each(faults)('%s is told as %s', async (fault, reason) => {
  dns.set(NAME, a('10.0.0.1'))
  const heard = await follow()
  await heard.expect('10.0.0.1:8000')
  dns.faults.set(NAME, fault)
  await heard.expectError(reason)
  expect(heard.addresses).toEqual(['10.0.0.1:8000'])
  dns.faults.clear()
  dns.set(NAME, a('10.0.0.2'))
  await heard.expect('10.0.0.2:8000')
})

test('bytes that are no answer take nothing away', async () => {
  dns.set(NAME, a('10.0.0.1'))
  const heard = await follow()
  await heard.expect('10.0.0.1:8000')
  const before = dns.asked.length
  dns.faults.set(NAME, 'garbage')
  await until('it has been asked', () => dns.asked.length > before + 2)
  dns.faults.clear()
  const sets = heard.sets.length
  await until('it goes on', () => heard.sets.length > sets)
  expect(heard.sets.flat().map(({ host }) => host)).toSatisfy((hosts: string[]) => hosts.every((h) => h === '10.0.0.1'))
  expect(heard.sets.every((set) => set.length === 1)).toBe(true)
}, 20_000)

test('servers that know nothing of AAAA take no address away', async () => {
  dns.set(NAME, a('10.0.0.1'), aaaa('fd00::1'))
  const heard = await follow()
  await heard.expect('10.0.0.1:8000', '[fd00::1]:8000')
  dns.faults.set(`${NAME} AAAA`, 'servfail')
  dns.set(NAME, a('10.0.0.2'))
  await heard.expect('10.0.0.2:8000', '[fd00::1]:8000')
  expect(heard.errors).toEqual([])
})

test('SRV: priorities, weights, ports and the addresses of targets', async () => {
  dns.set(NAME, srv('one.x', 8000, 0, 60), srv('two.x', 8001, 0, 0), srv('three.x', 8002, 5, 1))
  dns.set('one.x', a('10.0.0.1'), a('10.0.0.2'))
  dns.set('two.x', a('10.0.0.3'))
  dns.set('three.x', aaaa('fd00::4'))
  const heard = await followSrv()
  await heard.expect('10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.3:8001', '[fd00::4]:8002')
  const facts = heard.last.map(({ host, priority, weight, name }) => [host, priority, weight, name])
  expect(new Set(facts)).toEqual(
    new Set([
      ['10.0.0.1', 0, 30, 'one.x'],
      ['10.0.0.2', 0, 30, 'one.x'],
      ['10.0.0.3', 0, 0.01, 'two.x'],
      ['fd00::4', 5, 1, 'three.x'],
    ]),
  )
})

test('SRV: a target that cannot be looked up keeps its addresses, the others are used', async () => {
  dns.set(NAME, srv('one.x', 8000), srv('two.x', 8000))
  dns.set('one.x', a('10.0.0.1'))
  dns.set('two.x', a('10.0.0.2'))
  const heard = await followSrv()
  await heard.expect('10.0.0.1:8000', '10.0.0.2:8000')
  dns.faults.set('two.x', 'servfail')
  dns.set('one.x', a('10.0.0.9'))
  await heard.expect('10.0.0.9:8000', '10.0.0.2:8000')
  expect(heard.skipped.length).toBeGreaterThan(0)
})

test('SRV: the root as its target says that the service is not there', async () => {
  dns.set(NAME, srv('', 0))
  const heard = await followSrv()
  await heard.expect()
  dns.forget(NAME)
  await heard.expectError('not_found')
  expect(heard.last).toEqual([])
})
