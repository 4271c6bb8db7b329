import { Worker as Thread, type MessagePort } from 'node:worker_threads'
import type { FamilySnapshot } from '../telemetry/metrics.ts'
import type { TelemetryLink } from '../telemetry/otlp/link.ts'
import { GatewayError } from '../core/errors.ts'
import {
  feedKey,
  NO_PORTS,
  type Change,
  type Command,
  type Control,
  type Feed,
  type Ports,
  type Report,
} from './messages.ts'
import { withChange } from './changes.ts'
import { systemClock } from '../core/clock.ts'
import { atMost, sleep } from '../core/sleep.ts'
import { Worker, type ConfigUpdate, type WorkerInit } from './worker.ts'

/** A worker as the main thread sees it, in this thread or in another. */
interface Handle {
  /** Its thread has ended; another is on its way. */
  readonly gone: boolean
  call(command: Command): Promise<unknown>
  stop(): Promise<void>
}

/** One worker serves in the main thread itself: no second isolate, no messages. */
class LocalHandle implements Handle {
  readonly gone = false
  readonly #worker: Worker
  constructor(init: WorkerInit) {
    this.#worker = new Worker(init)
  }
  async call(command: Command): Promise<unknown> {
    switch (command.name) {
      case 'listen':
        return this.#worker.listen(command.ports, command.hold)
      case 'prepare':
        return this.#worker.prepare(command.update)
      case 'drain':
        return this.#worker.drain(command.maxMs)
      case 'feed':
        return this.#worker.feed(command.feed)
      case 'control':
        return this.#worker.control(command.control)
      default:
        return this.#worker[command.name]()
    }
  }
  async stop(): Promise<void> {}
}

class ThreadHandle implements Handle {
  readonly #thread: Thread
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #nextId = 1
  #gone: Error | null = null

  constructor(init: WorkerInit, onExit: (error: Error) => void) {
    this.#thread = new Thread(
      new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url),
      { workerData: init, transferList: [init.telemetry?.port ?? [], init.blobs ?? []].flat() },
    )
    this.#thread.on('message', (report: Report) => {
      const waiting = this.#waiting.get(report.id)
      this.#waiting.delete(report.id)
      if (report.error === undefined) waiting?.resolve(report.value)
      else
        waiting?.reject(
          report.refused === true ? new GatewayError('invalid_request', report.error) : new Error(report.error),
        )
    })
    let cause: Error | null = null
    this.#thread.on('error', (error: Error) => {
      cause = error
    })
    this.#thread.on('exit', (code) => {
      this.#gone = cause ?? new Error(`worker ended with code ${code}`)
      for (const { reject } of this.#waiting.values()) reject(this.#gone)
      this.#waiting.clear()
      onExit(this.#gone)
    })
  }

  get gone(): boolean {
    return this.#gone !== null
  }

  call(command: Command): Promise<unknown> {
    if (this.#gone !== null) return Promise.reject(this.#gone)
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#thread.postMessage({ ...command, id })
    })
  }

  async stop(): Promise<void> {
    await this.#thread.terminate()
  }
}

const SCRAPE_PATIENCE_MS = 2000
/** A worker that does not answer within this, beyond what it was given, is stuck: it is not waited for. */
const STUCK_MS = 3000
/** What a worker may take to end its streams, close its connections and flush, after its last request. */
const END_MS = 9000
/** A worker that dies this young would die again at once. */
const YOUNG_MS = 1000

/** What all workers begin with; which one it is, each learns from the fleet. */
export interface FleetInit extends Omit<WorkerInit, 'place' | 'telemetry' | 'blobs' | 'feeds'> {
  /** What is known already. */
  readonly feeds?: readonly Feed[]
  /** A way of its own for each worker; null = nothing is exported. */
  readonly telemetry: (() => TelemetryLink) | null
  /** One for each worker, too. */
  readonly blobs: () => MessagePort
}

/** All workers of the process behind one port. */
export class Fleet {
  readonly #init: FleetInit
  readonly #handles: Handle[] = []
  readonly #count: number
  readonly #onLost: (error: Error, worker: number) => void
  #changes: readonly Change[] = []
  #stopping = false
  #held = false
  #ports: Ports = NO_PORTS
  /** What the workers had counted when they ended: it is exported after that. */
  #last: FamilySnapshot[][] | null = null
  #update: ConfigUpdate
  readonly #feeds = new Map<string, Feed>()

  /** onLost: a worker thread died by itself; another takes its place, under the same number. */
  constructor(init: FleetInit, count: number, onLost: (error: Error, worker: number) => void) {
    this.#init = init
    this.#update = init
    this.#count = count
    this.#onLost = onLost
    for (const feed of init.feeds ?? []) this.#feeds.set(feedKey(feed), feed)
    for (let i = 0; i < count; i++) this.#handles.push(count === 1 ? new LocalHandle(this.#initOf(0)) : this.#spawn(i))
  }

