/**
 * The part of a Kubernetes API server that watches need: lists in pages, watches by resourceVersion, bookmarks, 410 when a
 * version is gone, selectors, bearer tokens. Behaviour as in "Kubernetes API Concepts".
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

type Json = Record<string, unknown>

interface Event {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly path: string
  readonly version: number
  readonly object: Json
}

interface Watcher {
  readonly path: string
  readonly query: URLSearchParams
  readonly response: ServerResponse
}

const metadataOf = (object: Json): Json => object['metadata'] as Json

const selected = (object: Json, query: URLSearchParams): boolean => {
  const { name, labels = {} } = metadataOf(object) as { name: string; labels?: Record<string, string> }
  const field = query.get('fieldSelector')
  if (field !== null && field !== `metadata.name=${name}`) return false
  const wanted = (query.get('labelSelector') ?? '').split(',').filter((part) => part !== '')
  return wanted.every((part) => {
    const at = part.indexOf('=')
    return labels[part.slice(0, at)] === part.slice(at + 1)
  })
}

export class TestKube {
  readonly #collections = new Map<string, Map<string, Json>>()
  readonly #events: Event[] = []
  readonly #watchers = new Set<Watcher>()
  #server: Server | null = null
  #port = 0
  #version = 100
  /** Versions before this are gone. */
  #oldest = 0
  /** Wanted of every question; '' = none. */
  token = ''
  /** Objects of a page, when fewer are asked for than there are. */
  pageSize = Infinity
  /** Lines are written in pieces of so many bytes. */
  chunk = Infinity
  /** What was asked: path and query. */
  readonly asked: string[] = []
  /** Takes the place of the answer to watches. */
  watch: ((response: ServerResponse) => void) | null = null

  static async start(): Promise<TestKube> {
    const kube = new TestKube()
    await kube.start()
    return kube
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  get watchers(): number {
    return this.#watchers.size
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => this.#serve(request, response))
    await new Promise<void>((resolve) => void this.#server!.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** What it knows stays. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === null) return
    this.#server = null
    this.#watchers.clear()
    server.closeAllConnections()
    await new Promise((resolve) => void server.close(resolve))
  }

  #collection(path: string): Map<string, Json> {
    const collection = this.#collections.get(path) ?? new Map<string, Json>()
    this.#collections.set(path, collection)
    return collection
  }

  /** Creates or changes. */
  apply(path: string, object: Json): void {
    const { name } = metadataOf(object) as { name: string }
    const collection = this.#collection(path)
    const type = collection.has(name) ? 'MODIFIED' : 'ADDED'
    this.#happen(type, path, object)
    collection.set(name, this.#events.at(-1)!.object)
  }

  delete(path: string, name: string): void {
    const collection = this.#collection(path)
    const object = collection.get(name)
    if (object === undefined) return
    collection.delete(name)
    this.#happen('DELETED', path, object)
  }

  #happen(type: Event['type'], path: string, object: Json): void {
    const version = ++this.#version
    const { name } = metadataOf(object) as { name: string }
    const metadata = { uid: `uid-${name}`, ...metadataOf(object), resourceVersion: String(version) }
    const event = { type, path, version, object: { ...object, metadata } }
    this.#events.push(event)
    for (const watcher of this.#watchers) this.#tell(watcher, event)
  }

  /** Versions until now are forgotten, as after a compaction. alsoOpen: open watches are told so. */
  forget(alsoOpen = false): void {
    this.#oldest = ++this.#version
    this.#events.length = 0
    const status = { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Expired', code: 410 }
    if (alsoOpen) for (const { response } of this.#watchers) this.#line(response, { type: 'ERROR', object: status })
  }

  bookmark(): void {
    const version = String(++this.#version)
    for (const { response } of this.#watchers)
      this.#line(response, { type: 'BOOKMARK', object: { kind: 'X', metadata: { resourceVersion: version } } })
  }

  /** As servers end watches after timeoutSeconds; hard: as when a connection breaks. */
  endWatches(hard = false): void {
    for (const { response } of this.#watchers) {
      if (hard) response.destroy()
      else response.end()
    }
    this.#watchers.clear()
  }

  #line(response: ServerResponse, value: object): void {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`)
    for (let at = 0; at < bytes.length; at += this.chunk)
      response.write(bytes.subarray(at, Math.min(bytes.length, at + this.chunk)))
  }

  #tell({ path, query, response }: Watcher, { type, path: of, object }: Event): void {
    if (path === of && selected(object, query)) this.#line(response, { type, object })
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url!, this.url)
    this.asked.push(request.url!)
    response.setHeader('content-type', 'application/json')
    if (this.token !== '' && request.headers.authorization !== `Bearer ${this.token}`) {
      response.writeHead(401).end(JSON.stringify({ kind: 'Status', reason: 'Unauthorized', code: 401 }))
      return
    }
    if (searchParams.get('watch') === 'true') this.#watch(pathname, searchParams, response)
    else this.#list(pathname, searchParams, response)
  }

  #list(path: string, query: URLSearchParams, response: ServerResponse): void {
    const all = [...this.#collection(path).values()].filter((object) => selected(object, query))
    const from = Number(query.get('continue') ?? 0)
    const size = Math.min(this.pageSize, Number(query.get('limit') ?? Infinity))
    const items = all.slice(from, from + size)
    const next = from + items.length < all.length ? { continue: String(from + items.length) } : {}
    response.end(JSON.stringify({ kind: 'List', metadata: { resourceVersion: String(this.#version), ...next }, items }))
  }

  #watch(path: string, query: URLSearchParams, response: ServerResponse): void {
    if (this.watch !== null) return this.watch(response)
    const since = Number(query.get('resourceVersion'))
    if (since < this.#oldest) {
      response.writeHead(410).end(JSON.stringify({ kind: 'Status', reason: 'Expired', code: 410 }))
      return
    }
    response.writeHead(200)
    response.flushHeaders()
    const watcher = { path, query, response }
    for (const event of this.#events) if (event.version > since) this.#tell(watcher, event)
    this.#watchers.add(watcher)
    response.on('close', () => this.#watchers.delete(watcher))
  }
}

const SLICES = (namespace: string): string => `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`
const POOLS = (namespace: string): string =>
  `/apis/inference.networking.k8s.io/v1/namespaces/${namespace}/inferencepools`
const PODS = (namespace: string): string => `/api/v1/namespaces/${namespace}/pods`

export const kubePaths = { slices: SLICES, pools: POOLS, pods: PODS }

export interface SliceAddress {
  readonly ip: string
  readonly ready?: boolean | null
  readonly serving?: boolean | null
  readonly terminating?: boolean | null
  readonly zone?: string
  readonly forZones?: readonly string[]
  readonly pod?: string
}

/** ports: name to number. */
export const slice = (
  name: string,
  service: string,
  endpoints: readonly SliceAddress[],
  ports: Readonly<Record<string, number>> = { http: 8000 },
): Json => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name, labels: { 'kubernetes.io/service-name': service } },
  addressType: endpoints[0]?.ip.includes(':') === true ? 'IPv6' : 'IPv4',
  ports: Object.entries(ports).map(([port, number]) => ({ name: port, port: number, protocol: 'TCP' })),
  endpoints: endpoints.map(({ ip, ready = true, serving = ready, terminating = false, zone, forZones, pod }) => ({
    addresses: [ip],
    conditions: { ready, serving, terminating },
    ...(zone === undefined ? {} : { zone }),
    ...(forZones === undefined ? {} : { hints: { forZones: forZones.map((of) => ({ name: of })) } }),
    ...(pod === undefined ? {} : { targetRef: { kind: 'Pod', name: pod, uid: `uid-${pod}` } }),
  })),
})

export const pod = (
  name: string,
  ip: string,
  more: { ready?: boolean; deleted?: boolean; labels?: Json } = {},
): Json => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    labels: more.labels ?? { app: 'vllm' },
    ...(more.deleted === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
  },
  status: {
    phase: 'Running',
    podIP: ip,
    podIPs: [{ ip }],
    conditions: [
      { type: 'Initialized', status: 'True' },
      { type: 'Ready', status: (more.ready ?? true) ? 'True' : 'False' },
    ],
  },
})

export const pool = (name: string, labels: Json, ports: readonly number[]): Json => ({
  apiVersion: 'inference.networking.k8s.io/v1',
  kind: 'InferencePool',
  metadata: { name },
  spec: {
    selector: { matchLabels: labels },
    targetPorts: ports.map((number) => ({ number })),
    endpointPickerRef: { name: 'epp', port: { number: 9002 } },
  },
})
