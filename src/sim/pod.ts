/** A simulated pod of a model server such as vLLM: its engine behind the OpenAI API, with its metrics and load reports. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { asString, isObject, parseJson, type Json, type JsonObject } from './json.ts'
import { PodEngine, TOKEN_CHARS, type PodOptions, type PodStats } from './pod-engine.ts'

export type { PodOptions, PodStats } from './pod-engine.ts'

export interface PodServerOptions extends PodOptions {
  readonly host?: string
  readonly port?: number
  /** Ends, with all of its connections, after so many ms; left out = never. */
  readonly dieAfterMs?: number
  /** Tokens that one event of a stream holds. Default 1. */
  readonly tokensPerEvent?: number
  readonly model?: string
}

export interface Pod {
  /** `http://HOST:PORT/v1` */
  readonly url: string
  readonly port: number
  stats(): PodStats
  /** An empty cache, counters from zero. */
  reset(): void
  /** Closes its socket and all connections, as a pod that is killed. */
  die(): void
  /** Listens again on the same port, with an empty cache. */
  revive(): Promise<void>
  close(): Promise<void>
}

const DEFAULT_TOKENS = 32
const MOST_TOKENS = 4096
const MAX_BODY = 64 * 1024 * 1024

const bodyOf = (req: IncomingMessage): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > MAX_BODY) req.destroy()
      else chunks.push(chunk)
    })
    req.on('end', () => resolve(Buffer.concat(chunks)))
    req.on('error', reject)
  })

/** As a chat template puts it. */
export function promptOf(body: JsonObject): string {
  const { messages, prompt } = body
  if (!Array.isArray(messages)) return typeof prompt === 'string' ? prompt : JSON.stringify(prompt ?? '')
  return messages
    .map((message) => {
      const { role, content } = isObject(message) ? message : {}
      return `<|${asString(role) ?? ''}|>\n${typeof content === 'string' ? content : JSON.stringify(content ?? '')}\n`
    })
    .join('')
}

function tokensOf(body: JsonObject): number {
  const asked = Number(body['max_completion_tokens'] ?? body['max_tokens'] ?? DEFAULT_TOKENS)
  return Math.min(MOST_TOKENS, Math.max(1, Math.floor(Number.isFinite(asked) ? asked : DEFAULT_TOKENS)))
}

/** vLLM's names (docs/usage/metrics). */
function metricsText(stats: PodStats, maxLora: number): string {
  const gauge = (name: string, value: number, labels = 'engine="0",model_name="sim-pod"'): string =>
    `vllm:${name}{${labels}} ${value}\n`
  const lora =
    maxLora === 0
      ? ''
      : gauge(
          'lora_requests_info',
          Date.now() / 1000,
          `max_lora="${maxLora}",running_lora_adapters="${stats.adapters.join(',')}",waiting_lora_adapters=""`,
        )
  return (
    gauge('num_requests_running', stats.running) +
    gauge('num_requests_waiting', stats.waiting) +
    gauge('kv_cache_usage_perc', stats.kv) +
    gauge('cache_config_info', 1, `block_size="16",engine="0",num_gpu_blocks="${stats.blocks}"`) +
    gauge('prefix_cache_queries_total', stats.queriedTokens) +
    gauge('prefix_cache_hits_total', stats.hitTokens) +
    gauge('generation_tokens_total', stats.generatedTokens) +
    gauge('request_success_total', stats.finished, 'engine="0",finished_reason="length",model_name="sim-pod"') +
    lora
  )
}

/** A load report in the form that the request asks for (ORCA), as vLLM writes it. */
function reportOf(req: IncomingMessage, stats: PodStats): Record<string, string> {
  const form = String(req.headers['endpoint-load-metrics-format'] ?? '').toUpperCase()
  const named = { kv_cache_usage_perc: stats.kv, num_requests_waiting: stats.waiting }
  if (form === 'JSON') return { 'endpoint-load-metrics': `JSON ${JSON.stringify({ named_metrics: named })}` }
  if (form !== 'TEXT') return {}
  const pairs = Object.entries(named).map(([name, value]) => `named_metrics.${name}=${value}`)
  return { 'endpoint-load-metrics': `TEXT ${pairs.join(', ')}` }
}

class PodServer {
  readonly #engine: PodEngine
  readonly #options: PodServerOptions
  readonly #model: string
  #next = 0

  constructor(options: PodServerOptions, engine: PodEngine) {
    this.#options = options
    this.#engine = engine
    this.#model = options.model ?? 'sim-pod'
  }

