// Raw sockets and answers for the tests of hostile input: nothing here corrects what a test sends.
import { connect, type Socket } from 'node:net'
import { expect } from 'vitest'

export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface RawResult {
  readonly answers: readonly RawAnswer[]
  /** The gateway closed the connection. */
  readonly closed: boolean
  readonly text: string
}

export const open = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket))
    socket.setNoDelay(true)
    socket.once('error', reject)
  })

export interface RawOptions {
  /** Answers to wait for; without a close by the gateway. */
  readonly answers?: number
  /** Give up after this; ms. */
  readonly patience?: number
  /** Wait for the gateway's close even when all answers are here. */
  readonly untilClose?: boolean
  readonly end?: boolean
}

/** Sends bytes as they are and reads answers until the gateway closes, or `answers` of them are here. */
export async function raw(
  port: number,
  bytes: string | Buffer | readonly (string | Buffer)[],
  options: RawOptions = {},
): Promise<RawResult> {
  const { answers = 1, patience = 5000, untilClose = false, end = false } = options
  const socket = await open(port)
  const chunks: Buffer[] = []
  let closed = false
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, patience)
    const finish = (): void => {
      clearTimeout(timer)
      resolve()
    }
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (!untilClose && parseAnswers(Buffer.concat(chunks)).filter((a) => a.status >= 200).length >= answers) finish()
    })
    const gone = (): void => {
      closed = true
      finish()
    }
    socket.on('end', gone)
    socket.on('close', gone)
    socket.on('error', gone)
    for (const piece of typeof bytes === 'string' || Buffer.isBuffer(bytes) ? [bytes] : bytes) socket.write(piece)
    if (end) socket.end()
  })
  socket.destroy()
  const all = Buffer.concat(chunks)
  return { answers: parseAnswers(all), closed, text: all.toString('latin1') }
}

/** Whole HTTP/1.1 answers in the order in which they came; bytes that are none end the list. */
export function parseAnswers(bytes: Buffer): RawAnswer[] {
  const answers: RawAnswer[] = []
  let at = 0
  while (at < bytes.length) {
    const headEnd = bytes.indexOf('\r\n\r\n', at)
    if (headEnd < 0) break
    const [first = '', ...lines] = bytes.toString('latin1', at, headEnd).split('\r\n')
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? NaN)
    if (Number.isNaN(status)) break
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    const from = headEnd + 4
    const body = bodyAt(bytes, from, headers, status)
    if (body === null) break
    answers.push({ status, headers, body: body.text })
    at = body.end
  }
  return answers
}

function bodyAt(
  bytes: Buffer,
  from: number,
  headers: Readonly<Record<string, string>>,
  status: number,
): { text: string; end: number } | null {
  if (status < 200 || status === 204 || status === 304) return { text: '', end: from }
  if (headers['transfer-encoding'] !== 'chunked') {
    const end = from + Number(headers['content-length'] ?? bytes.length - from)
    return end > bytes.length ? null : { text: bytes.toString('utf8', from, end), end }
  }
  let text = ''
  let at = from
  for (;;) {
    const line = bytes.indexOf('\r\n', at)
    if (line < 0) return null
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16)
    const end = line + 2 + size
    if (Number.isNaN(size) || end + 2 > bytes.length) return null
    if (size === 0) return { text, end: end + 2 }
    text += bytes.toString('utf8', line + 2, end)
    at = end + 2
  }
}

/** Every error has all four keys, the request id of its header, and says that it is JSON. */
export function expectEnvelope(answer: RawAnswer | undefined, status: number, code: string): void {
  expect(`${answer?.status} ${answer?.status === status ? '' : answer?.body}`).toBe(`${status} `)
  expect(answer!.headers['content-type']).toMatch(/^application\/json/)
  const { error } = JSON.parse(answer!.body) as { error: Record<string, unknown> }
  expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'request_id', 'type'])
  expect(error['code']).toBe(code)
  expect(typeof error['message']).toBe('string')
  expect(error['request_id']).toBe(answer!.headers['x-request-id'])
}

export const chatBody = (extra: object = {}): string =>
  JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hi' }], ...extra })

/** A request as bytes: header lines as given, content-length only when a body is. */
export function post(path: string, headers: readonly string[], body: string | Buffer = ''): Buffer {
  const length = Buffer.byteLength(body)
  const lines = [
    `POST ${path} HTTP/1.1`,
    'host: test',
    ...headers,
    ...(length > 0 ? [`content-length: ${length}`] : []),
    '',
    '',
  ]
  return Buffer.concat([Buffer.from(lines.join('\r\n'), 'latin1'), Buffer.from(body)])
}

export const CHAT = '/v1/chat/completions'
export const JSON_TYPE = 'content-type: application/json'

export const portOf = (url: string): number => Number(new URL(url).port)
