/**
 * An OpenAI-compatible backend that costs next to nothing: HTTP/1.1 by hand on node:net, every answer prepared at start.
 * It trusts its clients (gateways under test) to send sane requests with content-length or nothing; it is no HTTP server.
 *
 * `GET /config?chunks=32&interval=0&latency=0` sets what later answers do (milliseconds; interval -1 = after the first
 * chunk no more ever), `GET /stats` reports counters, `GET /reset` zeroes them.
 */
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { CHAT_ANSWER, EMBEDDING_ANSWER, SSE_CHUNK, SSE_DONE, SSE_HEAD, SSE_ROLE, jsonAnswer } from './mock-answers.ts'

const settings = { chunks: 32, interval: 0, latency: 0 }
const stats = { requests: 0, chat: 0, streams: 0, embeddings: 0, other: 0, chunks: 0, aborted: 0, openStreams: 0 }

const STREAM_FLAG = /"stream"\s*:\s*true/
const HEAD_END = Buffer.from('\r\n\r\n')
const LENGTH = /\r\ncontent-length: *(\d+)/i

/** Streams without pace, served one chunk each in turn, so that a gateway sees many streams at once and not one after another. */
const unpaced = new Set<Client>()
let turning = false

const turn = (): void => {
  for (const client of unpaced) client.step()
  turning = unpaced.size > 0
  if (turning) setImmediate(turn)
}

class Client {
  readonly #socket: Socket
  #pending: Buffer | null = null
  #left = 0
  #timer: NodeJS.Timeout | null = null
  streaming = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      if (this.streaming) stats.aborted++
      this.#endStream()
    })
    socket.on('drain', () => {
      if (this.streaming && settings.interval === 0) this.#enlist()
    })
  }

  #onData(chunk: Buffer): void {
    const data = this.#pending === null ? chunk : Buffer.concat([this.#pending, chunk])
    const headEnd = data.indexOf(HEAD_END)
    const length = headEnd < 0 ? 0 : Number(LENGTH.exec(data.toString('latin1', 0, headEnd))?.[1] ?? 0)
    if (headEnd < 0 || data.length < headEnd + 4 + length) {
      this.#pending = data
      return
    }
    this.#pending = null
    const line = data.toString('latin1', 0, data.indexOf(13))
    const body = data.subarray(headEnd + 4, headEnd + 4 + length)
    if (settings.latency > 0) setTimeout(() => this.#answer(line, body), settings.latency)
    else this.#answer(line, body)
    const rest = data.subarray(headEnd + 4 + length)
    if (rest.length > 0) this.#onData(rest)
  }

  #answer(line: string, body: Buffer): void {
    if (line.includes('/chat/completions')) {
      stats.requests++
      // `stream` stands at the beginning or the end of what clients send; a long prompt in between is not searched.
      const ends =
        body.length > 4096
          ? body.toString('latin1', 0, 512) + body.toString('latin1', body.length - 512)
          : body.toString('latin1')
      if (STREAM_FLAG.test(ends)) this.#stream()
      else {
        stats.chat++
        this.#socket.write(CHAT_ANSWER)
      }
    } else if (line.includes('/embeddings')) {
      stats.requests++
      stats.embeddings++
      this.#socket.write(EMBEDDING_ANSWER)
    } else this.#control(line)
  }

  #control(line: string): void {
    const url = new URL(line.split(' ')[1] ?? '/', 'http://mock')
    if (url.pathname === '/config') {
      for (const [key, value] of url.searchParams) {
        if (key in settings) settings[key as keyof typeof settings] = Number(value)
      }
      this.#socket.write(jsonAnswer(JSON.stringify(settings)))
    } else if (url.pathname === '/reset') {
      const { openStreams } = stats
      for (const key of Object.keys(stats)) stats[key as keyof typeof stats] = 0
      stats.openStreams = openStreams
      this.#socket.write(jsonAnswer(JSON.stringify(stats)))
    } else {
      if (url.pathname !== '/stats') stats.other++
      this.#socket.write(jsonAnswer(JSON.stringify(stats)))
    }
  }

  #stream(): void {
    stats.streams++
    stats.openStreams++
    this.streaming = true
    this.#left = settings.chunks
    this.#socket.cork()
    this.#socket.write(SSE_HEAD)
    this.#socket.write(SSE_ROLE)
    this.#socket.uncork()
    if (settings.interval === 0) this.#enlist()
    else {
      this.step()
      if (settings.interval > 0) this.#timer = setInterval(() => this.step(), settings.interval)
    }
  }

  #enlist(): void {
    unpaced.add(this)
    if (turning) return
    turning = true
    setImmediate(turn)
  }

  /** Sends the next chunk, or the end. */
  step(): void {
    if (this.#left > 0) {
      this.#left--
      stats.chunks++
      // A slow reader is waited for: `drain` puts the stream back.
      if (!this.#socket.write(SSE_CHUNK)) unpaced.delete(this)
      return
    }
    this.#endStream()
    this.#socket.write(SSE_DONE)
  }

  #endStream(): void {
    unpaced.delete(this)
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    if (!this.streaming) return
    this.streaming = false
    stats.openStreams--
  }
}

const port = Number(process.argv[2] ?? 0)
const server = createServer({ noDelay: true }, (socket) => new Client(socket))
server.listen({ port, host: '127.0.0.1', backlog: 4096 }, () => {
  const address = server.address()
  console.log(`listening on ${typeof address === 'object' && address !== null ? address.port : port}`)
})
