import { expect, test } from 'vitest'
import type { EndpointSet, Member, Picker } from '../contracts/cluster.ts'
import type { Call, Upstream, UpstreamFault, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import { GatewayError } from '../core/errors.ts'
import { ClusterUpstream } from './cluster-upstream.ts'

const member = (slot: number): Member => ({
  slot,
  host: '10.0.0.1',
  port: slot,
  address: `10.0.0.1:${slot}`,
  weight: 1,
  priority: 0,
  zone: '',
  forZones: [],
  state: 'ready',
  name: '',
})

class FakeMember implements Upstream {
  readonly calls: { readonly request: UpstreamRequest; readonly sink: UpstreamSink; aborted: boolean }[] = []
  closed = false
  call(request: UpstreamRequest, sink: UpstreamSink): Call {
    const call = { request, sink, aborted: false }
    this.calls.push(call)
    return { abort: () => void (call.aborted = true), pause() {}, resume() {} }
  }
  async close(): Promise<void> {
    this.closed = true
  }
}

/** Names them in order, those that were tried left out; notes what it is told. */
function setUp(count = 4) {
  const told: string[] = []
  let members = Array.from({ length: count }, (_, slot) => member(slot))
  const watchers: ((set: EndpointSet) => void)[] = []
  const picker: Picker = {
    pick: (hints, { tried = [] }) => {
      const left = members.filter(({ slot }) => !tried.includes(slot))
      if (left.length === 0) throw new GatewayError('upstream_unavailable', 'Nobody.', { detail: 'nobody is left' })
      if (hints.priority < 0) throw new GatewayError('overloaded', 'Later.')
      return { members: left, note: 'why', memo: null }
    },
    begin: ({ slot }) => ({
      answered: () => void told.push(`${slot} answered`),
      began: () => void told.push(`${slot} began`),
      end: (outcome) => void told.push(`${slot} ${outcome}`),
    }),
    usable: () => members.length,
  }
  const backends = new Map<string, FakeMember>()
  const upstream = new ClusterUpstream({
    source: {
      key: 'k',
      memory: new SharedArrayBuffer(8),
      get set() {
        return { key: 'k', version: 1, members }
      },
      watch: (onSet) => {
        watchers.push(onSet)
        return () => void told.push('unwatched')
      },
    },
    picker,
    remote: null,
    host: 'models.internal',
    orca: true,
    connect: (address) => {
      const made = new FakeMember()
      backends.set(address, made)
      return made
    },
  })
  const events: string[] = []
  const faults: UpstreamFault[] = []
  const call = (priority = 0): Call =>
    upstream.call(
      {
        method: 'POST',
        path: '/',
        headers: ['a', 'b'],
        body: Buffer.from('{}'),
        pick: { model: 'm', promptTokens: 1, session: '', priority },
      },
      {
        onEndpoint: (address, note) => void events.push(`${address} ${note}`),
        onHead: (status) => void events.push(`head ${status}`),
        onData: (chunk) => void events.push(chunk.toString()),
        onEnd: () => void events.push('end'),
        onFault: (fault) => void faults.push(fault),
      },
    )
  const at = (slot: number): FakeMember['calls'][number] => backends.get(`10.0.0.1:${slot}`)!.calls.at(-1)!
  const become = (next: readonly Member[]): void => {
    members = [...next]
    for (const onSet of watchers) onSet({ key: 'k', version: 2, members })
  }
  return { upstream, call, at, backends, become, told, events, faults }
}

test('host and report format are sent with the call; its end is told', () => {
  const { call, at, told, events } = setUp()
  call()
  expect(at(0).request.more).toEqual(['host', 'models.internal', 'endpoint-load-metrics-format', 'JSON'])
  at(0).sink.onHead(200, {})
  at(0).sink.onData(Buffer.from('x'))
  at(0).sink.onData(Buffer.from('y'))
  at(0).sink.onEnd()
  expect(events).toEqual(['10.0.0.1:0 why', 'head 200', 'x', 'y', 'end'])
  expect(told).toEqual(['0 answered', '0 began', '0 ok'])
})

test('who cannot be reached is passed by three times at most, and at once', () => {
  const { call, at, told, events, faults } = setUp()
  call()
  for (const slot of [0, 1, 2]) at(slot).sink.onFault({ kind: 'connect', detail: 'ECONNREFUSED' })
  expect(events).toEqual(['10.0.0.1:0 why', '10.0.0.1:1 why', '10.0.0.1:2 why'])
  expect(told).toEqual(['0 unreachable', '1 unreachable', '2 unreachable'])
  expect(faults).toEqual([{ kind: 'connect', detail: '10.0.0.1:2: ECONNREFUSED' }])
})

test.each([
  [{ kind: 'reset', detail: 'ECONNRESET' }, '0 failed'],
  [{ kind: 'connect', detail: 'EMFILE' }, '0 neutral'],
] as const)('%j is not tried again here', (fault, outcome) => {
  const { call, at, told, faults } = setUp()
  call()
  at(0).sink.onFault(fault)
  expect(told).toEqual([outcome])
  expect(faults).toHaveLength(1)
})

test('a connection that breaks after the head goes to nobody else', () => {
  const { call, at, told, faults } = setUp()
  call()
  at(0).sink.onHead(200, {})
  at(0).sink.onFault({ kind: 'connect', detail: 'ETIMEDOUT' })
  expect(told.at(-1)).toBe('0 unreachable')
  expect(faults).toHaveLength(1)
})

test('5xx is the member’s fault, 4xx is not', () => {
  for (const [status, outcome] of [
    [503, '0 failed'],
    [404, '0 ok'],
  ] as const) {
    const { call, at, told } = setUp()
    call()
    at(0).sink.onHead(status, {})
    at(0).sink.onData(Buffer.from('x'))
    at(0).sink.onEnd()
    expect(told.at(-1)).toBe(outcome)
  }
})

test('given up: its fault only when it is blamed', () => {
  for (const [blame, outcome] of [
    [true, '0 failed'],
    [false, '0 neutral'],
  ] as const) {
    const { call, at, told } = setUp()
    const made = call()
    made.abort(blame)
    made.abort()
    expect(told).toEqual([outcome])
    expect(at(0).aborted).toBe(true)
  }
})

test('nobody left is a fault to connect; a call that is refused carries why', async () => {
  const { call, faults } = setUp(0)
  call()
  expect(faults).toEqual([])
  await Promise.resolve()
  expect(faults).toEqual([{ kind: 'connect', detail: 'nobody is left' }])
  const other = setUp()
  other.call(-1)
  await Promise.resolve()
  expect(other.faults[0]?.refusal?.code).toBe('overloaded')
})

test('connections of a member that has gone are closed, those of others kept', async () => {
  const { call, become, backends, upstream, told } = setUp(2)
  call()
  become([member(1)])
  expect(backends.get('10.0.0.1:0')!.closed).toBe(true)
  call()
  await upstream.close()
  expect(backends.get('10.0.0.1:1')!.closed).toBe(true)
  expect(told).toContain('unwatched')
})
