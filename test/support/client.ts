/** A plain HTTP client: follows no redirect, unpacks nothing, and can leave at any moment. */
import { request } from 'node:http'
import type { Agent, ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'

export interface CallOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer | object
  readonly agent?: Agent
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly bytes: Buffer
  readonly text: string
  /** False: the connection broke before the answer was whole. */
  readonly complete: boolean
  /** Body as JSON; throws when it is none. */
  json(): unknown
}

const bytesOf = (body: CallOptions['body']): Buffer | undefined => {
  if (body === undefined || Buffer.isBuffer(body)) return body
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

/** Begins a request; the answer's head is not waited for. */
export const open = (url: string, options: CallOptions = {}): ClientRequest => {
  const body = bytesOf(options.body)
  const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
  const headers = {
    ...type,
    ...(body === undefined ? {} : { 'content-length': String(body.length) }),
    ...options.headers,
  }
  const { agent } = options
  const req = request(url, {
    method: options.method ?? (body === undefined ? 'GET' : 'POST'),
    headers,
    ...(agent === undefined ? {} : { agent }),
  })
  req.end(body)
  return req
}

export const headOf = (req: ClientRequest): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    req.on('response', resolve)
    req.on('error', reject)
  })

const bodyOf = (res: IncomingMessage): Promise<{ readonly bytes: Buffer; readonly complete: boolean }> =>
  new Promise((resolve) => {
    const chunks: Buffer[] = []
    res.on('data', (chunk: Buffer) => chunks.push(chunk))
    res.on('error', () => {})
    res.on('close', () => resolve({ bytes: Buffer.concat(chunks), complete: res.complete }))
  })

export const call = async (url: string, options: CallOptions = {}): Promise<Reply> => {
  const res = await headOf(open(url, options))
  const { bytes, complete } = await bodyOf(res)
  const text = bytes.toString()
  return {
    status: res.statusCode ?? 0,
    headers: res.headers,
    bytes,
    text,
    complete,
    json: () => JSON.parse(text) as unknown,
  }
}

interface ErrorBody {
  readonly message: string
  readonly type: string
  readonly param: string | null
  readonly code: string
}

interface Chunk {
  readonly id?: string
  readonly model?: string
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null }
    readonly message?: { readonly content?: string | null }
    readonly text?: string
  }[]
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null
  readonly error?: ErrorBody
  readonly heddle?: { readonly continuation?: { readonly from: string; readonly to: string } }
}

export interface SseEvent {
  readonly name: string
  readonly data: string
}

/** Events of a complete stream, by the rules of WHATWG HTML 9.2.6. */
export const eventsOf = (text: string): readonly SseEvent[] =>
  text
    .split(/\r\n\r\n|\n\n|\r\r/)
    .map((block) => {
      const lines = block.split(/\r\n|\n|\r/)
      const field = (name: string): string[] =>
        lines.filter((l) => l.startsWith(`${name}:`)).map((l) => l.slice(name.length + 1).replace(/^ /, ''))
      return { name: field('event')[0] ?? '', data: field('data').join('\n') }
    })
    .filter((event) => event.data !== '')

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly raw: string
  readonly chunks: readonly Chunk[]
  /** Text of choice 0 of every chunk, or of the JSON answer. */
  readonly text: string
  readonly done: boolean
  /** Of the error body, or of the error event. */
  readonly error: ErrorBody | undefined
  /** Anything that stands after the end marker or the error. */
  readonly afterEnd: number
  readonly usage: Chunk['usage']
}

const parsed = (text: string): Chunk => {
  try {
    return JSON.parse(text) as Chunk
  } catch {
    return {}
  }
}

/** Reads a reply of chat or completions, streamed or not. */
export const readAnswer = (reply: Reply): Answer => {
  const { status, headers, text: raw } = reply
  const isStream = headers['content-type']?.startsWith('text/event-stream') === true
  const events = isStream ? eventsOf(raw).map((e) => e.data) : [raw]
  const end = events.findIndex((data) => data === '[DONE]' || parsed(data).error !== undefined)
  const chunks = events.filter((data) => data !== '[DONE]').map(parsed)
  const pieces = chunks.map((c) => {
    const [choice] = c.choices ?? []
    return choice?.delta?.content ?? choice?.message?.content ?? choice?.text ?? ''
  })
  return {
    status,
    headers,
    raw,
    chunks,
    text: pieces.join(''),
    done: events.includes('[DONE]'),
    error: chunks.find((c) => c.error !== undefined)?.error,
    afterEnd: end < 0 ? 0 : events.length - end - 1,
    usage: chunks.findLast((c) => c.usage != null)?.usage,
  }
}

/** `POST /v1/chat/completions` with one user message. */
export const chat = async (
  url: string,
  model: string,
  extra: Readonly<Record<string, unknown>> = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> => {
  const body = { model, messages: [{ role: 'user', content: 'Say something about looms.' }], ...extra }
  return readAnswer(await call(`${url}/v1/chat/completions`, { body, headers }))
}

/** Resolves when the condition holds; rejects after ms. For what another socket will notice soon. */
export const until = async (condition: () => boolean | Promise<boolean>, ms = 3000): Promise<void> => {
  const end = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > end) throw new Error('the condition did not come true in time')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
