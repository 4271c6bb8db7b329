import type { MessagePort } from 'node:worker_threads'
import type { BlobStore } from '../contracts/blobs.ts'
import type { HeddleConfig } from '../contracts/config.ts'
import type { BatchesConfig } from '../contracts/config-responses.ts'
import type { GatewayError } from '../core/errors.ts'
import type { Services } from '../pipeline/services.ts'
import type { BatchesParts } from '../pipeline/state/batch/index.ts'
import type { ResponseState } from '../pipeline/state/index.ts'
import type { ShelfParts } from '../pipeline/state/shelf.ts'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import { HeldPool, type Held } from '../core/held-pool.ts'

export interface StateKitParts {
  readonly metrics: MetricRegistry
  readonly log: Services['log']
  /** To the store of the main thread; null = there is none. */
  readonly blobs: MessagePort | null
  /** +1 and -1 around what goes on without its client. */
  readonly inflight: (change: number) => void
  /** Of the worker: not before it serves. */
  readonly services: () => Services
  /** Keys that may not be used any more, by the word of operators. */
  readonly revoked: (keyId: string) => boolean
}

interface Opened {
  readonly store: BlobStore
  /** It answers, or has been waited for long enough. */
  readonly ready: Promise<boolean>
}

/** A store in Redis is waited for at the start, at most, ms. */
const REDIS_MS = 1000

/** What is kept for clients to come back for, as one worker has it. Nothing is loaded before it is configured. */
export class StateKit {
  readonly #parts: StateKitParts
  #port: BlobStore | null = null
  readonly #ending = new Set<Promise<void>>()
  readonly #states = new HeldPool<Opened & { readonly state: ResponseState }>(({ state, store }) => {
    const ending = state.close().finally(() => {
      if (store !== this.#port) store.close()
      this.#ending.delete(ending)
    })
    this.#ending.add(ending)
  })

  constructor(parts: StateKitParts) {
    this.#parts = parts
  }

  /** null = nothing is kept. Configurations that say the same share it, with all that is under way. */
  async of(config: HeddleConfig, hold: <T>(held: Held<T>) => T): Promise<ResponseState | null> {
    const { responses, ledger, batches } = config
    if (responses === null) return null
    const kit = batches === null ? null : (await import('../pipeline/state/batch/index.ts')).Batches
    const { ResponseState: State } = await import('../pipeline/state/index.ts')
    const open = await this.#opener(config)
    const key = JSON.stringify([responses, batches, responses.store === 'redis' ? ledger.redis : null])
    const { inflight } = this.#parts
    const held = hold(
      this.#states.acquire(key, () => {
        const { store, ready } = open()
        const own = kit === null ? null : new kit(this.#batchParts(store, batches!))
        const state = new State({ store, config: responses, inflight, onFault: this.#onFault, batches: own })
        return { state, store, ready }
      }),
    )
    // The first requests should find it.
    await held.ready
    return held.state
  }

  readonly #onFault: ShelfParts['onFault'] = (operation, fault) => {
    const help = 'Answers, files and batches that could not be kept, or read again.'
    this.#parts.metrics.counter('heddle_responses_store_faults_total', help, { operation, fault }).value++
  }

  #batchParts(store: BlobStore, config: BatchesConfig): BatchesParts {
    const { inflight, services, revoked, log, metrics } = this.#parts
    const help = 'Lines of batches that ran here, by how they ended.'
    return {
      store,
      config,
      inflight,
      services,
      revoked,
      log,
      onFault: this.#onFault,
      onLine: (result) => void metrics.counter('heddle_batch_lines_total', help, { result }).value++,
    }
  }

  async #opener({ responses, ledger }: HeddleConfig): Promise<() => Opened> {
    if (responses!.store === 'memory') {
      const { PortBlobs } = await import('../store/blobs-port.ts')
      return () => ({ store: (this.#port ??= new PortBlobs(this.#parts.blobs!)), ready: Promise.resolve(true) })
    }
    const { RedisBlobs } = await import('../store/blobs-redis.ts')
    const { SealedBlobs } = await import('../store/blobs-sealed.ts')
    const { log } = this.#parts
    return () => {
      const redis = new RedisBlobs(ledger.redis!, (level, message, fields) => log(level, fields, message))
      return { store: new SealedBlobs(redis, responses!.keys), ready: redis.ready(REDIS_MS) }
    }
  }

  /** Ends what goes on without clients. */
  failOpen(error: GatewayError): void {
    for (const { state } of this.#states.values()) state.failOpen(error)
  }

  /** Resolves when all that is over is kept. */
  async end(): Promise<void> {
    await Promise.allSettled([...this.#states.values().map(({ state }) => state.close()), ...this.#ending])
    for (const { store } of this.#states.values()) store.close()
  }
}
