import { Agent, request } from 'node:http'
import type { EndpointSet, Member, Scraper, ScraperParts } from '../../contracts/cluster.ts'
import { systemClock } from '../../core/clock.ts'
import { everyUnref } from '../../core/every.ts'
import { ClusterMemory } from './cluster-memory.ts'
import { signalsOfMetrics } from './metrics-text.ts'

/** Longer answers are not read to their end, bytes. */
const MAX_BYTES = 4 * 1024 * 1024
const LONGEST_WAIT_MS = 2000
/** Members are not all asked at the same moment: the interval is cut into so many parts. */
const PARTS = 10
const MIN_TICK_MS = 10

/** Asks members for their metrics, over connections that are kept. */
class MetricsScraper implements Scraper {
  readonly #parts: ScraperParts
  readonly #memory: ClusterMemory
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 })
  readonly #busy = new Set<string>()
  /** Members that gave no metrics when they were last asked: said once, and once more when they do again. */
  readonly #silent = new Set<string>()
  readonly #stop: () => void
  readonly #timeoutMs: number
  #set: EndpointSet
  #turn = 0
  #closed = false

  constructor(parts: ScraperParts) {
    this.#parts = parts
    this.#set = parts.set
    const { intervalMs } = parts.config
    this.#memory = new ClusterMemory(parts.memory, { worker: 0, workers: parts.workers })
    this.#timeoutMs = Math.min(LONGEST_WAIT_MS, Math.max(intervalMs, 100))
    this.#stop = everyUnref(() => this.#tick(), Math.max(MIN_TICK_MS, intervalMs / PARTS))
  }

  update(set: EndpointSet): void {
    this.#set = set
    const known = new Set(set.members.map(({ address }) => address))
    for (const address of this.#silent) if (!known.has(address)) this.#silent.delete(address)
  }

  #tick(): void {
    const part = this.#turn++ % PARTS
    for (const member of this.#set.members)
      if (member.slot % PARTS === part && !this.#busy.has(member.address)) this.#ask(member)
  }

  #ask(member: Member): void {
    const { path, port } = this.#parts.config
    const { address, host } = member
    const generation = this.#memory.generation(member.slot)
    this.#busy.add(address)
    let over = false
    const end = (text: string | null, cause: string): void => {
      if (over) return
      over = true
      stopTimer()
      this.#busy.delete(address)
      if (!this.#closed) this.#note(member, generation, text, cause)
    }
    const asked = request(
      { host, port: port ?? member.port, path, agent: this.#agent, headers: { accept: 'text/plain' } },
      (response) => {
        if (response.statusCode !== 200) {
          end(null, `status ${response.statusCode}`)
          // Its body may never end, and no timer is left.
          asked.destroy()
          return
        }
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes <= MAX_BYTES) chunks.push(chunk)
          else {
            end(null, 'too large')
            asked.destroy()
          }
        })
        response.on('end', () => end(Buffer.concat(chunks).toString('latin1'), ''))
        response.on('error', () => end(null, 'broken answer'))
      },
    )
    asked.on('error', (error: NodeJS.ErrnoException) => end(null, error.code ?? 'failed'))
    const stopTimer = everyUnref(() => {
      end(null, `no answer within ${this.#timeoutMs} ms`)
      asked.destroy()
    }, this.#timeoutMs)
    asked.end()
  }

  #note(member: Member, generation: number, text: string | null, cause: string): void {
    const { config, cluster, log } = this.#parts
    const signals = text === null ? null : signalsOfMetrics(text, config.engine)
    // While it was asked its place may have gone to another.
    if (signals !== null && this.#memory.generation(member.slot) === generation)
      this.#memory.signals(member.slot, signals, systemClock.monotonic())
    const { address } = member
    const silent = signals === null
    if (silent === this.#silent.has(address)) return
    const fields = { provider: cluster, endpoint: address }
    if (silent) {
      this.#silent.add(address)
      log('warn', { ...fields, err: cause || 'no metric that is known' }, 'an endpoint does not tell its load')
    } else {
      this.#silent.delete(address)
      log('info', fields, 'the endpoint tells its load again')
    }
  }

  close(): void {
    this.#closed = true
    this.#stop()
    this.#agent.destroy()
  }
}

/** Begins at once. What it reads stands in the cluster's memory, where all workers see it. */
export const createScraper = (parts: ScraperParts): Scraper => new MetricsScraper(parts)
