import type { Operation } from '../contracts/config.ts'
import type { Received } from '../contracts/http.ts'
import type { Principal } from '../contracts/identity.ts'
import type { Limiter } from '../contracts/admission.ts'
import type { RequestFacts, RequestNeeds, Target } from '../contracts/routing.ts'
import type { RequestTrace } from '../contracts/trace.ts'
import type { RerankRequest } from '../protocol/rerank.ts'
import type { RequestFields } from '../protocol/openai/request.ts'
import type { Door } from './door.ts'
import type { EmbedClient } from './embed-clients.ts'
import type { UpgradeDoor } from './realtime/attempt.ts'
import type { Services } from './services.ts'
import type { Snapshot } from './snapshot.ts'
import type { Kept } from './state/kept.ts'
import { ANONYMOUS } from '../auth/anonymous.ts'
import { fitRequestId, requestId } from '../core/ids.ts'
import { OpenMember } from '../core/open-list.ts'
import { callerBudgetMs, isRepeated } from '../protocol/budget.ts'
import { NO_NEEDS } from '../protocol/facts.ts'
import { countsItself } from './count-tokens.ts'
import { ownModel, type ProviderPath } from './provider-path.ts'
import { AS_IT_IS } from '../routing/plan.ts'
import { singleHeaders } from './prepare.ts'
import { clientOf, Translation, wireFor } from './translation.ts'

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
  /** One provider's own path, which names it; null = the model does. */
  own: ProviderPath | null = null
  fields: RequestFields | null = null
  /** It asks for a WebSocket; null = it does not. */
  upgrade: UpgradeDoor | null = null
  /** Tokens are counted, nothing is computed. */
  counting = false
  /** Who wants vectors in another form; null = nobody. */
  embedding: EmbedClient | null = null
  /** What is to be ranked; null = nothing. */
  ranking: RerankRequest | null = null
  /** Characters that are to be spoken. */
  characters = 0
  /** Model name of a request that is not JSON (multipart); '' = none. */
  formModel = ''
  stream = false
  /** The answer is kept, or has an id of ours; null = neither. */
  kept: Kept | null = null
  /** Proofs of reasoning are left behind: a backend has said that they are not its own. */
  stripped = false
  /** What only backends that speak the client's dialect themselves can do of it; '' = nothing. */
  nativeOnly = ''
  /** Of an answer that no attempt writes: told when the client reads again. */
  source: { resume(): void } | null = null
  /** Of the body, unpacked. */
  bytesIn: number
  #translation: Translation | null = null

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
    const named = this.fields?.model ?? this.formModel
    // The provider's own model has its own name here: what is called alike elsewhere is another one.
    return this.own === null ? named : ownModel(this.own, named)
  }
  /** What the client says in no vendor's words; read on first use. Throws GatewayError when it cannot be read. */
  get translation(): Translation {
    this.#translation ??= new Translation(
      clientOf(this.operation)!,
      this.fields!,
      this.id,
      Math.floor(this.services.clock.now() / 1000),
      this.kept,
      { clock: this.services.clock, startedAt: this.received.startedAt },
    )
    return this.#translation
  }
  /** The parameter that the wire of a target cannot carry; null = all can go to it. */
  uncarried(target: Target, unsupported: 'refuse' | 'drop'): string | null {
    if (this.counting) return countsItself(target.provider, this) ? null : 'count_tokens'
    const wire = wireFor(target.provider, this.operation)
    if (wire === null) return null
    if (this.nativeOnly !== '') return this.nativeOnly
    // Who only asks whether it may call will send what the client sent.
    if (this.door?.decide) return AS_IT_IS
    return this.operation === 'embeddings' ? null : this.translation.uncarried(wire, unsupported)
  }
  /** No attempt will need what the client sent. */
  protected releaseRequest(): void {
    this.received.releaseBody()
    this.fields?.release()
    this.#translation?.release()
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
  /** A backend has had its body, which nobody kept: no other can be asked. */
  get spent(): boolean {
    return this.received.upload?.begun === true
  }
  get mayCost(): boolean {
    return this.received.method === 'POST' && !this.counting
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
