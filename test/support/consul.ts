/**
 * Consul for tests: a real agent in dev mode when its binary is in the PATH or in node_modules/.cache/consul, and a server
 * that speaks the documented part of its HTTP API (health of services, blocking queries, ACL tokens) to be had anywhere.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { freePort, inPath, until } from './etcd.ts'

const CACHED = join(import.meta.dirname, '../../node_modules/.cache/consul/consul')

export const consulBinary: string | null = inPath('consul') ?? (existsSync(CACHED) ? CACHED : null)
if (consulBinary === null)
  process.stderr.write('\n*** No consul binary: discovery is tested against a double of its API only. ***\n\n')

export interface Instance {
  readonly id: string
  /** '' = on the node. */
  readonly address: string
  readonly port: number
  readonly tags?: readonly string[]
  readonly zone?: string
  readonly weights?: { readonly Passing: number; readonly Warning: number }
}

export type CheckStatus = 'passing' | 'warning' | 'critical'

/** What a test does to Consul, whichever it is. */
export interface TestConsul {
  readonly url: string
  register(service: string, instance: Instance): Promise<void>
  deregister(id: string): Promise<void>
  /** Of the instance's check. */
  check(id: string, status: CheckStatus): Promise<void>
  kill(): Promise<void>
  /** As after a restart: nothing is known any more. */
  start(): Promise<void>
}

export class RealConsul implements TestConsul {
  readonly #port: number
  readonly #others: readonly number[]
  #process: ChildProcess | null = null

  constructor(port: number, others: readonly number[]) {
    this.#port = port
    this.#others = others
  }

  static async start(): Promise<RealConsul> {
    const consul = new RealConsul(await freePort(), [await freePort(), await freePort(), await freePort()])
    await consul.start()
    return consul
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  async start(): Promise<void> {
    const [server, lan, grpc] = this.#others
    const options = [
      'agent',
      '-dev',
      '-client',
      '127.0.0.1',
      '-bind',
      '127.0.0.1',
      '-log-level',
      'err',
      '-disable-host-node-id',
      '-http-port',
      String(this.#port),
      '-server-port',
      String(server),
      '-serf-lan-port',
      String(lan),
      '-serf-wan-port',
      '-1',
      '-dns-port',
      '-1',
      '-grpc-port',
      String(grpc),
      '-grpc-tls-port',
      '-1',
    ]
    this.#process = spawn(consulBinary!, options, { stdio: 'ignore' })
    await until(
      'consul has a leader',
      async () => {
        const answer = await fetch(`${this.url}/v1/status/leader`).catch(() => null)
        return answer?.status === 200 && (await answer.text()).length > 4
      },
      30_000,
    )
  }

  async #put(path: string, body: object = {}): Promise<void> {
    const answer = await fetch(`${this.url}/v1/${path}`, { method: 'PUT', body: JSON.stringify(body) })
    if (answer.status !== 200) throw new Error(`consul ${path}: ${answer.status} ${await answer.text()}`)
  }

  async register(service: string, { id, address, port, tags = [], zone, weights }: Instance): Promise<void> {
    await this.#put('agent/service/register', {
      ID: id,
      Name: service,
      Address: address,
      Port: port,
      Tags: tags,
      ...(zone === undefined ? {} : { Meta: { zone } }),
      ...(weights === undefined ? {} : { Weights: weights }),
      Check: { CheckID: `check-${id}`, TTL: '1h', Status: 'passing' },
    })
  }

  deregister(id: string): Promise<void> {
    return this.#put(`agent/service/deregister/${id}`)
  }

  check(id: string, status: CheckStatus): Promise<void> {
    return this.#put(`agent/check/update/check-${id}`, { Status: status })
  }

  async kill(): Promise<void> {
    const child = this.#process
    if (child === null) return
    this.#process = null
    const gone = new Promise((resolve) => void child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }
}

interface Kept extends Instance {
  readonly service: string
  status: CheckStatus
}

