/**
 * Child of bench/policy.ts: one connection of HTTP/2 with one request made once, sent again and again. Two a millisecond, or all of ten
 * milliseconds at once. It answers nothing but time: a client of a library would take the core of whom it measures.
 * Reports LoadReport as JSON on its only line of output.
 */
import { connect } from 'node:net'
import { writeFrameHead } from '../src/protocol/http2/output.ts'
import { encodeHeaders } from '../src/protocol/http2/hpack-encoder.ts'
import { HpackDecoder } from '../src/protocol/http2/hpack-decoder.ts'
import { Flag, Frame, FRAME_HEAD } from '../src/protocol/http2/constants.ts'
import { headerOf } from '../src/protocol/http2/head.ts'
import { Histogram } from './histogram.ts'

export interface H2Plan {
  readonly port: number
  /** Flat, with pseudo-headers. */
  readonly headers: readonly string[]
  /** Base64. */
  readonly body: string
  /** What is looked at of an answer: the status of gRPC beside that of HTTP. */
  readonly grpc: boolean
  /** At least this many bytes of body has every answer that is good. */
  readonly least: number
  readonly rate: number
  /** Ms from one sending to the next; 1 is even. */
  readonly everyMs: number
  readonly warmMs: number
  readonly durationMs: number
}

export interface LoadReport {
  readonly n: number
  readonly bad: number
  /** Ms from the write of a request to its end. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** Ms by which this client was late to send. */
  readonly lateP99: number
}

/** Where each number of stream is noted; more are never open. */
const OPEN = 8192

const plan = JSON.parse(process.argv[2]!) as H2Plan
const head = encodeHeaders(plan.headers)
const body = Buffer.from(plan.body, 'base64')
const template = Buffer.alloc(2 * FRAME_HEAD + head.length + body.length)
writeFrameHead(template, 0, Frame.HEADERS, Flag.END_HEADERS, 0, head.length)
template.set(head, FRAME_HEAD)
writeFrameHead(template, FRAME_HEAD + head.length, Frame.DATA, Flag.END_STREAM, 0, body.length)
template.set(body, 2 * FRAME_HEAD + head.length)

const sentAt = new Float64Array(OPEN)
const bodyBytes = new Uint32Array(OPEN)
const latencies = new Histogram()
const lateness = new Histogram()
const decoder = new HpackDecoder(1 << 20)
let bad = 0
let nextId = 1
let open = 0
let measuring = false
const at = (id: number): number => (id >>> 1) % OPEN

const socket = connect({ port: plan.port, host: '127.0.0.1', noDelay: true })

function send(count: number): void {
  const out = Buffer.allocUnsafeSlow(template.length * count)
  const now = performance.now()
  for (let i = 0; i < count; i++) {
    const from = i * template.length
    template.copy(out, from)
    out.writeUInt32BE(nextId, from + 5)
    out.writeUInt32BE(nextId, from + FRAME_HEAD + head.length + 5)
    sentAt[at(nextId)] = measuring ? now : -1
    bodyBytes[at(nextId)] = 0
    nextId += 2
  }
  open += count
  if (open > OPEN) throw new Error('the server is far too late')
  socket.write(out)
}

/** 200, behind a change of the table's size that may come first. */
function isGood(bytes: Buffer, from: number): boolean {
  let i = from
  while ((bytes[i]! & 0xe0) === 0x20) {
    if ((bytes[i]! & 0x1f) === 0x1f) while (bytes[++i]! >= 0x80);
    i++
  }
  return bytes[i] === 0x88
}

const started = new Uint8Array(OPEN)

function onHeaders(id: number, bytes: Buffer, from: number, to: number): void {
  const first = started[at(id)] === 0
  started[at(id)] = 1
  if (first && !isGood(bytes, from)) bad++
  const { head: fields } = decoder.decode(bytes, from, to, !first)
  if (!first && plan.grpc && headerOf(fields?.headers ?? [], 'grpc-status') !== '0') bad++
}

function onEnd(id: number, now: number): void {
  started[at(id)] = 0
  open--
  if (bodyBytes[at(id)]! < plan.least) bad++
  const sent = sentAt[at(id)]!
  if (sent >= 0) latencies.add((now - sent) * 1000)
}

function onFrame(bytes: Buffer, from: number, now: number, length: number): void {
  const type = bytes[from + 3]!
  const flags = bytes[from + 4]!
  const id = bytes.readUInt32BE(from + 5)
  const start = from + FRAME_HEAD
  if (type === Frame.DATA) {
    bodyBytes[at(id)]! += length
    if (flags & Flag.END_STREAM) onEnd(id, now)
  } else if (type === Frame.HEADERS) {
    onHeaders(id, bytes, start, start + length)
    if (flags & Flag.END_STREAM) onEnd(id, now)
  } else if (type === Frame.SETTINGS && (flags & Flag.ACK) === 0) socket.write(ack)
  else if (type === Frame.RST_STREAM) bad++
  else if (type === Frame.GOAWAY) throw new Error(`told to go: ${bytes.readUInt32BE(start + 4)}`)
}

const ack = Buffer.alloc(FRAME_HEAD)
writeFrameHead(ack, 0, Frame.SETTINGS, Flag.ACK, 0, 0)

let rest: Buffer = Buffer.alloc(0)
socket.on('data', (chunk: Buffer) => {
  const now = performance.now()
  const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
  let from = 0
  while (bytes.length - from >= FRAME_HEAD) {
    const length = bytes.readUIntBE(from, 3)
    if (bytes.length - from < FRAME_HEAD + length) break
    onFrame(bytes, from, now, length)
    from += FRAME_HEAD + length
  }
  rest = bytes.subarray(from)
})
socket.on('error', (error) => {
  throw error
})

function begin(): void {
  const settings = Buffer.alloc(FRAME_HEAD + 13)
  writeFrameHead(settings, 0, Frame.SETTINGS, 0, 0, 0)
  writeFrameHead(settings, FRAME_HEAD, Frame.WINDOW_UPDATE, 0, 0, 4)
  settings.writeUInt32BE(0x7fff_0000 - 65_535, 2 * FRAME_HEAD)
  socket.write(
    Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings.subarray(0, 2 * FRAME_HEAD + 4)]),
  )
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

/** By the clock, not by the ticks: one that is late sends what it owes. */
async function run(ms: number): Promise<void> {
  const start = performance.now()
  let done = 0
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const passed = performance.now() - start
      const due = Math.min(Math.floor(passed / plan.everyMs) * plan.everyMs, ms) * (plan.rate / 1000)
      const count = Math.floor(due) - done
      if (count > 0) {
        if (measuring) lateness.add((passed - (done / plan.rate) * 1000 - plan.everyMs) * 1000)
        done += count
        send(count)
      }
      if (passed < ms) return
      clearInterval(timer)
      resolve()
    }, 1)
  })
}

await new Promise<void>((resolve) => void socket.once('connect', resolve))
begin()
await wait(50)
await run(plan.warmMs)
measuring = true
await run(plan.durationMs)
// What is still open then counts as bad.
await wait(500)
const ms = (share: number): number => (latencies.percentile(share) ?? Number.NaN) / 1000
const report: LoadReport = {
  n: latencies.count,
  bad: bad + open,
  p50: ms(0.5),
  p99: ms(0.99),
  p999: ms(0.999),
  lateP99: (lateness.percentile(0.99) ?? 0) / 1000,
}
console.log(JSON.stringify(report))
socket.destroy()
