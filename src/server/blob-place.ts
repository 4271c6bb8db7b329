import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { HeddleConfig } from '../contracts/config.ts'
import type { MemoryBlobs } from '../store/blobs-memory.ts'

/**
 * What clients may come back for, in the memory of the main thread: one for all workers, which ask over ports. Loaded when
 * a configuration first wants it; once there it stays, so that a reload loses nothing.
 */
export class BlobPlace {
  #memory: MemoryBlobs | null = null
  #serve: ((port: MessagePort) => void) | null = null
  /** Of workers that began before it was wanted. */
  #waiting: MessagePort[] = []

  /** Before workers are told of the configuration. */
  async use({ responses }: HeddleConfig): Promise<void> {
    if (responses?.store !== 'memory') return
    if (this.#memory === null) {
      const { MemoryBlobs } = await import('../store/blobs-memory.ts')
      const { serveBlobs } = await import('../store/blobs-port.ts')
      this.#memory = new MemoryBlobs(responses.maxBytes)
      this.#serve = (port) => serveBlobs(port, () => this.#memory)
      for (const port of this.#waiting.splice(0)) this.#serve(port)
    }
    this.#memory.resize(responses.maxBytes)
  }

  /** A worker's end; to be transferred to its thread. What it asks before there is a store waits. */
  link(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    if (this.#serve === null) {
      this.#waiting.push(port1)
      port1.unref()
    } else this.#serve(port1)
    return port2
  }

  close(): void {
    this.#memory?.close()
    this.#memory = null
  }
}
