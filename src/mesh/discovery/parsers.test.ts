import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Endpoint } from '../../contracts/cluster.ts'
import { formatAddress, isHost, parseAddress } from '../../core/host-port.ts'
import { clusterKey } from './key.ts'
import { deduped, endpointOf } from './address.ts'
import { nextIndex, readConsul } from './consul.ts'
import { endpointsOfSrv } from './dns-srv.ts'
import { waitOf } from './dns-lookup.ts'
import { mergeSlices, readSlice, stateIn } from './endpoint-slice.ts'
import { endpointInEtcd, rangeEnd, readRange, readWatch } from './etcd-read.ts'
import { membersOf, readPod, readPool } from './inference-pool.ts'
import { DiscoveryFault } from './parts.ts'

const port = fc.integer({ min: 1, max: 65_535 })
const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('vllm-0.vllm.llm.svc', 'node_1', 'a'))

/** Whatever a registry says, a member can be called. */
const sound = (list: readonly Endpoint[]): boolean =>
  list.every(
    ({ host, port, weight, priority }) =>
      isHost(host) && port >= 1 && port <= 65_535 && weight > 0 && Number.isFinite(weight) && priority >= 0,
  ) && new Set(list.map((e) => formatAddress(e.host, e.port))).size === list.length

/** Passes, or fails as something that the hub can count. */
const orFault = (read: () => readonly Endpoint[]): boolean => {
  try {
    return sound(read())
  } catch (error) {
    return error instanceof DiscoveryFault
  }
}

describe('addresses', () => {
  test('are read as they are written', () => {
    fc.assert(
      fc.property(host, port, (name, number) => {
        expect(parseAddress(formatAddress(name, number))).toEqual({ host: name.toLowerCase(), port: number })
      }),
    )
  })

  test.each([
    '',
    ':1',
    'a',
    'a:0',
    'a:65536',
    'a b:1',
    'a/b:1',
    'a@b:1',
    '1.2.3:1',
    '::1:80',
    '[::1]',
    '[1.2.3.4]:1',
    '[fe80::1%eth0]:1',
    'a:1\r\nx',
  ])('%j is none', (text) => expect(parseAddress(text)).toBeNull())
})

test('keys of clusters: the order of fields means nothing, each value does', () => {
  const one = { type: 'dns', name: 'a', port: 1, servers: [], minTtlMs: 1, maxTtlMs: 2, onEmpty: 'keep' } as const
  const two = { onEmpty: 'keep', maxTtlMs: 2, minTtlMs: 1, servers: [], port: 1, name: 'a', type: 'dns' } as const
  expect(clusterKey(one)).toBe(clusterKey(two))
  const others = [
    { ...one, port: 2 },
    { ...one, onEmpty: 'drop' as const },
    { ...one, servers: ['1.1.1.1:53'] },
  ]
  expect(new Set([one, ...others].map(clusterKey)).size).toBe(4)
})

test('of an address that stands twice the ready one is taken', () => {
  const at = { host: '10.0.0.1', port: 1 }
  expect(deduped([endpointOf(at, { state: 'draining', name: 'a' }), endpointOf(at, { name: 'b' })])).toEqual([
    endpointOf(at, { name: 'b' }),
  ])
})

describe('Consul', () => {
  test('whatever it says, members are sound or it is a fault', () => {
    const entry = fc.record({
      Service: fc.record({
        Address: fc.oneof(host, fc.anything()),
        Port: fc.oneof(port, fc.anything()),
        Weights: fc.anything(),
        Meta: fc.anything(),
      }),
      Node: fc.anything(),
      Checks: fc.anything(),
    })
    const body = fc.oneof(fc.array(fc.oneof(entry, fc.anything())), fc.anything())
    fc.assert(fc.property(body, (value) => orFault(() => readConsul(JSON.stringify(value) ?? '').endpoints)))
    fc.assert(fc.property(fc.string(), (text) => orFault(() => readConsul(text).endpoints)))
  })

  test.each([
    [0, '7', 7],
    [5, '7', 7],
    [7, '7', 7],
    [7, '5', 0],
    [7, undefined, 0],
    [0, undefined, 1],
    [0, '0', 1],
    [3, '0', 0],
    [0, '-4', 1],
    [0, 'x', 1],
    [3, '99999999999999999999', 0],
  ])('after index %d, %j is asked on with %d', (before, header, next) => expect(nextIndex(before, header)).toBe(next))

  test('weight 0 takes an instance out', () => {
    const entry = (Passing: number) => ({
      Service: { ID: `i${Passing}`, Address: '10.0.0.1', Port: 80 + Passing, Weights: { Passing, Warning: 1 } },
      Node: {},
      Checks: [],
    })
    expect(readConsul(JSON.stringify([entry(0), entry(4)])).endpoints).toMatchObject([{ port: 84, weight: 4 }])
  })
})