/** Answers in the shape that Consul 1.21 gave to the same questions. */
export class DoubleConsul implements TestConsul {
  readonly #instances = new Map<string, Kept>()
  readonly #waiting = new Set<() => void>()
  #server: Server | null = null
  #port = 0
  #index = 10
  /** Wanted of every question; '' = none. */
  token = ''
  /** What was asked, path and query. */
  readonly asked: string[] = []
  /** Takes the place of the answer. */
  answer: ((response: ServerResponse) => void) | null = null

  static async start(): Promise<DoubleConsul> {
    const consul = new DoubleConsul()
    await consul.start()
    return consul
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  async start(): Promise<void> {
    this.#index = 10
    this.#instances.clear()
    this.#server = createServer((request, response) => this.#serve(request, response))
    await new Promise<void>((resolve) => void this.#server!.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
  }

  async kill(): Promise<void> {
    const server = this.#server
    if (server === null) return
    this.#server = null
    this.#waiting.clear()
    server.closeAllConnections()
    await new Promise((resolve) => void server.close(resolve))
  }

  /** The index goes back to this, as after the restore of a snapshot. */
  rewind(index: number): void {
    this.#index = index
    this.#wake()
  }

  #changed(): void {
    this.#index++
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }

  async register(service: string, instance: Instance): Promise<void> {
    this.#instances.set(instance.id, { ...instance, service, status: 'passing' })
    this.#changed()
  }

  async deregister(id: string): Promise<void> {
    this.#instances.delete(id)
    this.#changed()
  }

  async check(id: string, status: CheckStatus): Promise<void> {
    this.#instances.get(id)!.status = status
    this.#changed()
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url!, this.url)
    this.asked.push(request.url!)
    if (this.answer !== null) return this.answer(response)
    if (this.token !== '' && request.headers['x-consul-token'] !== this.token) {
      response.writeHead(403).end('Permission denied: token with AccessorID lacks permission')
      return
    }
    const answer = (): void => this.#answer(url, response)
    const index = Number(url.searchParams.get('index') ?? 0)
    if (index === 0 || index !== this.#index) return answer()
    this.#waiting.add(answer)
    const seconds = Number(/^(\d+)s$/.exec(url.searchParams.get('wait') ?? '')?.[1] ?? 300)
    const timer = setTimeout(() => this.#waiting.delete(answer) && answer(), seconds * 1000)
    response.on('close', () => clearTimeout(timer))
  }

  #answer(url: URL, response: ServerResponse): void {
    const service = decodeURIComponent(url.pathname.split('/').at(-1)!)
    const tag = url.searchParams.get('tag')
    const found = [...this.#instances.values()].filter(
      (kept) =>
        kept.service === service &&
        (tag === null || kept.tags?.includes(tag) === true) &&
        (!url.searchParams.has('passing') || kept.status === 'passing'),
    )
    response.writeHead(200, {
      'content-type': 'application/json',
      'x-consul-index': String(this.#index),
      'x-consul-knownleader': 'true',
      'x-consul-lastcontact': '0',
    })
    response.end(JSON.stringify(found.map(entryOf)))
  }
}

const entryOf = ({ id, service, address, port, tags = [], zone, weights, status }: Kept): object => ({
  Node: { ID: 'n1', Node: 'node-1', Address: '127.0.0.1', Datacenter: 'dc1', TaggedAddresses: null, Meta: {} },
  Service: {
    ID: id,
    Service: service,
    Tags: tags,
    Address: address,
    Meta: zone === undefined ? {} : { zone },
    Port: port,
    Weights: weights ?? { Passing: 1, Warning: 1 },
    EnableTagOverride: false,
  },
  Checks: [
    { Node: 'node-1', CheckID: 'serfHealth', Status: 'passing', ServiceID: '' },
    { Node: 'node-1', CheckID: `check-${id}`, Status: status, ServiceID: id },
  ],
})
