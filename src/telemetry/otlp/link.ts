import type { MessagePort } from 'node:worker_threads'
import type { SpanBatchConfig } from '../../contracts/config-tracing.ts'

/** How a thread that serves requests reaches the telemetry thread. Can be sent to another thread, its port transferred. */
export interface TelemetryLink {
  readonly port: MessagePort
  /** Of Counts. */
  readonly counts: SharedArrayBuffer
  readonly json: boolean
  readonly batch: SpanBatchConfig
}

/** Spans one after the other, as written by span-proto.ts or span-json.ts. */
export interface SpanChunk {
  readonly spans: number
  readonly data: Uint8Array | string
}

const QUEUED = 0
const EXPORTED = 1
const DROPPED = 2
const FAILED = 3
const BYTES = 4
const SLOTS = 5

/** What became of the spans of the process, counted by all threads in shared memory. */
export class Counts {
  readonly buffer: SharedArrayBuffer
  readonly #slots: BigInt64Array

  constructor(buffer = new SharedArrayBuffer(SLOTS * 8)) {
    this.buffer = buffer
    this.#slots = new BigInt64Array(buffer)
  }

  #read(slot: number): number {
    return Number(Atomics.load(this.#slots, slot))
  }

  /** Handed over and not yet exported or lost. */
  get queued(): number {
    return this.#read(QUEUED)
  }

  get exported(): number {
    return this.#read(EXPORTED)
  }

  /** There was no room for them. */
  get dropped(): number {
    return this.#read(DROPPED)
  }

  /** The collector did not take them. */
  get failed(): number {
    return this.#read(FAILED)
  }

  /** Of what is handed over. */
  get queuedBytes(): number {
    return this.#read(BYTES)
  }

  handOver(spans: number, bytes: number): void {
    Atomics.add(this.#slots, QUEUED, BigInt(spans))
    Atomics.add(this.#slots, BYTES, BigInt(bytes))
  }

  drop(spans: number): void {
    Atomics.add(this.#slots, DROPPED, BigInt(spans))
  }

  /** Of so many that were handed over these were not taken. */
  done(spans: number, failed: number, bytes: number): void {
    Atomics.sub(this.#slots, QUEUED, BigInt(spans))
    Atomics.sub(this.#slots, BYTES, BigInt(bytes))
    Atomics.add(this.#slots, EXPORTED, BigInt(spans - failed))
    if (failed > 0) Atomics.add(this.#slots, FAILED, BigInt(failed))
  }
}