  async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const path = (req.url ?? '').split('?')[0]
    if (path === '/metrics') {
      res.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' })
      res.end(metricsText(this.#engine.stats(), this.#options.maxLora ?? 0))
      return
    }
    if (path === '/health') res.end()
    else if (path === '/v1/models') json(res, 200, { object: 'list', data: [{ id: this.#model, object: 'model' }] })
    else if (req.method === 'POST' && (path === '/v1/chat/completions' || path === '/v1/completions'))
      this.#answer(req, res, await bodyOf(req), path === '/v1/chat/completions')
    else json(res, 404, { error: { message: 'Not found', type: 'invalid_request_error', code: 404 } })
  }

  #answer(req: IncomingMessage, res: ServerResponse, raw: Buffer, chat: boolean): void {
    let body: Json | undefined
    try {
      body = parseJson(raw.toString('utf8'))
    } catch {
      body = undefined
    }
    if (!isObject(body)) {
      json(res, 400, { error: { message: 'The body is not a JSON object.', type: 'invalid_request_error', code: 400 } })
      return
    }
    const answer = new PodAnswer(req, res, body, { id: `cmpl-${++this.#next}`, chat, model: this.#model })
    answer.start(this.#engine, this.#options.tokensPerEvent ?? 1)
  }
}

interface AnswerPlace {
  readonly id: string
  readonly chat: boolean
  readonly model: string
}

class PodAnswer {
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #body: JsonObject
  readonly #place: AnswerPlace

  constructor(req: IncomingMessage, res: ServerResponse, body: JsonObject, place: AnswerPlace) {
    this.#req = req
    this.#res = res
    this.#body = body
    this.#place = place
  }

  start(engine: PodEngine, tokensPerEvent: number): void {
    const body = this.#body
    const res = this.#res
    const prompt = promptOf(body)
    const stream = body['stream'] === true
    const model = asString(body['model']) ?? this.#place.model
    let cached = 0
    let told = 0
    const sequence = engine.submit(model, prompt, tokensOf(body), {
      first: (tokens) => {
        cached = tokens
        const type = stream ? 'text/event-stream' : 'application/json'
        res.writeHead(200, { 'content-type': type, ...reportOf(this.#req, engine.stats()) })
        if (stream && this.#place.chat) this.#event({ role: 'assistant', content: '' }, null)
      },
      token: (made, total) => {
        if (!stream || (made % tokensPerEvent !== 0 && made !== total && made !== 1)) return
        this.#event({ content: sequence.answer.slice(told * TOKEN_CHARS, made * TOKEN_CHARS) }, null)
        told = made
      },
      end: () => this.#end(sequence.answer, { prompt, cached, stream }),
    })
    res.on('close', () => sequence.cancel())
  }

  #base(chunk: boolean): JsonObject {
    const { id, chat, model } = this.#place
    const object = chat ? (chunk ? 'chat.completion.chunk' : 'chat.completion') : 'text_completion'
    return { id, object, created: Math.floor(Date.now() / 1000), model: asString(this.#body['model']) ?? model }
  }

  #event(delta: JsonObject, finish: string | null): void {
    const choice = this.#place.chat
      ? { index: 0, delta, finish_reason: finish }
      : { index: 0, text: delta['content'] ?? '', finish_reason: finish }
    this.#res.write(`data: ${JSON.stringify({ ...this.#base(true), choices: [choice] })}\n\n`)
  }

  #end(text: string, how: { readonly prompt: string; readonly cached: number; readonly stream: boolean }): void {
    const prompt = Math.ceil(how.prompt.length / TOKEN_CHARS)
    const made = Math.ceil(text.length / TOKEN_CHARS)
    const usage = {
      prompt_tokens: prompt,
      completion_tokens: made,
      total_tokens: prompt + made,
      prompt_tokens_details: { cached_tokens: how.cached },
    }
    if (!how.stream) {
      const said = this.#place.chat ? { message: { role: 'assistant', content: text } } : { text }
      const choice = { index: 0, ...said, finish_reason: 'length' }
      this.#res.end(JSON.stringify({ ...this.#base(false), choices: [choice], usage }))
      return
    }
    this.#event({}, 'length')
    const options = this.#body['stream_options']
    if (isObject(options) && options['include_usage'] === true)
      this.#res.write(`data: ${JSON.stringify({ ...this.#base(true), choices: [], usage })}\n\n`)
    this.#res.end('data: [DONE]\n\n')
  }
}

function json(res: ServerResponse, status: number, body: unknown): void {
  res.writeHead(status, { 'content-type': 'application/json' })
  res.end(JSON.stringify(body))
}

/** Starts a pod; resolves when it listens. Rejects with the error of `listen` for an address that cannot be used. */
export async function startPod(options: PodServerOptions = {}): Promise<Pod> {
  const host = options.host ?? '127.0.0.1'
  const engine = new PodEngine(options, (ms, run) => void setTimeout(run, ms))
  const pod = new PodServer(options, engine)
  const server = createServer({ keepAliveTimeout: 65_000, requestTimeout: 0 }, (req, res) => {
    pod.handle(req, res).catch(() => res.destroy())
  })
  const listen = (port: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => {
        server.off('error', reject)
        resolve()
      })
    })
  await listen(options.port ?? 0)
  const { port } = server.address() as AddressInfo
  const die = (): void => {
    server.close()
    server.closeAllConnections()
  }
  const death = options.dieAfterMs === undefined ? null : setTimeout(die, options.dieAfterMs)
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}/v1`,
    port,
    stats: () => engine.stats(),
    reset: () => engine.reset(),
    die,
    revive: async () => {
      engine.reset()
      if (!server.listening) await listen(port)
    },
    close: () =>
      new Promise((resolve) => {
        if (death !== null) clearTimeout(death)
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
