import type { SocketLink, SocketListener } from '../../contracts/socket.ts'
import type { UpstreamHeaders, UpstreamRequest } from '../../contracts/upstream.ts'
import type { Usage } from '../../contracts/usage.ts'
import type { AttemptPlan } from '../attempt.ts'
import type { RealtimeMeter } from './meter.ts'
import { GatewayError } from '../../core/errors.ts'
import { usageHints } from '../../protocol/usage.ts'
import { classifyFault, cleanMessage } from '../../routing/failure.ts'
import { RawAttempt, type RawOwner } from '../raw-attempt.ts'
import { secretsOf } from '../attempt-secrets.ts'
import { modelOfSetup, RealtimeUsage } from './usage.ts'

/** The owner of a session. */
export interface RealtimeOwner extends RawOwner {
  fail(error: GatewayError): void
  onClientGone(): void
}

/** The client's side of an upgrade that is asked for. */
export interface UpgradeDoor {
  /** Subprotocols that the client offers, keys taken out. */
  readonly protocols: readonly string[]
  /** The client's end; null until the owner has sent the head 101. */
  readonly link: SocketLink | null
  readonly meter: RealtimeMeter
  /** Longest message of the backend, bytes. */
  readonly maxMessage: number
  /** More has been used: false = a limit that stops streams has no more. */
  keepUsage(attempt: RealtimeAttempt, usage: Usage): boolean
  /** The session says late which model it is of; null = the caller may use it. */
  nameModel(attempt: RealtimeAttempt, model: string): GatewayError | null
  attempt(plan: AttemptPlan & { readonly owner: RealtimeOwner }): RealtimeAttempt
}

/** Both ends are asked whether they live, and are gone when they have said nothing for two and a half rounds, ms. */
const PING_MS = 20_000
const DEAD_MS = 50_000
/** Neither end has sent anything for so long: the session is closed, ms. Providers end sessions after an hour. */
const IDLE_MS = 15 * 60_000
/** The other end has this long to answer a close with its own, ms. */
const CLOSING_MS = 3000
/** Many small checks of one timer are enough for all of these. */
const CHECK_MS = 1000

const NO_CODE = 1005
const BROKEN = 1006
const GOING_AWAY = 1001

/** One direction of a session: what its end sends goes to the other. */
class Side implements SocketListener {
  readonly #attempt: RealtimeAttempt
  readonly fromClient: boolean
  readonly link: SocketLink
  /** Wheel time. */
  seenAt: number
  /** It is not read since then, as the other end is slow; -1 = it is read. */
  pausedAt = -1
  other: Side | null = null

  constructor(attempt: RealtimeAttempt, link: SocketLink, fromClient: boolean, now: number) {
    this.#attempt = attempt
    this.link = link
    this.fromClient = fromClient
    this.seenAt = now
  }

  onMessage(data: Buffer, binary: boolean): void {
    this.#attempt.take(this, data, binary)
  }

  /** What was on its way to this end has left: the other one may go on. */
  onDrain(): void {
    if (this.other !== null) this.other.go()
  }

  onAlive(): void {
    this.#attempt.alive(this)
  }

  onClose(code: number, reason: string): void {
    this.#attempt.closed(this, code, reason)
  }

  stop(now: number): void {
    if (this.pausedAt >= 0) return
    this.pausedAt = now
    this.link.pause()
  }

  go(): void {
    if (this.pausedAt < 0) return
    this.pausedAt = -1
    this.#attempt.alive(this)
    this.link.resume()
  }
}

/** A WebSocket at a backend whose messages go on unchanged, both ways, once the client's upgrade has been accepted. */
export class RealtimeAttempt extends RawAttempt {
  declare readonly owner: RealtimeOwner
  readonly #door: UpgradeDoor
  readonly #used: RealtimeUsage
  readonly #secrets: readonly string[]
  #backendLink: SocketLink | null = null
  #client: Side | null = null
  #backend: Side | null = null
  /** Wheel time of the last message; of the first close. */
  #messageAt = 0
  #closingAt = -1
  #pingedAt = 0
  #first = true

  constructor(plan: AttemptPlan & { readonly owner: RealtimeOwner }, door: UpgradeDoor) {
    super(plan)
    this.#door = door
    const { config } = plan.target.provider
    this.#used = new RealtimeUsage(usageHints(config.type))
    this.#secrets = secretsOf(config, plan.credential)
  }

