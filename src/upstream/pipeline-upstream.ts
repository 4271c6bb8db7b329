import type { Json, JsonObject } from '../contracts/canonical.ts'
import type { StepConfig } from '../contracts/config-mapping.ts'
import type {
  Call,
  Upstream,
  UpstreamFault,
  UpstreamHeaders,
  UpstreamRequest,
  UpstreamSink,
} from '../contracts/upstream.ts'
import { GatewayError } from '../core/errors.ts'
import { everyUnref } from '../core/every.ts'
import { errorOf } from '../protocol/openai/answer.ts'
import { stepCodec, type StepCodec } from '../protocol/templates/steps.ts'

export interface PipelineStep {
  readonly config: StepConfig
  /** Of the step's origin; not closed by the pipeline. */
  readonly upstream: Upstream
}

export interface PipelineOptions {
  readonly steps: readonly PipelineStep[]
  /** `user-agent` of Heddle. */
  readonly agent: string
  /** Longest answer of a step, bytes. */
  readonly maxAnswer: number
}

interface ReadyStep extends PipelineStep {
  readonly codec: StepCodec
  readonly headers: string[]
}

const JSON_HEADERS: UpstreamHeaders = { 'content-type': 'application/json' }
/** What a step is told of the bodies. */
const TYPED = { 'content-type': 'application/json', accept: 'application/json', 'accept-encoding': 'identity' }
const COUNTS = ['input_tokens', 'output_tokens'] as const
/** What a failure is called. */
const TYPES: Readonly<Record<number, string>> = { 503: 'unavailable', 504: 'timeout' }
/** Headers of a failed answer that say when to come again. */
const PASSED = ['retry-after', 'retry-after-ms', 'x-should-retry'] as const

/** One run through the steps, each called when the one before has answered. */
class PipelineCall implements Call {
  readonly #steps: readonly ReadyStep[]
  readonly #request: UpstreamRequest
  readonly #sink: UpstreamSink
  readonly #maxAnswer: number
  readonly #variables = new Map<string, Json>()
  readonly #counted: Record<(typeof COUNTS)[number], number> = { input_tokens: 0, output_tokens: 0 }
  #countedAny = false
  #at = 0
  #call: Call | null = null
  over = false
  #stopTimer: (() => void) | null = null

  constructor(steps: readonly ReadyStep[], request: UpstreamRequest, sink: UpstreamSink, maxAnswer: number) {
    this.#steps = steps
    this.#request = request
    this.#sink = sink
    this.#maxAnswer = maxAnswer
    const given = JSON.parse(request.body?.toString() ?? '{}') as JsonObject
    for (const [name, value] of Object.entries(given)) this.#variables.set(name, value)
  }

