import { expect, test } from 'vitest'
import type { SocketLink, SocketListener } from '../../contracts/socket.ts'
import type { UpstreamRequest } from '../../contracts/upstream.ts'
import type { UpgradeDoor } from './attempt.ts'
import { MetricRegistry } from '../../telemetry/metrics.ts'
import { harness } from '../attempt-fixture.ts'
import { RealtimeAttempt } from './attempt.ts'
import { RealtimeMeter } from './meter.ts'

class FakeLink implements SocketLink {
  readonly protocol = 'realtime'
  readonly did: string[] = []
  readonly got: string[] = []
  fast = true
  listener: SocketListener | null = null
  send(data: Buffer): boolean {
    this.got.push(data.toString())
    return this.fast
  }
  ping(): void {
    this.did.push('ping')
  }
  close(code: number, reason: string): void {
    this.did.push(`close ${code} ${reason}`.trim())
  }
  destroy(): void {
    this.did.push('destroy')
  }
  pause(): void {
    this.did.push('pause')
  }
  resume(): void {
    this.did.push('resume')
  }
  says(text: string): void {
    this.listener!.onMessage(Buffer.from(text), false)
  }
}

function session(): {
  h: ReturnType<typeof harness>
  client: FakeLink
  backend: FakeLink
  attempt: RealtimeAttempt
  registry: MetricRegistry
} {
  const h = harness()
  const [client, backend] = [new FakeLink(), new FakeLink()]
  const registry = new MetricRegistry()
  const door: UpgradeDoor = {
    protocols: ['realtime'],
    link: client,
    meter: new RealtimeMeter(registry),
    maxMessage: 1000,
    keepUsage: () => true,
    nameModel: () => null,
    attempt: () => attempt,
  }
  const plan = h.plan({})
  const { owner } = plan as unknown as { owner: Record<string, unknown> }
  owner['fail'] = (error: Error) => (h.events as string[]).push(`fail ${error.message}`)
  owner['onClientGone'] = () => {
    ;(h.events as string[]).push('gone')
    attempt.cancel()
  }
  const attempt = new RealtimeAttempt(plan, door)
  const { call } = h.backend
  Object.assign(h.target.provider.upstream, {
    call: (request: UpstreamRequest, sink: never) => {
      request.socket!.opened(backend)
      return call(request, sink)
    },
  })
  h.start(attempt, {}, 101)
  return { h, client, backend, attempt, registry }
}
const open = (registry: MetricRegistry): number => registry.gauge('heddle_realtime_sessions', '').value

test('messages go through, and an end that is slow holds the other up', () => {
  const { h, client, backend, registry } = session()
  expect([h.events, open(registry)]).toEqual([['head'], 1])
  client.says('a')
  backend.says('b')
  expect([client.got, backend.got]).toEqual([['b'], ['a']])
  client.fast = false
  backend.says('c')
  backend.says('d')
  expect(backend.did).toEqual(['pause'])
  client.listener!.onDrain()
  expect(backend.did).toEqual(['pause', 'resume'])
})

test('both ends are asked whether they live, and one that says nothing is gone', () => {
  const { h, client, backend, registry } = session()
  h.clock.pass(21_000)
  expect([client.did, backend.did]).toEqual([['ping'], ['ping']])
  client.listener!.onAlive()
  backend.listener!.onAlive()
  h.clock.pass(45_000)
  backend.listener!.onAlive()
  h.clock.pass(8000)
  expect(h.events).toEqual(['head', 'stalled'])
  expect(open(registry)).toBe(0)
})

test('a backend without a sign of life has failed', () => {
  const { h, client } = session()
  for (let i = 0; i < 6; i++) {
    h.clock.pass(10_000)
    client.listener!.onAlive()
  }
  expect(h.events).toEqual(['head', 'broken reset'])
})

test('an end that takes nothing is not waited for longer than clients are', () => {
  const one = session()
  one.client.fast = false
  one.backend.says('x')
  one.h.clock.pass(5000)
  expect(one.h.events).toEqual(['head', 'stalled'])
  const other = session()
  other.backend.fast = false
  other.client.says('x')
  other.h.clock.pass(5000)
  expect(other.h.events).toEqual(['head', 'broken idle_timeout'])
})

test('a session in which nothing is said ends, however alive its ends are', () => {
  const { h, client, backend } = session()
  for (let i = 0; i < 95; i++) {
    h.clock.pass(10_000)
    client.listener!.onAlive()
    backend.listener!.onAlive()
  }
  expect(h.events).toEqual(['head', 'done'])
  expect(client.did.at(-1)).toBe('close 1001 idle')
  expect(backend.did).toContain('close 1001 idle')
})

test('a client that closes hears the backend’s answer, but not for ever', () => {
  const { h, client, backend, attempt } = session()
  client.listener!.onClose(1000, 'bye')
  expect([backend.did, h.events]).toEqual([['close 1000 bye'], ['head']])
  // The last count comes after the close.
  backend.says(JSON.stringify({ type: 'response.done', response: { usage: { input_tokens: 3, output_tokens: 4 } } }))
  expect(client.got).toEqual([])
  h.clock.pass(5000)
  expect(h.events).toEqual(['head', 'done'])
  expect(backend.did).toContain('destroy')
  expect(attempt.usage).toMatchObject({ inputTokens: 3, outputTokens: 4 })
})

test('closes of the backend are told as they are, one that broke as a failure', () => {
  const one = session()
  one.backend.listener!.onClose(4001, 'why')
  expect([one.client.did, one.h.events]).toEqual([['close 4001 why'], ['head', 'done']])
  const broken = session()
  broken.backend.listener!.onClose(1006, '')
  expect(broken.h.events).toEqual(['head', 'broken reset'])
  const left = session()
  left.client.listener!.onClose(1006, '')
  expect([left.h.events, left.backend.did]).toEqual([['head', 'gone'], ['destroy']])
})
