/**
 * Child of bench/mesh.ts. `gateway CONFIG`: a gateway in this process, told by messages to begin and to end a measurement.
 * `sink`: a collector that takes everything and keeps nothing. `backend`: answers at once.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { serve } from '../src/server.ts'

const RESOLUTION_MS = 1
const ANSWER = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'gpt-4o-mini',
  choices: [{ index: 0, message: { role: 'assistant', content: 'y'.repeat(400) }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 50, completion_tokens: 100, total_tokens: 150 },
})

/** What a gateway says at the end of a measurement. CPU is microseconds since the last `begin`. */
export interface Measured {
  /** Of the thread that serves, and of the whole process: the telemetry thread is the difference, and garbage collection. */
  readonly threadMicros: number
  readonly processMicros: number
  /** Ms by which the event loop was late. */
  readonly delayP99: number
  readonly delayP999: number
  readonly delayMax: number
}

const say = (message: object): void => void process.send!(message)

async function gateway(config: string, quiet: boolean): Promise<void> {
  const server = await serve({ config, port: 0, adminPort: 0 }, { signals: false, quiet: true })
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  // Not where answers are timed: it wakes the thread every millisecond.
  if (!quiet) delay.enable()
  let thread = process.threadCpuUsage()
  let whole = process.cpuUsage()
  const late = (nanos: number): number => Math.max(0, nanos / 1e6 - RESOLUTION_MS)
  process.on('message', (order: string) => {
    if (order === 'begin') {
      thread = process.threadCpuUsage()
      whole = process.cpuUsage()
      delay.reset()
      say({ begun: true })
      return
    }
    const t = process.threadCpuUsage(thread)
    const p = process.cpuUsage(whole)
    say({
      threadMicros: t.user + t.system,
      processMicros: p.user + p.system,
      delayP99: late(delay.percentile(99)),
      delayP999: late(delay.percentile(99.9)),
      delayMax: late(delay.max),
    } satisfies Measured)
  })
  say({ port: Number(new URL(server.url).port), admin: server.adminUrl, policy: server.ports.policy })
}

function listen(answer: string, type: string): void {
  let bytes = 0
  const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    req.on('end', () => {
      res.writeHead(200, { 'content-type': type, 'content-length': answer.length })
      res.end(answer)
    })
  })
  process.on('message', () => say({ bytes }))
  server.listen(0, '127.0.0.1', () => say({ port: (server.address() as AddressInfo).port }))
}

const [role = '', config = '', option = ''] = process.argv.slice(2)
if (role === 'gateway') await gateway(config, option === 'quiet')
else if (role === 'sink') listen('', 'application/x-protobuf')
else if (role === 'backend') listen(ANSWER, 'application/json')
// The parent is gone: nobody would end this process.
process.on('disconnect', () => process.exit(0))