  get #step(): ReadyStep {
    return this.#steps[this.#at]!
  }

  get #name(): string {
    return `Step '${this.#step.config.name}' of the pipeline`
  }

  next(): void {
    const { config, codec, headers, upstream } = this.#step
    let asked: ReturnType<StepCodec['request']>
    try {
      asked = codec.request(this.#variables)
    } catch (error) {
      const { message, status } = GatewayError.from(error)
      this.#answer(status, {}, { error: { message: `${this.#name}: ${message}`, type: 'invalid_request_error' } })
      return
    }
    if (config.timeoutMs > 0) {
      const stop = everyUnref(() => this.#late(), config.timeoutMs)
      this.#stopTimer = stop
    }
    const { more } = this.#request
    const call = upstream.call(
      {
        method: 'POST',
        path: asked.path === '' ? '/' : asked.path,
        headers,
        body: asked.body,
        // What tells of the request goes to nobody outside.
        ...(config.inMesh && more !== undefined ? { more } : {}),
      },
      new StepSink(this, this.#maxAnswer),
    )
    if (!this.over) this.#call = call
  }

  #late(): void {
    this.#call?.abort(true)
    this.fault({ kind: 'reset', detail: 'it took longer than its `timeout`' }, 504)
  }

  /** The step at hand has answered whole. */
  done(status: number, headers: UpstreamHeaders, body: Buffer): void {
    if (this.over) return
    this.#rest()
    if (status < 200 || status >= 300) {
      this.#failed(status, headers, body)
      return
    }
    const outputs = this.#step.codec.read(body, this.#variables)
    if (outputs === null) {
      const message = `${this.#name} gave an answer that is not what its configuration says.`
      this.#answer(502, {}, { error: { message, type: 'invalid_answer' } })
      return
    }
    for (const [name, value] of outputs) this.#variables.set(`steps.${this.#step.config.name}.${name}`, value)
    for (const name of COUNTS) {
      const count = Number(outputs.get(name))
      if (Number.isSafeInteger(count) && count >= 0) {
        this.#counted[name] += count
        this.#countedAny = true
      }
    }
    if (this.#at + 1 < this.#steps.length) {
      this.#at++
      this.next()
    } else this.#finish(outputs)
  }

  #finish(outputs: ReadonlyMap<string, Json>): void {
    const last: [string, Json][] = []
    for (const name of ['text', 'embedding', 'finish']) {
      const value = outputs.get(name)
      if (value !== undefined) last.push([name, value])
    }
    this.#answer(200, {}, { ...Object.fromEntries(last), ...(this.#countedAny ? this.#counted : {}) })
  }

  #failed(status: number, headers: UpstreamHeaders, body: Buffer): void {
    let said: ReturnType<typeof errorOf> | null = null
    try {
      said = errorOf(JSON.parse(body.toString()))
    } catch {
      // Not JSON: nothing of it is shown to anybody.
    }
    const { message = '', type = '', code = '' } = said ?? {}
    const passed: Record<string, string | string[] | undefined> = {}
    for (const name of PASSED) if (headers[name] !== undefined) passed[name] = headers[name]
    const told = message === '' ? `${this.#name} failed with status ${status}.` : `${this.#name}: ${message}`
    // A step that sends us elsewhere is not followed: whoever it names would get what the client said.
    this.#answer(status >= 400 ? status : 502, passed, { error: { message: told, type, code } })
  }

  /** There is no answer of the step at hand. status: what it stands for. */
  fault({ kind, detail, refusal }: UpstreamFault, status = 503): void {
    if (this.over) return
    this.#call?.abort()
    this.#rest()
    if (this.#at === 0 && (kind === 'connect' || kind === 'tls')) {
      // Nothing has been sent to anybody.
      this.over = true
      this.#sink.onFault({ kind, detail: `${this.#name}: ${detail}`, ...(refusal === undefined ? {} : { refusal }) })
      return
    }
    const message = `${this.#name}: ${kind}, ${detail}`
    this.#answer(status, {}, { error: { message, type: TYPES[status] ?? 'step_failed' } })
  }

  #rest(): void {
    this.#stopTimer?.()
    this.#stopTimer = null
    this.#call = null
  }

  #answer(status: number, headers: UpstreamHeaders, body: JsonObject): void {
    this.#sink.onHead(status, { ...JSON_HEADERS, ...headers })
    if (!this.over) this.#sink.onData(Buffer.from(JSON.stringify(body)))
    if (this.over) return
    this.over = true
    this.#sink.onEnd()
  }

  abort(blame = false): void {
    if (this.over) return
    this.over = true
    const call = this.#call
    this.#rest()
    call?.abort(blame)
  }

  // Answers of steps are held whole, and are bounded.
  pause(): void {}
  resume(): void {}
}

/** Takes down one step's answer. */
class StepSink implements UpstreamSink {
  readonly #owner: PipelineCall
  readonly #max: number
  #status = 0
  #headers: UpstreamHeaders = {}
  #chunks: Buffer[] = []
  #bytes = 0

  constructor(owner: PipelineCall, max: number) {
    this.#owner = owner
    this.#max = max
  }

  onHead(status: number, headers: UpstreamHeaders): void {
    this.#status = status
    this.#headers = headers
  }

  onData(chunk: Buffer): void {
    this.#bytes += chunk.length
    if (this.#bytes <= this.#max) this.#chunks.push(chunk)
    else this.#owner.fault({ kind: 'protocol', detail: 'the answer is too large' }, 502)
  }

  onEnd(): void {
    this.#owner.done(this.#status, this.#headers, Buffer.concat(this.#chunks))
  }

  onFault(fault: UpstreamFault): void {
    this.#owner.fault(fault)
  }
}

/** Services that are called one after the other, as if they were one backend: what they are told is the wire's `pipeline`. */
export class PipelineUpstream implements Upstream {
  readonly #steps: readonly ReadyStep[]
  readonly #maxAnswer: number

  constructor({ steps, agent, maxAnswer }: PipelineOptions) {
    this.#maxAnswer = maxAnswer
    this.#steps = steps.map((step) => ({
      ...step,
      codec: stepCodec(step.config),
      headers: Object.entries({ ...TYPED, 'user-agent': agent, ...step.config.headers }).flat(),
    }))
  }

  call(request: UpstreamRequest, sink: UpstreamSink): Call {
    const call = new PipelineCall(this.#steps, request, sink, this.#maxAnswer)
    // A step that cannot be told fails at once: the caller must have the call first.
    queueMicrotask(() => {
      if (!call.over) call.next()
    })
    return call
  }

  /** The steps' connections are their owners'. */
  async close(): Promise<void> {}
}
