import type { HeaderList, ReplyWriter } from '../../../contracts/http.ts'
import type { Principal } from '../../../contracts/identity.ts'
import type { Services } from '../../services.ts'
import type { GatewayError } from '../../../core/errors.ts'
import { RawReceived } from '../../raw-received.ts'
import { Exchange } from '../../exchange.ts'

/** A request that nobody has sent over a connection. */
class LineReceived extends RawReceived {
  override readonly peerIdentity = null
  readonly priority: number

  constructor(path: string, id: string, priority: number, startedAt: number) {
    const raw = ['content-type', 'application/json', 'x-request-id', id]
    super({ method: 'POST', url: path, raw, peer: '', startedAt })
    this.priority = priority
  }

  protected override allHeaders(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.raw.flatMap((name, i) => (i % 2 === 0 ? [[name, this.raw[i + 1]!] as const] : [])))
  }
}

export interface LineAnswer {
  readonly status: number
  /** JSON text; '' = the answer broke off. */
  readonly body: string
  /** Of a refusal: when it may be asked again, ms; 0 = not said. */
  readonly retryAfterMs: number
}

/** Takes an answer down. */
class Taker implements ReplyWriter {
  readonly #done: (answer: LineAnswer) => void
  #status = 0
  #retryAfterMs = 0
  #chunks: Buffer[] = []
  open = true

  constructor(done: (answer: LineAnswer) => void) {
    this.#done = done
  }

  send(status: number, headers: HeaderList, body: Buffer | string): void {
    this.head(status, headers)
    this.end(body)
  }

  head(status: number, headers: HeaderList): void {
    this.#status = status
    const at = headers.indexOf('retry-after-ms')
    this.#retryAfterMs = at < 0 ? 0 : Number(headers[at + 1]) || 0
  }

  flush(): void {}

  write(chunk: Buffer | string): boolean {
    this.#chunks.push(Buffer.from(chunk))
    return true
  }

  end(chunk?: Buffer | string): void {
    if (!this.open) return
    if (chunk !== undefined) this.write(chunk)
    this.open = false
    const body = Buffer.concat(this.#chunks).toString()
    this.#done({ status: this.#status, body, retryAfterMs: this.#retryAfterMs })
  }

  destroy(): void {
    if (!this.open) return
    this.open = false
    this.#done({ status: 502, body: '', retryAfterMs: 0 })
  }
}

export interface LineCall {
  readonly answer: Promise<LineAnswer>
  fail(error: GatewayError): void
}

/** Makes one request as if its caller had sent it: by the same rules, counted and recorded alike. */
export function callLine(
  services: Services,
  principal: Principal,
  { path, id, priority, body }: { path: string; id: string; priority: number; body: Buffer },
): LineCall {
  const received = new LineReceived(path, id, priority, services.clock.monotonic())
  received.body = body
  received.identity = principal
  const { promise, resolve } = Promise.withResolvers<LineAnswer>()
  const exchange = new Exchange(services, received, new Taker(resolve))
  exchange.begin()
  return { answer: promise, fail: (error) => exchange.fail(error) }
}
