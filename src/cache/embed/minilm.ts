import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Embedder, TextVector } from '../../contracts/semantic.ts'
import { atMost } from '../../core/sleep.ts'
import type { MiniLmAnswer, MiniLmFiles, MiniLmQuestion } from './minilm-worker.ts'

export interface MiniLmOptions {
  /** ONNX file that scripts/cache-model/minilm_onnx.py wrote. */
  readonly model: string
  /** vocab.txt beside the weights it was made of. */
  readonly vocabulary: string
  /** From the call of `embed`; later the text has no vector. */
  readonly deadlineMs: number
  /** Texts that wait or are computed; more have no vector at once. */
  readonly mostWaiting?: number
  /** File to import in place of the installed onnxruntime-node. */
  readonly runtime?: string
}

/**
 * all-MiniLM-L6-v2 in a thread of its own, by onnxruntime-node, which the operator installs: it is 288 MB of native
 * builds, too much to bring along. About 8 ms of CPU for a question. Make one with `startMiniLm`.
 */
export class MiniLmEmbedder implements Embedder {
  readonly version = 'minilm-l6-v2'
  readonly dimensions = 384
  readonly coverageFloor = 0.6
  readonly #thread: Worker
  readonly #deadlineMs: number
  readonly #mostWaiting: number
  readonly #waiting = new Map<number, (vector: TextVector | null) => void>()
  /** Resolves when the model is loaded; rejects when the thread ends before. */
  readonly ready: Promise<void>
  #nextId = 1
  #ended = false

  constructor(thread: Worker, options: MiniLmOptions) {
    this.#thread = thread
    this.#deadlineMs = options.deadlineMs
    this.#mostWaiting = options.mostWaiting ?? 32
    this.ready = new Promise((resolve, reject) => {
      thread.on('message', ({ id, vector }: MiniLmAnswer) => {
        if (id === 0) resolve()
        else this.#settle(id, vector)
      })
      // an error ends the thread: 'exit' follows
      thread.on('error', reject)
      thread.on('exit', () => {
        this.#ended = true
        for (const id of this.#waiting.keys()) this.#settle(id, null)
        reject(new Error('MiniLM: its thread ended'))
      })
    })
  }

  embed(text: string): Promise<TextVector | null> {
    // what is late still waits here: the thread is at it, and more would only be later
    if (this.#ended || this.#waiting.size >= this.#mostWaiting) return Promise.resolve(null)
    const id = this.#nextId
    this.#nextId += 1
    const made = new Promise<TextVector | null>((resolve) => {
      this.#waiting.set(id, resolve)
    })
    this.#thread.postMessage({ id, text } satisfies MiniLmQuestion)
    return atMost(this.#deadlineMs, made)
  }

  async close(): Promise<void> {
    await this.#thread.terminate()
  }

  #settle(id: number, vector: TextVector | null): void {
    const resolve = this.#waiting.get(id)
    this.#waiting.delete(id)
    resolve?.(vector)
  }
}

/** Starts the thread and loads the model, about 1.5 s. Rejects where the runtime is not installed or a file is wrong. */
export async function startMiniLm(options: MiniLmOptions): Promise<MiniLmEmbedder> {
  const own = import.meta.url.endsWith('.ts') ? './minilm-worker.ts' : './minilm-worker.js'
  const { model, vocabulary } = options
  const files: MiniLmFiles = { model, vocabulary, runtime: runtimeOf(options) }
  const thread = new Worker(new URL(own, import.meta.url), { workerData: files })
  const embedder = new MiniLmEmbedder(thread, options)
  await embedder.ready
  // it must not keep the process alive once it is loaded
  thread.unref()
  return embedder
}

function runtimeOf({ runtime }: MiniLmOptions): string {
  if (runtime !== undefined) return pathToFileURL(runtime).href
  // beside the gateway, or where it is started
  for (const place of [import.meta.url, pathToFileURL(`${process.cwd()}/`)]) {
    const found = resolved(place)
    if (found !== null) return pathToFileURL(found).href
  }
  throw new Error('MiniLM needs the package onnxruntime-node, which is not installed: npm install onnxruntime-node')
}

function resolved(place: string | URL): string | null {
  try {
    return createRequire(place).resolve('onnxruntime-node')
  } catch {
    return null
  }
}
