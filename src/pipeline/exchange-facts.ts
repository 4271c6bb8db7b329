import type { Operation } from '../contracts/config.ts'
import type { Received } from '../contracts/http.ts'
import type { Principal } from '../contracts/identity.ts'
import type { Limiter } from '../contracts/admission.ts'
import type { RequestFacts, RequestNeeds } from '../contracts/routing.ts'
import type { RequestTrace } from '../contracts/trace.ts'
import type { RequestFields } from '../protocol/openai/request.ts'
import type { Door } from './door.ts'
import type { Services } from './services.ts'
import type { Snapshot } from './snapshot.ts'
import { ANONYMOUS } from '../auth/anonymous.ts'
import { fitRequestId, requestId } from '../core/ids.ts'
import { OpenMember } from '../core/open-list.ts'
import { callerBudgetMs, isRepeated } from '../protocol/budget.ts'
import { NO_NEEDS } from '../protocol/facts.ts'
import { singleHeaders } from './prepare.ts'

/** What is known of a request before anything is done about it: what planning, conditions and limits may ask. */
export abstract class ExchangeFacts extends OpenMember implements RequestFacts {
  readonly services: Services
  readonly received: Received
  readonly snapshot: Snapshot
  readonly id: string
  /** null = no traces are configured. */
  readonly trace: RequestTrace | null
  /** null = Heddle makes the calls. */
  readonly door: Door | null
  /** What the caller gives it, ms from its receipt; Infinity = nothing is said. More with a later try that joins it. */
  budgetMs: number
  /** An earlier try of it may still be under way. */
  readonly repeated: boolean
  principal: Principal = ANONYMOUS
  operation: Operation = 'passthrough'
  upstreamPath = ''
  fields: RequestFields | null = null
  /** Model name of a request that is not JSON (multipart); '' = none. */
  formModel = ''
  stream = false
  /** Of the body, unpacked. */
  bytesIn: number

  constructor(services: Services, received: Received, door: Door | null) {
    super()
    this.services = services
    this.received = received
    this.door = door
    this.snapshot = services.current()
    this.snapshot.retain()
    const { tracing } = this.snapshot.policies
    const id = fitRequestId(received.header('x-request-id'))
    this.trace = tracing?.begin(received.signals, id) ?? null
    this.id = id ?? (this.trace === null ? requestId(undefined) : tracing!.mintId(this.trace))
    this.bytesIn = received.body.length
    this.budgetMs = callerBudgetMs(received.signals)
    this.repeated = isRepeated(received.signals)
  }

  /** null = nothing is taken of limits. */
  get limiter(): Limiter | null {
    return this.door?.counts === false ? null : this.snapshot.policies.limiter
  }
  get model(): string {
    return this.fields?.model ?? this.formModel
  }
  get inMesh(): boolean {
    return this.snapshot.policies.mesh.kind !== 'none'
  }
  get heartbeatMs(): number {
    return this.snapshot.config.server.heartbeatMs
  }
  get mayRepeat(): boolean {
    return !this.repeated && this.snapshot.policies.mesh.ownsRetries
  }
  get mayCost(): boolean {
    return this.received.method === 'POST'
  }
  get needs(): RequestNeeds {
    return this.fields ?? NO_NEEDS
  }
  header(name: string): string | undefined {
    return this.received.header(name)
  }
  headers(): Readonly<Record<string, string>> {
    return singleHeaders(this.received)
  }
  json(): Readonly<Record<string, unknown>> {
    return this.fields?.json ?? {}
  }
}
