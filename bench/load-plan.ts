/** What one run of the load generator does; given to bench/load.ts as JSON. Durations are milliseconds. */
export interface LoadPlan {
  /** closed: every connection sends its next request when the last is answered. open: requests start at a fixed rate. hold: streams stay open. */
  readonly mode: 'closed' | 'open' | 'hold'
  readonly kind: 'chat' | 'stream' | 'embeddings'
  readonly port: number
  /** Bearer token of every request. */
  readonly token: string
  readonly connections: number
  /** Requests a second, open loop only. */
  readonly rate?: number
  /** Bytes of prompt text. */
  readonly promptBytes: number
  readonly warmupMs: number
  readonly durationMs: number
  /** Streams opened a second, hold only. */
  readonly rampPerSecond?: number
  /** Process whose tree is measured over the very window that is counted; absent for the backend itself. */
  readonly pid?: number
}

export interface LoadResult {
  readonly seconds: number
  readonly answered: number
  readonly perSecond: number
  /** Answers other than 200, connections lost in a request, streams without `[DONE]`, over the whole run, warm-up included. */
  readonly errors: { readonly status: number; readonly reset: number; readonly cut: number }
  readonly events: number
  /** Share of one core, 0..1 and more. */
  readonly cores: number | null
  readonly cpuPerRequest: number | null
  readonly cpuPerEvent: number | null
  /** Microseconds from the intended start of a request to its last byte. */
  readonly latency: { readonly p50: number | null; readonly p99: number | null; readonly max: number }
  /** Hold only: streams that had begun and not ended when the window closed. */
  readonly alive: number
  /** KiB, before the first stream and in the middle of the hold. */
  readonly residentBefore: number | null
  readonly residentAfter: number | null
}

const FILLER = 'The shuttle carries the weft through the open shed, and the reed beats it up against the cloth. '

const bodyOf = (plan: LoadPlan): object => {
  const text = FILLER.repeat(Math.ceil(plan.promptBytes / FILLER.length)).slice(0, plan.promptBytes)
  if (plan.kind === 'embeddings') return { model: 'text-embedding-3-small', input: text, encoding_format: 'base64' }
  const messages = [
    { role: 'system', content: 'You answer in one sentence.' },
    { role: 'user', content: text },
  ]
  const base = { model: 'gpt-4o-mini', messages, temperature: 0.2 }
  return plan.kind === 'stream' ? { ...base, stream: true } : base
}

/** The one request of a plan, head and body, with the headers that an OpenAI SDK sends. */
export const requestBytes = (plan: LoadPlan): Buffer => {
  const body = Buffer.from(JSON.stringify(bodyOf(plan)))
  const path = plan.kind === 'embeddings' ? '/v1/embeddings' : '/v1/chat/completions'
  const head = [
    `POST ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${plan.port}`,
    'Accept: application/json',
    'Content-Type: application/json',
    'User-Agent: OpenAI/JS 7.57.0',
    'X-Stainless-Lang: js',
    'X-Stainless-Package-Version: 7.57.0',
    'X-Stainless-Retry-Count: 0',
    `Authorization: Bearer ${plan.token}`,
    `Content-Length: ${body.length}`,
  ]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body])
}
