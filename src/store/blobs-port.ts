import type { MessagePort } from 'node:worker_threads'
import type { BlobStore } from '../contracts/blobs.ts'
import { BlobRefused, type BlobFault } from './blob-refused.ts'

type Call =
  | { readonly op: 'get'; readonly key: string; readonly ms: number }
  | { readonly op: 'put' | 'claim'; readonly key: string; readonly value: Uint8Array; readonly ms: number }
  | { readonly op: 'delete' | 'notes'; readonly key: string }
  | {
      readonly op: 'note'
      readonly key: string
      readonly field: string
      readonly value: Uint8Array
      readonly ms: number
    }
  | { readonly op: 'forget'; readonly key: string; readonly field: string }

interface Reply {
  readonly id: number
  readonly value?: unknown
  readonly fault?: BlobFault
  readonly reason?: string
}

function run(store: BlobStore, call: Call): Promise<unknown> {
  switch (call.op) {
    case 'get':
      return store.get(call.key, call.ms)
    case 'put':
      return store.put(call.key, call.value, call.ms)
    case 'claim':
      return store.claim(call.key, call.value, call.ms)
    case 'delete':
      return store.delete(call.key)
    case 'note':
      return store.note(call.key, call.field, call.value, call.ms)
    case 'notes':
      return store.notes(call.key)
    case 'forget':
      return store.forget(call.key, call.field)
  }
}

/** Answers what a worker asks over a port; the port does not keep the process alive. null = the store is off. */
export function serveBlobs(port: MessagePort, store: () => BlobStore | null): void {
  port.on('message', (call: Call & { readonly id: number }) => {
    const there = store()
    const done = there === null ? Promise.reject(new BlobRefused('away', 'off')) : run(there, call)
    done.then(
      (value) => port.postMessage({ id: call.id, value } satisfies Reply),
      (error: unknown) => {
        const fault = error instanceof BlobRefused ? error.fault : 'away'
        port.postMessage({ id: call.id, fault, reason: String(error) } satisfies Reply)
      },
    )
  })
  port.unref()
}

/** The store of the main thread, as a worker sees it. One for each port. */
export class PortBlobs implements BlobStore {
  readonly durable = false
  readonly #port: MessagePort
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #nextId = 1

  constructor(port: MessagePort) {
    this.#port = port
    port.on('message', ({ id, value, fault, reason = '' }: Reply) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (this.#waiting.size === 0) port.unref()
      if (fault === undefined) waiting?.resolve(value)
      else waiting?.reject(new BlobRefused(fault, reason))
    })
    port.on('close', () => this.#giveUp())
    port.unref()
  }

  #giveUp(): void {
    for (const { reject } of this.#waiting.values()) reject(new BlobRefused('away', 'closed'))
    this.#waiting.clear()
  }

  async #ask(call: Call): Promise<unknown> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#port.ref()
      // Copied: what a caller hands over it may go on to use.
      this.#port.postMessage({ ...call, id })
    })
  }

  async get(key: string, touchMs: number): Promise<Uint8Array | null> {
    return (await this.#ask({ op: 'get', key, ms: touchMs })) as Uint8Array | null
  }
  async put(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    await this.#ask({ op: 'put', key, value: own(value), ms: ttlMs })
  }
  async claim(key: string, value: Uint8Array, ttlMs: number): Promise<boolean> {
    return (await this.#ask({ op: 'claim', key, value: own(value), ms: ttlMs })) as boolean
  }
  async delete(key: string): Promise<boolean> {
    return (await this.#ask({ op: 'delete', key })) as boolean
  }
  async note(list: string, field: string, value: Uint8Array, ttlMs: number): Promise<void> {
    await this.#ask({ op: 'note', key: list, field, value: own(value), ms: ttlMs })
  }
  async notes(list: string): Promise<readonly Uint8Array[]> {
    return (await this.#ask({ op: 'notes', key: list })) as readonly Uint8Array[]
  }
  async forget(list: string, field: string): Promise<void> {
    await this.#ask({ op: 'forget', key: list, field })
  }
  close(): void {
    this.#giveUp()
  }
}

/** A message copies the whole memory that a view looks at: of a slice of Node's pool that is 64 KiB for a few bytes. */
const own = (value: Uint8Array): Uint8Array =>
  value.byteLength === value.buffer.byteLength ? value : new Uint8Array(value)
