import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LoadPlan, LoadResult } from './load-plan.ts'
import { load } from './machine.ts'

const plan = (port: number, more: Partial<LoadPlan> = {}): LoadPlan => ({
  mode: 'closed',
  kind: 'chat',
  port,
  token: 'sk-test',
  connections: 4,
  promptBytes: 200,
  warmupMs: 50,
  durationMs: 250,
  ...more,
})

const noErrors = { status: 0, reset: 0, cut: 0 }

describe('against the mock backend', () => {
  let mock: ChildProcess
  let port = 0
  const ask = async (path: string): Promise<Record<string, number>> =>
    (await (await fetch(`http://127.0.0.1:${port}${path}`)).json()) as Record<string, number>

  beforeAll(async () => {
    mock = spawn(process.execPath, [join(import.meta.dirname, 'mock.ts'), '0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    port = await new Promise((resolve) => {
      mock.stdout?.once('data', (line) => resolve(Number(/\d+/.exec(String(line))?.[0])))
    })
  })
  afterAll(() => mock.kill())

  test.each(['chat', 'embeddings', 'stream'] as const)('%s requests are all answered', async (kind) => {
    await ask('/config?chunks=32&interval=0')
    const result = await load(plan(port, { kind }))
    expect(result.errors).toEqual(noErrors)
    expect(result.answered).toBeGreaterThan(0)
    if (kind === 'stream') expect(result.events).toBeGreaterThan(result.answered * 30)
  })

  test('a prompt that comes in several reads is read whole', async () => {
    const result = await load(plan(port, { promptBytes: 100_000 }))
    expect(result.errors).toEqual(noErrors)
    expect(result.answered).toBeGreaterThan(0)
  })

  test('a stream that is read slowly still ends whole: 32 chunks, role, finish and usage', async () => {
    await ask('/config?chunks=32&interval=0')
    const body = JSON.stringify({ model: 'm', stream: true })
    const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: 'POST', body })
    const events = (await response.text()).split('\n\n').filter((event) => event !== '')
    expect(events).toHaveLength(36)
    expect(events.at(-1)).toBe('data: [DONE]')
    for (const event of events.slice(0, -1)) expect(() => JSON.parse(event.slice(6)) as unknown).not.toThrow()
  })

  test('open loop keeps its rate whatever the target does', async () => {
    const result = await load(plan(port, { mode: 'open', rate: 200, durationMs: 1000 }))
    expect(result.errors).toEqual(noErrors)
    expect(result.answered).toBeGreaterThan(0)
    // Without a rate it would be tens of thousands; a slow machine catches up on what was due before the window.
    expect(result.answered).toBeLessThan(400)
  })

  test('held streams are open until the end and gone after it', async () => {
    await ask('/config?chunks=1000&interval=-1')
    const result = await load(plan(port, { mode: 'hold', kind: 'stream', connections: 20, rampPerSecond: 1000 }))
    expect(result).toMatchObject({ errors: noErrors, alive: 20 })
    await expect.poll(async () => (await ask('/stats'))['openStreams']).toBe(0)
    expect((await ask('/stats'))['aborted']).toBeGreaterThanOrEqual(20)
  })
})

describe('against a target that misbehaves', () => {
  const servers: Server[] = []
  afterAll(() => {
    for (const server of servers) server.close()
  })

  const against = async (answer: (socket: Socket) => void, more: Partial<LoadPlan> = {}): Promise<LoadResult> => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.on('data', () => answer(socket))
    })
    servers.push(server)
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
    return load(plan((server.address() as AddressInfo).port, more))
  }

  test('answers other than 200 count as errors, not as answers', async () => {
    const result = await against((socket) => void socket.write('HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno'))
    expect(result.answered).toBe(0)
    expect(result.errors.status).toBeGreaterThan(0)
  })

  test('a connection lost in the middle counts as a reset', async () => {
    const result = await against((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
      socket.end()
    })
    expect(result.answered).toBe(0)
    expect(result.errors.reset).toBeGreaterThan(0)
  })

  test('a stream that ends without [DONE] counts as cut', async () => {
    const result = await against(
      (socket) =>
        void socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: {}\n\r\n0\r\n\r\n'),
      { kind: 'stream' },
    )
    expect(result.answered).toBe(0)
    expect(result.errors.cut).toBeGreaterThan(0)
  })

  test('an event and an end that arrive byte by byte are still seen', async () => {
    const text =
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\ndata: {"a"}\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n'
    const bytewise = (socket: Socket): void => {
      socket.setNoDelay(true)
      let at = 0
      const next = (): void => {
        if (at < text.length && !socket.destroyed) socket.write(text.charAt(at++), () => setImmediate(next))
      }
      next()
    }
    const result = await against(bytewise, { kind: 'stream', connections: 1, durationMs: 800 })
    expect(result.errors).toEqual(noErrors)
    expect(result.answered).toBeGreaterThan(0)
    // The window may open or close in the middle of a stream.
    expect(Math.abs(result.events - result.answered)).toBeLessThanOrEqual(1)
  })

  test('latency counts from when a request was due: a stall is charged to all that waited for it', async () => {
    const stalled = (socket: Socket): void => {
      setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 100)
    }
    // One connection, a request due each 20 ms, each answered after 100: those that wait fall further and further behind.
    const shape = { mode: 'open', connections: 1, rate: 50, warmupMs: 0, durationMs: 1000 } as const
    const result = await against(stalled, shape)
    expect(result.latency.max).toBeGreaterThan(400_000)
  })
})
