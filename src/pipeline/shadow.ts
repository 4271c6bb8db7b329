import type { Timeouts } from '../contracts/config.ts'
import type { Target } from '../contracts/routing.ts'
import type { Call, UpstreamFault, UpstreamHeaders, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import type { Charge, Usage } from '../contracts/usage.ts'
import type { Services } from './services.ts'
import { RawUsage } from '../protocol/raw-usage.ts'
import { usageHints } from '../protocol/usage.ts'
import { WheelTimer } from '../core/wheel.ts'

/** Shadow calls at a time in one worker: a slow shadow must not eat what the real traffic needs. */
const MAX_OPEN = 64
let open = 0

/** One copied request: read to its end, counted, thrown away. */
class ShadowCall extends WheelTimer implements UpstreamSink {
  readonly #services: Services
  readonly #target: Target
  readonly #charge: ShadowCharge
  #usage: RawUsage | null = null
  #call: Call | null = null
  #status = 0
  #over = false

  constructor(services: Services, target: Target, charge: ShadowCharge) {
    super()
    this.#charge = charge
    this.#services = services
    this.#target = target
  }

  start(request: UpstreamRequest, ms: number): void {
    open++
    if (ms > 0) this.#services.wheel.arm(this, ms)
    const call = this.#target.provider.upstream.call(request, this)
    if (!this.#over) this.#call = call
  }

  onHead(status: number, headers: UpstreamHeaders): void {
    this.#status = status
    const type = headers['content-type']
    const hints = usageHints(this.#target.provider.config.type)
    if (status < 300) this.#usage = RawUsage.of(typeof type === 'string' ? type : undefined, hints)
  }
  onData(chunk: Buffer): void {
    this.#usage?.add(chunk)
  }
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
    const usage = this.#usage?.usage ?? null
    this.#services.telemetry.shadow(this.#target, result, usage === null ? 0 : this.#charge(usage).nanoUsd)
  }
}

/** What a copy cost: nobody's budget, but the operator's bill. */
export type ShadowCharge = (usage: Usage) => Charge

export function startShadowCall(
  services: Services,
  target: Target,
  request: UpstreamRequest,
  { timeouts, charge }: { readonly timeouts: Timeouts; readonly charge: ShadowCharge },
): void {
  if (open >= MAX_OPEN) services.telemetry.shadow(target, 'skipped', 0)
  else new ShadowCall(services, target, charge).start(request, timeouts.attemptMs)
}
