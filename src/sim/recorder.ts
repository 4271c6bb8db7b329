/** What a simulator remembers for its owner: requests, connections that peers closed, counts. */
import type { IncomingHttpHeaders } from 'node:http'

export interface SimReceived {
  /** The `x-request-id` of the answer. */
  readonly requestId: string
  readonly method: string
  /** As sent, with the query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Name, value, name, value …: as sent, duplicates included. */
  readonly rawHeaders: readonly string[]
  /** As sent; still encoded if the request had a content-encoding. */
  readonly body: Buffer
  /** Monotonic ms (`performance.now()`) when the body was complete. */
  readonly at: number
  /** As sent, with faults; empty if the request named none. */
  readonly model: string
}

export interface SimClosed {
  readonly requestId: string
  /** Monotonic ms (`performance.now()`). */
  readonly at: number
  readonly path: string
  readonly model: string
}

export interface SimStats {
  readonly requests: number
  /** Open now. */
  readonly inFlight: number
  readonly connections: number
  readonly closedByPeer: number
  readonly promptTokens: number
  readonly completionTokens: number
  readonly byStatus: Readonly<Record<string, number>>
  readonly byModel: Readonly<Record<string, number>>
  readonly byPath: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
}

const KEPT = 1000
/** Bytes of bodies that are kept; older requests go first, the newest always stays. */
const KEPT_BYTES = 64 * 1024 * 1024
/** More different models or paths than this are counted as `other`. */
const MAX_KEYS = 500

const bump = (counts: Map<string, number>, key: string): void => {
  const known = counts.has(key) || counts.size < MAX_KEYS ? key : 'other'
  counts.set(known, (counts.get(known) ?? 0) + 1)
}

export class Recorder {
  readonly received: SimReceived[] = []
  readonly closed: SimClosed[] = []
  readonly #listeners = new Set<(closed: SimClosed) => void>()
  readonly #byStatus = new Map<string, number>()
  readonly #byModel = new Map<string, number>()
  readonly #byPath = new Map<string, number>()
  readonly #faults = new Map<string, number>()
  #stopped = false
  #keptBytes = 0
  #requests = 0
  #inFlight = 0
  #connections = 0
  #closedByPeer = 0
  #promptTokens = 0
  #completionTokens = 0

  connection(): void {
    this.#connections++
  }

  opened(): void {
    this.#requests++
    this.#inFlight++
  }

  request(entry: SimReceived, path: string): void {
    this.received.push(entry)
    this.#keptBytes += entry.body.length
    while (this.received.length > KEPT || (this.#keptBytes > KEPT_BYTES && this.received.length > 1)) {
      this.#keptBytes -= this.received.shift()?.body.length ?? 0
    }
    if (entry.model !== '') bump(this.#byModel, entry.model)
    bump(this.#byPath, `${entry.method} ${path}`)
  }

  faultsApplied(names: Iterable<string>): void {
    for (const name of names) bump(this.#faults, name)
  }

  tokens(prompt: number, completion: number): void {
    this.#promptTokens += prompt
    this.#completionTokens += completion
  }

  finished(status: number): void {
    this.#inFlight--
    bump(this.#byStatus, String(status))
  }

  /** From now on closed connections are the simulator's own doing. */
  stop(): void {
    this.#stopped = true
  }

  /** The connection of an open answer closed; undefined: not by the peer. */
  aborted(closed: SimClosed | undefined): void {
    this.#inFlight--
    if (closed === undefined || this.#stopped) return
    this.#closedByPeer++
    this.closed.push(closed)
    if (this.closed.length > KEPT) this.closed.shift()
    for (const listener of this.#listeners) listener(closed)
  }

  onClosed(listener: (closed: SimClosed) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  stats(): SimStats {
    return {
      requests: this.#requests,
      inFlight: this.#inFlight,
      connections: this.#connections,
      closedByPeer: this.#closedByPeer,
      promptTokens: this.#promptTokens,
      completionTokens: this.#completionTokens,
      byStatus: Object.fromEntries(this.#byStatus),
      byModel: Object.fromEntries(this.#byModel),
      byPath: Object.fromEntries(this.#byPath),
      faults: Object.fromEntries(this.#faults),
    }
  }

  /** Forgets everything but what is open now. */
  reset(): void {
    this.received.length = 0
    this.#keptBytes = 0
    this.closed.length = 0
    for (const counts of [this.#byStatus, this.#byModel, this.#byPath, this.#faults]) counts.clear()
    this.#requests = 0
    this.#connections = 0
    this.#closedByPeer = 0
    this.#promptTokens = 0
    this.#completionTokens = 0
  }
}