  #initOf(worker: number): WorkerInit {
    const telemetry = this.#init.telemetry?.() ?? null
    const blobs = this.#init.blobs()
    const feeds = [...this.#feeds.values()]
    return { ...this.#init, ...this.#update, place: { worker, workers: this.#count }, telemetry, blobs, feeds }
  }

  get size(): number {
    return this.#handles.length
  }

  #spawn(worker: number): Handle {
    const born = systemClock.monotonic()
    const handle: Handle = new ThreadHandle(this.#initOf(worker), (error) => {
      // Before the first listen() the start fails as a whole.
      if (this.#stopping || this.#ports.plain === 0) return
      this.#onLost(error, worker)
      void this.#replace(handle, systemClock.monotonic() - born < YOUNG_MS ? YOUNG_MS : 0)
    })
    return handle
  }

  async #replace(lost: Handle, waitMs: number): Promise<void> {
    await sleep(waitMs)
    const at = this.#handles.indexOf(lost)
    if (at < 0 || this.#stopping) return
    const next = this.#spawn(at)
    this.#handles[at] = next
    // When it fails by dying, its own end says so.
    next.call({ name: 'control', control: { kind: 'resume', changes: this.#changes } }).catch(() => {})
    next.call({ name: 'listen', ports: this.#ports, hold: this.#held }).catch(() => {})
  }

  /**
   * The first worker finds the ports (they may be 0), the others join it. hold: nothing outbound begins before the next
   * apply(), and requests are turned away.
   */
  async listen(wanted: Ports, hold = false): Promise<Ports> {
    this.#held = hold
    const ports = (await this.#handles[0]!.call({ name: 'listen', ports: wanted, hold })) as Ports
    this.#ports = ports
    await Promise.all(this.#handles.slice(1).map((h) => h.call({ name: 'listen', ports, hold })))
    return ports
  }

  /** All workers or none: each compiles first, and only when all could does any of them change. */
  async apply(update: ConfigUpdate): Promise<void> {
    try {
      await this.#all({ name: 'prepare', update })
    } catch (error) {
      await Promise.allSettled(this.#handles.map((h) => h.call({ name: 'discard' })))
      throw error
    }
    this.#update = update
    this.#held = false
    await this.#all({ name: 'commit' })
  }

  /** Workers that are gone do not count: those that follow begin with what all have. */
  async #all(command: Command): Promise<void> {
    await Promise.all(
      this.#handles.map((h) =>
        h.call(command).catch((error: unknown) => {
          if (!h.gone) throw error
        }),
      ),
    )
  }

  /** Asks the first worker that answers: what it tells is the same in all. */
  async ask(control: Control): Promise<unknown> {
    const handle = this.#handles.find((h) => !h.gone) ?? this.#handles[0]!
    return atMost(STUCK_MS, handle.call({ name: 'control', control }))
  }

  /** Tells all workers, and those that follow. */
  async tell(control: Change): Promise<void> {
    // First: a worker that begins while the others are told must know it too.
    this.#changes = withChange(this.#changes, control)
    await this.#all({ name: 'control', control })
  }

  /** What has been told and still holds. */
  get changes(): readonly Change[] {
    return this.#changes
  }

  /** Tells all workers, and those that follow. Workers that die meanwhile do not count. */
  async publish(feed: Feed): Promise<void> {
    this.#feeds.set(feedKey(feed), feed)
    await this.#all({ name: 'feed', feed })
  }

  /** Nobody follows it any more. */
  unpublish(key: string): void {
    this.#feeds.delete(key)
  }

  /** A worker that does not answer in time is left out rather than waited for. */
  async metrics(): Promise<FamilySnapshot[][]> {
    if (this.#last !== null) return this.#last
    const all = await Promise.all(
      this.#handles.map((h) => atMost(SCRAPE_PATIENCE_MS, h.call({ name: 'metrics' })).catch(() => null)),
    )
    return all.filter((m) => m !== null) as FamilySnapshot[][]
  }

  async beginDrain(): Promise<void> {
    this.#stopping = true
    await Promise.allSettled(this.#handles.map((h) => atMost(STUCK_MS, h.call({ name: 'beginDrain' }))))
  }

  /** Resolves with the number of requests that had to be cut. */
  async drain(maxMs: number): Promise<number> {
    this.#stopping = true
    const cut = await Promise.allSettled(
      this.#handles.map((h) => atMost(maxMs + END_MS, h.call({ name: 'drain', maxMs }))),
    )
    this.#last = await this.metrics()
    await Promise.all(this.#handles.map((h) => h.stop()))
    return cut.reduce((sum, result) => sum + (result.status === 'fulfilled' ? Number(result.value) : 0), 0)
  }
}
