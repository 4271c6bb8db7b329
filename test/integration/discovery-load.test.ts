// Endpoints come and go every second, politely and not, under load: no request fails that a live endpoint could serve.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { etcdServer, pause, TestEtcd, until } from '../support/etcd.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { kubePaths, slice, TestKube } from '../support/kube.ts'

const ROUNDS = 10
const CLIENTS = 8
const ANSWER = JSON.stringify({
  id: 'c',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'hello' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
})

class Backend {
  readonly port: number
  served = 0
  readonly #server: Server

  constructor(server: Server) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    server.on('request', (request, response) => {
      request.resume()
      request.on('end', () => {
        setTimeout(() => {
          this.served++
          response.setHeader('content-type', 'application/json')
          response.end(ANSWER)
        }, 20)
      })
    })
  }

  static async start(): Promise<Backend> {
    const server = createServer()
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    return new Backend(server)
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  /** What it has begun it ends. */
  async leave(): Promise<void> {
    this.#server.closeIdleConnections()
    await new Promise((resolve) => void this.#server.close(resolve))
  }

  /** As by a crash. */
  die(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

interface Registry {
  add(backend: Backend): Promise<void>
  remove(backend: Backend): Promise<void>
}

const ask = async (url: string): Promise<string> => {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'p/m', messages: [{ role: 'user', content: 'hi' }] }),
  }).catch((error: unknown) => error as Error)
  if (answer instanceof Error) return String(answer)
  const text = await answer.text()
  return answer.status === 200 && text.includes('hello') ? 'ok' : `${answer.status} ${text.slice(0, 200)}`
}

async function load(
  gateway: Gateway,
  churn: () => Promise<void>,
): Promise<{ readonly calls: number; readonly failures: readonly string[] }> {
  const state = { over: false }
  let calls = 0
  const failures: string[] = []
  const client = async (): Promise<void> => {
    while (!state.over) {
      const outcome = await ask(gateway.url)
      calls++
      if (outcome !== 'ok') failures.push(outcome)
    }
  }
  const clients = Array.from({ length: CLIENTS }, client)
  await churn()
  state.over = true
  await Promise.all(clients)
  return { calls, failures }
}

async function expectNoFailures(discovery: string, registry: Registry, workers: number): Promise<void> {
  const live = new Set<Backend>()
  const all: Backend[] = []
  const add = async (): Promise<void> => {
    const backend = await Backend.start()
    all.push(backend)
    live.add(backend)
    await registry.add(backend)
  }
  await add()
  await add()
  await add()
  const gateway = await startGateway(
    [
      `server: { workers: ${workers}, log: { level: silent, access: false } }`,
      'providers:',
      '  p:',
      '    type: openai_compatible',
      '    base_url: http://models.internal:8000/v1',
      `    discovery: ${discovery}`,
    ].join('\n'),
  )
  try {
    const { calls, failures } = await load(gateway, async () => {
      for (let round = 0; round < ROUNDS; round++) {
        await add()
        await pause(500)
        const [oldest] = live
        live.delete(oldest!)
        // Every other one is gone before its registry knows.
        if (round % 2 === 0) {
          oldest!.die()
          await pause(300)
          await registry.remove(oldest!)
        } else {
          await registry.remove(oldest!)
          await pause(300)
          await oldest!.leave()
        }
        await pause(200)
      }
    })
    expect(failures).toEqual([])
    expect(calls).toBeGreaterThan(200)
    // Those that came later have been found, and all that lived long enough have served.
    expect(all.slice(0, -1).filter(({ served }) => served === 0)).toEqual([])
    const endpoints = (): Promise<number> =>
      gateway.metric('heddle_discovery_endpoints', { cluster: 'p', state: 'ready' })
    await until('the registry has been followed', async () => (await endpoints()) === live.size)
  } finally {
    await gateway.stop()
    for (const backend of all) backend.die()
  }
}

test.skipIf(etcdServer === null)(
  'etcd: 0 failed requests while members come and go',
  async () => {
    const etcd = await TestEtcd.start()
    try {
      const registry: Registry = {
        add: (backend) => etcd.put(`/models/m/${backend.port}`, backend.address),
        remove: (backend) => etcd.delete(`/models/m/${backend.port}`),
      }
      await expectNoFailures(`{ type: etcd, urls: ["${etcd.url}"], prefix: /models/m/ }`, registry, 2)
    } finally {
      await etcd.stop()
    }
  },
  60_000,
)

test('EndpointSlices: 0 failed requests while members come and go', async () => {
  const kube = await TestKube.start()
  try {
    const path = kubePaths.slices('llm')
    // One slice for each: their ports differ.
    const registry: Registry = {
      add: async ({ port }) => kube.apply(path, slice(`m-${port}`, 'm', [{ ip: '127.0.0.1' }], { http: port })),
      remove: async ({ port }) => kube.delete(path, `m-${port}`),
    }
    await expectNoFailures(
      `{ type: endpoint_slice, service: llm/m, port: http, api: { url: "${kube.url}" } }`,
      registry,
      1,
    )
  } finally {
    await kube.stop()
  }
}, 60_000)
