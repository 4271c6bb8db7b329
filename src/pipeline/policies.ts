import type { Limiter } from '../contracts/admission.ts'
import type { CapacityGate, Ticket } from '../contracts/capacity.ts'
import type { Authenticator, HeaderGate, Principal } from '../contracts/identity.ts'
import type { Target } from '../contracts/routing.ts'
import type { Tracing } from '../contracts/trace.ts'
import type { Exchange } from './exchange.ts'
import type { GatewayError } from '../core/errors.ts'
import type { MeshRules } from '../mesh/rules.ts'
import type { Charge, Recorder, Usage } from '../contracts/usage.ts'

/** What calls cost, and what they are expected to use. */
export interface Pricing {
  /** estimated: the tokens were counted here, not by the backend. */
  charge(target: Target, model: string, usage: Usage, estimated: boolean): Charge
  /** Targets whose price is not known may not be called: refuses() is worth asking. */
  readonly strict: boolean
  /** Why a target may not be called; null = it may. */
  refuses(target: Target, model: string): string | null
  /** Tokens of a prompt of so many bytes and of its answer; maxTokens 0 = not said. */
  estimate(route: string, promptBytes: number, maxTokens: number): { inputTokens: number; outputTokens: number }
  /** What a call really used. */
  learn(route: string, promptBytes: number, usage: Usage): void
}

/** Traces, and who makes spans of requests: loaded where they are exported. Both functions take sampled requests only. */
export interface Traces extends Tracing {
  /** While the body is there. */
  noteRequest(x: Exchange): void
  /** Once, at the end. Never throws. */
  writeSpans(x: Exchange): void
}

/** What is kept for clients to come back for: loaded where it is configured. */
export interface KeptState {
  /** The request is for what is kept, and is answered from there: nothing else is to be done. */
  takes(x: Exchange): boolean
  /** Readies a request whose route is known: what it goes on from, and what is kept of its answer. A promise is to be waited for. */
  ready(x: Exchange): void | Promise<void>
  /** Of a request whose client need not wait for the answer: what follows goes on without it. */
  detach(x: Exchange): void | Promise<void>
  /** Ends what goes on without clients. */
  failOpen(error: GatewayError): void
}

/** Answers that are kept and served again: loaded where it is configured. */
export interface AnswerCaching {
  /** Of a request that is admitted, on a route that keeps answers: true = it has its answer, or waits for somebody else's. */
  begin(x: Exchange): boolean | Promise<boolean>
}

/** What a configuration asks of requests beyond passing them on. null = not asked: nothing of it runs. */
export interface Policies {
  readonly auth: Authenticator | null
  /** What of a request's headers may be seen. */
  readonly headers: HeaderGate
  readonly limiter: Limiter | null
  readonly gate: CapacityGate | null
  readonly pricing: Pricing
  readonly recorder: Recorder | null
  readonly tracing: Traces | null
  readonly mesh: MeshRules
  readonly state: KeptState | null
  readonly cache: AnswerCaching | null
  /** The configuration is not used any more. */
  close(): void
  /** Who waits, and with what weight. */
  ticketOf(principal: Principal): Pick<Ticket, 'tenant' | 'weight' | 'priority'>
}