describe('etcd', () => {
  test('the range of a prefix holds what begins with it, and nothing else', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 6 }).map((array) => Buffer.from(array))
    fc.assert(
      fc.property(bytes, bytes, (prefix, key) => {
        const end = rangeEnd(prefix)
        const within = key.compare(prefix) >= 0 && (end.equals(Buffer.from([0])) || key.compare(end) < 0)
        expect(within).toBe(key.subarray(0, prefix.length).equals(prefix))
      }),
      { numRuns: 1000 },
    )
  })

  test('whatever a value holds, it is a member or not', () => {
    const json = fc.record(
      {
        address: fc.oneof(fc.constant('10.0.0.1:1'), fc.anything()),
        weight: fc.anything(),
        priority: fc.anything(),
        state: fc.anything(),
        zone: fc.anything(),
      },
      { requiredKeys: ['address'] },
    )
    const value = fc.oneof(
      fc.string(),
      json.map((v) => JSON.stringify(v)),
      fc.constant(`{"address":"a:1","x":"${'x'.repeat(5000)}"}`),
    )
    fc.assert(
      fc.property(value, (text) => {
        const endpoint = endpointInEtcd('k', text)
        return endpoint === null || sound([endpoint])
      }),
    )
  })

  test.each([
    ['{"address":"a:1","weight":0}'],
    ['{"address":"a:1","weight":"2"}'],
    ['{"address":"a:1","priority":-1}'],
    ['{"address":"a:1","state":"gone"}'],
    ['{"address":"a"}'],
    ['[]'],
    ['{'],
  ])('%s is no member', (text) => expect(endpointInEtcd('k', text)).toBeNull())

  test('answers that are none are faults', () => {
    const read = (text: string) => () => {
      readRange(text)
      readWatch(text)
      return []
    }
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.anything().map((v) => JSON.stringify(v) ?? ''),
        ),
        (text) => orFault(read(text)),
      ),
    )
    expect(readWatch('{"result":{"header":{"revision":"5"},"canceled":true,"compact_revision":"4"}}').compacted).toBe(
      true,
    )
    expect(() =>
      readWatch('{"result":{"header":{"revision":"5"},"canceled":true,"cancel_reason":"permission denied"}}'),
    ).toThrow(expect.objectContaining({ reason: 'denied' }))
  })
})

describe('Kubernetes', () => {
  const flag = fc.constantFrom(true, false, null, undefined)

  test('conditions: every combination', () => {
    fc.assert(
      fc.property(flag, flag, flag, (ready, serving, terminating) => {
        const state = stateIn({ ready, serving, terminating })
        const isReady = ready ?? true
        if (terminating === true) expect(state).toBe((serving ?? isReady) ? 'draining' : null)
        else expect(state).toBe(isReady ? 'ready' : null)
      }),
    )
  })

  const anySlice = fc.record({
    addressType: fc.constantFrom('IPv4', 'IPv6', undefined),
    ports: fc.oneof(
      fc.array(fc.record({ name: fc.constantFrom('http', ''), port: fc.oneof(port, fc.anything()) }), { maxLength: 3 }),
      fc.anything(),
    ),
    endpoints: fc.oneof(
      fc.array(
        fc.record({
          addresses: fc.oneof(fc.array(host, { maxLength: 2 }), fc.anything()),
          conditions: fc.oneof(fc.record({ ready: flag, serving: flag, terminating: flag }), fc.anything()),
          targetRef: fc.oneof(fc.record({ uid: fc.constantFrom('a', 'b', 'c') }), fc.anything()),
        }),
      ),
      fc.anything(),
    ),
  })

  test('whatever slices say, their members are sound, and in whichever order they come they are the same', () => {
    fc.assert(
      fc.property(fc.array(anySlice, { maxLength: 4 }), fc.constantFrom('', 'http', '8000'), (slices, wanted) => {
        const read = slices.map((slice) => readSlice(slice as Record<string, unknown>, wanted))
        const merged = mergeSlices(read)
        expect(sound(merged)).toBe(true)
        const addresses = (list: readonly Endpoint[]) =>
          list.map((e) => `${formatAddress(e.host, e.port)} ${e.state}`).sort()
        expect(addresses(mergeSlices(read.toReversed()))).toEqual(addresses(merged))
      }),
    )
  })

  test('whatever pools and pods say', () => {
    const pods = fc.array(
      fc.oneof(
        fc.anything(),
        fc.record({ status: fc.record({ podIP: host, conditions: fc.constant([{ type: 'Ready', status: 'True' }]) }) }),
      ),
    )
    fc.assert(
      fc.property(fc.anything(), pods, (pool, list) => {
        const { ports } = readPool({ spec: pool })
        expect(ports.length).toBeLessThanOrEqual(8)
        return sound(
          membersOf(
            list.map((pod) => readPod(Object(pod) as Record<string, unknown>)),
            [...ports, 8000],
          ),
        )
      }),
    )
  })

  test('a selector with a value that is none selects nobody, not everybody', () => {
    expect(readPool({ spec: { selector: { matchLabels: { a: 'b', c: 5 } } } }).selector).toBe('')
    expect(readPool({ spec: { selector: { matchLabels: { b: '2', a: '1' } } } }).selector).toBe('a=1,b=2')
  })
})

test('SRV: whatever it says', () => {
  const record = fc.record({
    name: fc.constantFrom('a', 'b', '..', 'c d'),
    port: fc.integer(),
    priority: fc.nat(65_535),
    weight: fc.nat(65_535),
  })
  fc.assert(
    fc.property(fc.array(record), fc.array(host, { maxLength: 4 }), (records, hosts) =>
      sound(
        endpointsOfSrv(
          records,
          new Map([
            ['a', hosts],
            ['b', ['10.0.0.1']],
          ]),
        ),
      ),
    ),
  )
})

test('how long records are held', () => {
  const bounds = { minTtlMs: 1000, maxTtlMs: 30_000 }
  expect([0, 5, 3600, Infinity].map((ttl) => waitOf(ttl, bounds))).toEqual([1000, 5000, 30_000, 30_000])
})
