import type { Timeouts } from '../contracts/config.ts'
import type { Target } from '../contracts/routing.ts'
import type { Call, UpstreamFault, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import type { Services } from './services.ts'
import { WheelTimer } from '../core/wheel.ts'

/** Shadow calls at a time in one worker: a slow shadow must not eat what the real traffic needs. */
const MAX_OPEN = 64
let open = 0

/** One copied request: read to its end, counted, thrown away. */
class ShadowCall extends WheelTimer implements UpstreamSink {
  readonly #services: Services
  readonly #target: Target
  #call: Call | null = null
  #status = 0
  #over = false

  constructor(services: Services, target: Target) {
    super()
    this.#services = services
    this.#target = target
  }

  start(request: UpstreamRequest, ms: number): void {
    open++
    if (ms > 0) this.#services.wheel.arm(this, ms)
    const call = this.#target.provider.upstream.call(request, this)
    if (!this.#over) this.#call = call
  }

  onHead(status: number): void {
    this.#status = status
  }
  onData(): void {}
  onEnd(): void {
    this.#end(this.#status < 400 ? 'ok' : `http_${this.#status}`)
  }
  onFault(fault: UpstreamFault): void {
    this.#end(fault.kind)
  }
  override onTimer(): void {
    this.#call?.abort()
    this.#end('attempt_timeout')
  }

  #end(result: string): void {
    if (this.#over) return
    this.#over = true
    open--
    this.#services.wheel.disarm(this)
    this.#services.telemetry.shadow(this.#target, result)
  }
}

export function startShadowCall(
  services: Services,
  target: Target,
  request: UpstreamRequest,
  timeouts: Timeouts,
): void {
  if (open >= MAX_OPEN) services.telemetry.shadow(target, 'skipped')
  else new ShadowCall(services, target).start(request, timeouts.attemptMs)
}
