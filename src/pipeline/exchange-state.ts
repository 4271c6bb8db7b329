import type { ClientSide, Received, ReplyWriter } from '../contracts/http.ts'
import type { RouteMatch, Target } from '../contracts/routing.ts'
import type { Usage } from '../contracts/usage.ts'
import type { GatewayError } from '../core/errors.ts'
import type { AttemptRecord } from './attempt-record.ts'
import type { CacheRun } from './cache/run.ts'
import type { Door } from './door.ts'
import type { Clients } from './join.ts'
import type { Services } from './services.ts'
import { ExchangeFacts } from './exchange-facts.ts'

/** How far one request is: what telemetry, records and headers tell of it. */
export abstract class ExchangeState extends ExchangeFacts {
  writer: ReplyWriter
  /** The client's, or what keeps the answer on its way to it. */
  ownWriter: ReplyWriter
  readonly attempts: AttemptRecord[] = []
  /** Monotonic ms; Infinity = none. By then a stream must have begun, anything else be complete. */
  deadlineAt = Infinity
  /** Of upstreamMs, what was spent waiting for places. */
  queueMs = 0
  /** Targets that limits, a full queue or the deadline kept it from. */
  passedOver: { readonly target: string; readonly reason: string }[] | null = null
  match: RouteMatch | null = null
  usage: Usage | null = null
  answeredBy: Target | null = null
  answeredModel = ''
  error: GatewayError | null = null
  status = 0
  bytesOut = 0
  /** Ms after startedAt; -1 = not reached. */
  firstByteMs = -1
  totalMs = -1
  /** Time in which a backend was being waited for; the rest is Heddle's own. */
  upstreamMs = 0
  hedged = false
  continued = 0
  /** It goes on without its client. */
  detached: Pick<ClientSide, 'onClientGone'> | null = null
  planNote = ''
  over = false
  /** All that get one answer, when they are several. */
  clients: Clients | null = null
  /** null = its answer is not kept, and was not looked for. */
  cache: CacheRun | null = null

  /** door: null = Heddle makes the calls. */
  constructor(services: Services, received: Received, writer: ReplyWriter, door: Door | null) {
    super(services, received, door)
    this.writer = this.ownWriter = writer
  }
}