  get #now(): number {
    return this.owner.services.wheel.coarseNow
  }

  override start(request: UpstreamRequest): void {
    const { protocols, maxMessage } = this.#door
    const opened = (link: SocketLink): void => {
      this.#backendLink = link
    }
    super.start({ ...request, socket: { protocols, maxMessage, opened } })
  }

  /** Of the link that was agreed on with the backend; '' = none. */
  get protocol(): string {
    return this.#backendLink?.protocol ?? ''
  }

  override onHead(status: number, headers: UpstreamHeaders): void {
    if (this.over) return
    if (status !== 101) {
      // An answer where a session was asked for: whatever it says, it is none.
      super.onHead(status >= 200 && status < 300 ? 502 : status, headers)
      return
    }
    this.status = this.record.status = status
    this.headers = headers
    this.onAnswerHead()
    if (!this.committed) {
      this.#backendLink?.destroy()
      return
    }
    const { link } = this.#door
    if (link === null) {
      // The client has left in this very moment.
      this.owner.onClientGone()
      return
    }
    this.#join(link, this.#backendLink!)
  }

  #join(clientLink: SocketLink, backendLink: SocketLink): void {
    const now = (this.#messageAt = this.#pingedAt = this.#now)
    const client = new Side(this, clientLink, true, now)
    const backend = new Side(this, backendLink, false, now)
    client.other = backend
    backend.other = client
    this.#client = client
    this.#backend = backend
    clientLink.listener = client
    backendLink.listener = backend
    this.#door.meter.opened()
    this.owner.services.wheel.arm(this, CHECK_MS)
  }

  // ── messages ──────────────────────────────────────────────────────────────
  take(from: Side, data: Buffer, binary: boolean): void {
    if (this.over || this.#closingAt >= 0) {
      // The last count may come after the client has said that it goes.
      if (!this.over && !from.fromClient && this.#used.read(data)) this.#keepUp()
      return
    }
    from.seenAt = this.#messageAt = this.#now
    this.#door.meter.message(from.fromClient, data.length)
    if (from.fromClient && this.#first && !this.#begins(data)) return
    const more = !from.fromClient && this.#used.read(data)
    if (!from.other!.link.send(data, binary)) from.stop(this.#now)
    if (!from.fromClient) this.owner.onRawData(data)
    if (more) this.#keepUp()
  }

  /** The first message of a client may name the model. False = it may not go on. */
  #begins(data: Buffer): boolean {
    this.#first = false
    if (this.model !== '') return true
    const model = modelOfSetup(data)
    const refusal = model === '' ? null : this.#door.nameModel(this, model)
    if (refusal === null) return true
    this.owner.fail(refusal)
    return false
  }

  #keepUp(): void {
    if (this.#door.keepUsage(this, this.#used.total)) return
    this.owner.fail(new GatewayError('budget_exceeded', 'A limit was used up while the session was open.'))
  }

  alive(side: Side): void {
    side.seenAt = this.#now
  }

  // ── the end ───────────────────────────────────────────────────────────────
  closed(side: Side, code: number, reason: string): void {
    if (this.over) return
    if (this.#closingAt >= 0) {
      this.#done()
      return
    }
    this.#door.meter.closed(side.fromClient, code)
    if (code === BROKEN) {
      if (side.fromClient) this.owner.onClientGone()
      else this.fail(classifyFault({ kind: 'reset', detail: 'the session broke' }, this.target.name))
      return
    }
    const said = side.fromClient ? reason : cleanMessage(reason, this.#secrets)
    side.other!.link.close(code === NO_CODE ? NO_CODE : code, said)
    // A backend's close is the end; a client's is answered, after what was still to be said.
    if (side.fromClient) this.#closingAt = this.#now
    else this.#done()
  }

  #done(): void {
    this.#backend?.link.close(NO_CODE, '')
    this.succeed(false)
  }

  override onEnd(): void {
    if (this.#backend === null) super.onEnd()
    else if (this.over) this.owner.services.wheel.disarm(this)
  }

  override cancel(): void {
    super.cancel()
    this.#backendLink?.destroy()
  }

  override answerTokens(): number {
    return this.#used.total.outputTokens
  }

  protected override readUsage(): void {
    if (!this.committed) return
    this.usage = this.#used.total
    // Asked once, at the end.
    if (this.#client !== null) this.#door.meter.ended()
  }

  // ── timers ────────────────────────────────────────────────────────────────
  protected override nextCheck(): number {
    return this.committed ? CHECK_MS : super.nextCheck()
  }

  protected override onDue(): void {
    if (!this.committed) {
      super.onDue()
      return
    }
    const [client, backend, now] = [this.#client!, this.#backend!, this.#now]
    if (this.#closingAt >= 0) {
      if (now - this.#closingAt >= CLOSING_MS) {
        backend.link.destroy()
        this.#done()
      }
    } else if (this.#stalled(client, backend, now) || this.#dead(client, backend, now)) return
    else if (now - this.#messageAt >= IDLE_MS) {
      client.link.close(GOING_AWAY, 'idle')
      backend.link.close(GOING_AWAY, 'idle')
      this.#done()
    } else if (now - this.#pingedAt >= PING_MS) {
      this.#pingedAt = now
      client.link.ping()
      backend.link.ping()
    }
  }

  /** An end that takes nothing for as long as clients may. */
  #stalled(client: Side, backend: Side, now: number): boolean {
    const { clientStallMs } = this.owner.services.limits
    if (clientStallMs === 0) return false
    if (backend.pausedAt >= 0 && now - backend.pausedAt >= clientStallMs) {
      this.owner.onClientStalled()
      return true
    }
    if (client.pausedAt < 0 || now - client.pausedAt < clientStallMs) return false
    this.timeout('idle')
    return true
  }

  /** Of an end that is not read no word can come. */
  #dead(client: Side, backend: Side, now: number): boolean {
    if (client.pausedAt < 0 && now - client.seenAt >= DEAD_MS) {
      this.owner.onClientStalled()
      return true
    }
    if (backend.pausedAt >= 0 || now - backend.seenAt < DEAD_MS) return false
    this.fail(classifyFault({ kind: 'reset', detail: 'no sign of life' }, this.target.name))
    return true
  }
}
