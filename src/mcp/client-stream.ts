import type { Client } from './client.ts'
import type { McpExchange } from './exchange.ts'
import type { ToClient } from './to-client.ts'
import { GatewayError } from '../core/errors.ts'
import { CallbackTimer } from '../core/wheel.ts'
import { isObject, notificationText, resultText, type JsonObject, type RpcId, type RpcRequest } from './json-rpc.ts'
import { META } from './revisions.ts'
import { Tap } from './tap.ts'

/** Clients open it again; by then their key may have been taken from them. Ms. */
const MAX_STREAM_MS = 30 * 60_000

/** What a client of 2026-07-28 wants to be told (subscriptions). */
export interface Filter {
  readonly toolsListChanged?: true
  readonly promptsListChanged?: true
  readonly resourcesListChanged?: true
  readonly resourceSubscriptions?: readonly string[]
}

/** By its notification. */
const FLAGS: Readonly<Record<string, keyof Filter>> = {
  'notifications/tools/list_changed': 'toolsListChanged',
  'notifications/prompts/list_changed': 'promptsListChanged',
  'notifications/resources/list_changed': 'resourcesListChanged',
}
const MAX_SUBSCRIPTIONS = 1000
export const EVERYTHING: Filter = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true }

function filterOf(params: JsonObject): Filter {
  const asked = isObject(params['notifications']) ? params['notifications'] : {}
  const uris = asked['resourceSubscriptions']
  const list = Array.isArray(uris) ? uris.filter((uri) => typeof uri === 'string').slice(0, MAX_SUBSCRIPTIONS) : []
  return {
    ...Object.fromEntries(Object.values(FLAGS).flatMap((flag) => (asked[flag] === true ? [[flag, true]] : []))),
    ...(list.length > 0 ? { resourceSubscriptions: list } : {}),
  }
}

/** The stream of one client, on which all of its servers speak of their own accord. */
export class ClientStream {
  readonly session: string
  readonly #x: McpExchange
  readonly #listen: RpcId | null
  readonly #filter: Filter | null
  readonly #taps: Tap[] = []
  readonly #limit: CallbackTimer
  #over = false

  /** request: that of 2026-07-28 which it answers; null = a GET. */
  constructor(x: McpExchange, client: Client, request: RpcRequest | null) {
    this.#x = x
    this.session = client.key
    this.#listen = request?.id ?? null
    this.#filter = request === null ? null : filterOf(request.params)
    this.#limit = new CallbackTimer(() => this.end())
  }

  begin(client: Client): void {
    const x = this.#x
    const outlet = x.openOutlet(1, false, { json: false, stream: true })
    x.endpoint.streams.add(this)
    x.metrics.stream(1)
    const left = x.principal.expiresAt - x.services.clock.now()
    x.services.wheel.arm(this.#limit, Math.max(0, Math.min(MAX_STREAM_MS, left)))
    if (this.#listen !== null) outlet.message(this.#acknowledgement())
    outlet.open()
    const filter = this.#filter ?? EVERYTHING
    const to: ToClient = {
      endpoint: x.endpoint,
      view: x.view,
      outlet: {
        get takesMessages() {
          return outlet.takesMessages
        },
        message: (text) => this.#message(text),
      },
    }
    for (const link of x.view.links) {
      const tap = new Tap({ link, client, to, filter, wheel: x.services.wheel, origin: x.origin })
      this.#taps.push(tap)
      tap.open()
    }
  }

  #meta(): JsonObject {
    return { [META.subscription]: this.#listen }
  }

  #acknowledgement(): string {
    return notificationText('notifications/subscriptions/acknowledged', {
      _meta: this.#meta(),
      notifications: this.#filter,
    })
  }

  /** What a server says; with the mark of this client's subscription, or with none. */
  #message(text: string): void {
    const outlet = this.#x.outlet
    const filter = this.#filter
    if (filter === null && !text.includes(META.subscription)) {
      outlet?.message(text)
      return
    }
    const message = JSON.parse(text) as { method?: string; params?: JsonObject }
    const { method = '', params = {} } = message
    if (filter !== null && !wants(filter, method, params)) return
    const { [META.subscription]: _, ...meta } = isObject(params['_meta']) ? params['_meta'] : {}
    const own = this.#listen === null ? meta : { ...meta, ...this.#meta() }
    outlet?.message(JSON.stringify({ ...message, params: { ...params, _meta: own } }))
  }

  onSlow(slow: boolean): void {
    for (const tap of this.#taps) tap.onSlow(slow)
  }

  /** The client is told that it is over, if it is there. Once; later calls do nothing. */
  end(): void {
    if (this.#over) return
    this.#over = true
    const x = this.#x
    x.endpoint.streams.delete(this)
    x.metrics.stream(-1)
    x.services.wheel.disarm(this.#limit)
    for (const tap of this.#taps) tap.close()
    if (this.#listen === null) x.outlet?.end()
    else x.outlet?.answer(resultText(this.#listen, { resultType: 'complete', _meta: this.#meta() }))
    x.finish()
  }
}

function wants(filter: Filter, method: string, params: JsonObject): boolean {
  const flag = FLAGS[method]
  if (flag !== undefined) return filter[flag] === true
  const { uri } = params
  return (
    method === 'notifications/resources/updated' &&
    typeof uri === 'string' &&
    filter.resourceSubscriptions?.includes(uri) === true
  )
}

/** Throws GatewayError. */
export function beginStream(x: McpExchange, client: Client, request: RpcRequest | null): void {
  const { endpoint } = x
  if (endpoint.streams.size >= endpoint.config.limits.streams)
    throw new GatewayError('overloaded', 'Too many streams are open.', { retryAfterMs: 5000 })
  const stream = new ClientStream(x, client, request)
  x.stream = stream
  stream.begin(client)
}
