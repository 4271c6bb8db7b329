// A backend whose answers were damaged and come in arbitrary pieces. Clients must never hang, never get a 200 that is no
// answer, never an end marker that the backend did not send, and never anything of another request.
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Agent } from 'node:http'
import { call } from '../support/client.ts'
import { Chance, mutate, split } from './random.ts'

const DICTIONARY = [
  '\r\n',
  '\n',
  '\n\n',
  '\r',
  '\0',
  'data: ',
  'data:',
  'event: error\n',
  'event: x\n',
  ': comment\n',
  'data: [DONE]\n\n',
  'data: {"error":{"message":"x"}}\n\n',
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  'null',
  '\xff',
  '\xe2\x82',
  '\xef\xbb\xbf',
  'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\n\r\n',
  'Transfer-Encoding: chunked\r\n',
  'content-length: 3\r\n',
  'content-encoding: gzip\r\n',
  '0\r\n\r\n',
  'location: http://evil.example/\r\n',
  ' 302 ',
  ' 204 ',
  ' 101 ',
  ' 429 ',
  ' 500 ',
]

function answer(chance: Chance, id: string, stream: boolean): Buffer {
  const chunk = (delta: object, finish: string | null = null): string =>
    `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
  const body = stream
    ? `${chunk({ role: 'assistant' })}${chunk({ content: `mark-${id} ` })}${chunk({ content: 'Grüße 😀' })}${chunk({}, 'stop')}data: [DONE]\n\n`
    : JSON.stringify({
        id,
        object: 'chat.completion',
        choices: [{ index: 0, message: { role: 'assistant', content: `mark-${id} Grüße 😀` }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 1, completion_tokens: 2 },
      })
  const head = `HTTP/1.1 200 OK\r\ncontent-type: ${stream ? 'text/event-stream' : 'application/json'}\r\n`
  const bytes = Buffer.from(body)
  const framing = chance.below(3)
  if (framing === 0) return Buffer.concat([Buffer.from(`${head}content-length: ${bytes.length}\r\n\r\n`), bytes])
  if (framing === 1) return Buffer.concat([Buffer.from(`${head}connection: close\r\n\r\n`), bytes])
  const parts = split(chance, bytes, 4).map((part) =>
    Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]),
  )
  return Buffer.concat([Buffer.from(`${head}transfer-encoding: chunked\r\n\r\n`), ...parts, Buffer.from('0\r\n\r\n')])
}

export interface DamagedBackend {
  readonly url: string
  /** What went out for a request. */
  readonly sent: Map<string, Buffer>
  close(): void
}

/** Answers requests whose body names `seed-<n>` as `user` by what that seed makes of an answer. */
export async function damagedBackend(): Promise<DamagedBackend> {
  const sent = new Map<string, Buffer>()
  const sockets = new Set<Socket>()
  const reply = async (socket: Socket, request: string): Promise<void> => {
    const id = /"user":"(seed-\d+)"/.exec(request)?.[1] ?? 'none'
    const chance = new Chance(Number(id.slice(5)))
    const whole = answer(chance, id, request.includes('"stream":true'))
    const bytes = chance.maybe(0.8) ? mutate(chance, whole, 1 + chance.below(3), DICTIONARY) : whole
    sent.set(id, bytes)
    for (const piece of split(chance, bytes, 8)) {
      if (socket.destroyed) return
      socket.write(piece)
      if (chance.maybe(0.5)) await new Promise((resolve) => setImmediate(resolve))
    }
    const ending = chance.below(6)
    if (ending === 0) socket.resetAndDestroy()
    else if (ending <= 2 || bytes.includes('connection: close')) socket.end()
  }
  const server = createServer((socket) => {
    sockets.add(socket)
    let pending = ''
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    socket.on('data', (chunk: Buffer) => {
      pending += chunk.toString('latin1')
      const head = pending.indexOf('\r\n\r\n')
      const length = Number(/content-length: (\d+)/i.exec(pending)?.[1] ?? 0)
      if (head < 0 || pending.length < head + 4 + length) return
      const request = pending
      pending = ''
      void reply(socket, request)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    sent,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

export interface AnswerTarget {
  readonly url: string
  readonly agent: Agent
  readonly backend: DamagedBackend
}

/** What was sent, without the lines that frame chunks. */
const payload = (sent: Buffer | undefined): string =>
  (sent ?? Buffer.alloc(0)).toString('latin1').replaceAll(/\r\n[0-9a-fA-F]+(?:;[^\r\n]*)?\r\n/g, '')

/** Data of the events of a stream, by the rules of WHATWG HTML 9.2.6, mixed line ends included. */
function dataOf(text: string): string[] {
  const events: string[] = []
  let data: string[] = []
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''))
    else if (line === '') {
      if (data.length > 0) events.push(data.join('\n'))
      data = []
    }
  }
  return events
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** One request; throws what is wrong with its answer. */
export async function fuzzAnswer(seed: number, target: AnswerTarget): Promise<void> {
  const id = `seed-${seed}`
  const stream = seed % 2 === 0
  const body = JSON.stringify({
    model: 'm',
    user: id,
    ...(stream ? { stream: true } : {}),
    messages: [{ role: 'user', content: 'hi' }],
  })
  const reply = await Promise.race([
    call(`${target.url}/v1/chat/completions`, { body, agent: target.agent }),
    new Promise<never>((_, reject) => setTimeout(() => reject(new Error(`${id}: no answer in time`)), 8000).unref()),
  ])
  const shown = (): string =>
    `${id}: ${reply.status} ${JSON.stringify(reply.text)} of ${JSON.stringify((target.backend.sent.get(id) ?? Buffer.alloc(0)).toString('latin1'))}`
  for (const [mark] of reply.text.matchAll(/mark-seed-\d+ /g))
    if (mark !== `mark-${id} ` && !payload(target.backend.sent.get(id)).includes(mark))
      throw new Error(`an answer of another request: ${shown()}`)
  if (reply.status !== 200) {
    if (!isJson(reply.text) || (JSON.parse(reply.text) as { error?: { code?: unknown } }).error?.code === undefined)
      throw new Error(`no envelope: ${shown()}`)
    if (reply.status === 500) throw new Error(`an error of ours: ${shown()}`)
  } else if (!stream) {
    const json = isJson(reply.text) ? (JSON.parse(reply.text) as { choices?: unknown } | null) : null
    if (!Array.isArray(json?.choices)) throw new Error(`a 200 that is no answer: ${shown()}`)
  } else checkStream(reply.text, target.backend.sent.get(id) ?? Buffer.alloc(0), shown)
  target.backend.sent.delete(id)
}

function checkStream(text: string, sent: Buffer, shown: () => string): void {
  const events = dataOf(text)
  const end = events.findIndex(
    (data) =>
      data === '[DONE]' ||
      (isJson(data) &&
        (JSON.parse(data) as { error?: unknown } | null)?.error !== undefined &&
        (JSON.parse(data) as { error?: unknown } | null)?.error !== null),
  )
  if (end < 0) throw new Error(`a stream without an end: ${shown()}`)
  if (end !== events.length - 1) throw new Error(`something behind the end: ${shown()}`)
  if (events.includes('[DONE]') && !/data: ?\[DONE\]/.test(payload(sent)))
    throw new Error(`an end that was not sent: ${shown()}`)
  for (const data of events.slice(0, -1)) if (!isJson(data)) throw new Error(`an event that is no JSON: ${shown()}`)
}
