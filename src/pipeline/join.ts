import type { OpenMember } from '../core/open-list.ts'
import type { Exchange } from './exchange.ts'
import { CallbackTimer } from '../core/wheel.ts'
import { GatewayError } from '../core/errors.ts'
import { FanOut, type Dress } from './fan-out.ts'

/**
 * Gives a request that says that it is repeated the answer of an earlier try which is still waiting for it: same id, same
 * caller, same bytes. Proxies and SDKs send a request again while the first is at work; it is paid for once. Looks at
 * all that is open. False = there is none.
 */
export function joinEarlier(x: Exchange): boolean {
  for (let member: OpenMember | null = x.nextOpen; member !== null && member !== x; member = member.nextOpen) {
    if (!('snapshot' in member)) continue
    // One whose own client has left is in no list: those that wait for its answer are.
    const leader = (member as Exchange).clients?.leader ?? (member as Exchange)
    if (!isJoinable(leader) || !isSame(leader, x)) continue
    ;(leader.clients ?? new Clients(leader, 0)).add(x)
    return true
  }
  return false
}

/** Its answer has not begun. */
const isJoinable = (x: Exchange): boolean => !x.over && x.firstByteMs < 0 && x.fields !== null

function isSame(a: Exchange, b: Exchange): boolean {
  return (
    a.id === b.id &&
    a.principal.kind === b.principal.kind &&
    a.principal.keyId === b.principal.keyId &&
    a.principal.peer?.id === b.principal.peer?.id &&
    a.snapshot === b.snapshot &&
    a.received.method === b.received.method &&
    a.received.path === b.received.path &&
    a.received.query === b.received.query &&
    a.received.body.equals(b.received.body)
  )
}

/** The answer has as much time as the most patient of those that wait for it gives. */
function giveTime(leader: Exchange, x: Exchange): void {
  const { startedAt } = leader.received
  const had = startedAt + leader.budgetMs
  const until = x.received.startedAt + x.budgetMs
  if (until <= had) return
  leader.budgetMs = until - startedAt
  // Else the route's own time is less, or none is set yet.
  if (leader.deadlineAt !== had) return
  const totalMs = leader.match?.route.timeouts.totalMs ?? 0
  leader.deadlineAt = totalMs > 0 ? Math.min(until, startedAt + totalMs) : until
}

/** Ends as the request whose answer it has got, by its own clock: what it waited for was the backend as well. */
export function takeOutcome(x: Exchange, leader: Exchange): void {
  const { match, stream, status, error, bytesOut, answeredBy, answeredModel } = leader
  Object.assign(x, { match, stream, status, error, bytesOut, answeredBy, answeredModel })
  if (leader.firstByteMs < 0) return
  const own = Math.max(0, leader.firstByteMs - leader.upstreamMs)
  x.firstByteMs = Math.max(0, leader.firstByteMs - (x.received.startedAt - leader.received.startedAt))
  x.upstreamMs = Math.max(0, x.firstByteMs - own)
}

/** Answers that could not be had once are tried for again by so many of those that wait for them. */
const MAX_HAND_OVERS = 3

/** All whose answer one request is getting: its own client, and those of others that asked the same. */
export class Clients {
  leader: Exchange
  readonly writer: FanOut
  readonly #followers = new Map<Exchange, CallbackTimer | null>()
  #leaderIsGone = false
  #handOvers = 0
  /** Told when the request that gets the answer is another one from now on. */
  onHandOver: ((leader: Exchange) => void) | null = null

  readonly #handsOver: boolean

  /** From now on the leader writes to all. keep: bytes of the answer that stay for those who come late; 0 = it is one request that came several times. */
  constructor(leader: Exchange, keep: number) {
    this.leader = leader
    this.#handsOver = keep > 0
    this.writer = new FanOut(keep)
    this.writer.add(leader.ownWriter)
    leader.clients = this
    leader.writer = this.writer
  }

  /** dress: what of the head is the follower's own; left out: it gets the leader's. timed: it waits no longer than its own caller does. */
  add(follower: Exchange, dress: Dress | null = null, timed = false): void {
    const { leader } = this
    follower.clients = this
    const left = follower.received.startedAt + follower.budgetMs - follower.services.clock.monotonic()
    const timer = timed && left < Infinity ? new CallbackTimer(() => this.#tooLate(follower)) : null
    this.#followers.set(follower, timer)
    if (timer !== null) follower.services.wheel.arm(timer, Math.max(1, left))
    giveTime(leader, follower)
    this.writer.add(follower.ownWriter, dress, () => this.#isServed(follower))
  }

  get size(): number {
    return this.#followers.size
  }

  #tooLate(follower: Exchange): void {
    if (this.writer.hasHead(follower.ownWriter)) return
    follower.fail(
      new GatewayError('deadline_exceeded', 'The answer did not begin within the time that the caller gave.'),
    )
  }

  /** All of the answer is with that client: it need not wait for slower ones. */
  #isServed(follower: Exchange): void {
    if (this.leader.over) this.#endOne(follower)
  }

  #endOne(follower: Exchange): void {
    if (!this.#forget(follower)) return
    follower.endAs(this.leader)
  }

  #forget(follower: Exchange): boolean {
    const timer = this.#followers.get(follower)
    if (timer === undefined) return false
    if (timer !== null) follower.services.wheel.disarm(timer)
    return this.#followers.delete(follower)
  }

  /**
   * One of them fails. True: so do all, and are told by the one that gets the answer. False: it alone, and the others go on,
   * with another one of them to get the answer if it was that one.
   */
  failsAll(x: Exchange, error: GatewayError): boolean {
    const { leader } = this
    if (x !== leader) {
      if (this.writer.hasHead(x.ownWriter)) {
        // Only that one knows how far the answer is.
        leader.fail(error)
        return true
      }
      this.#forget(x)
      this.#leave(x)
      return false
    }
    if (!this.#handOver(error) && this.#handsOver && !this.writer.begun)
      for (const follower of this.#followers.keys()) {
        this.#forget(follower)
        this.#leave(follower)
        // In its own words: its dialect's envelope, its id, its limits.
        follower.fail(error)
      }
    return false
  }

  /** x is on its own from now on. */
  #leave(x: Exchange): void {
    this.writer.drop(x.ownWriter)
    x.clients = null
    x.writer = x.ownWriter
  }

  /** What one could not get another may: it has other keys, other targets, more time. Nothing of the answer is out yet. */
  #handOver(error: GatewayError): boolean {
    const next = this.#followers.keys().next().value
    const hopeless = error.status < 429 && error.code !== 'permission_denied'
    if (!this.#handsOver || next === undefined || hopeless || this.writer.begun) return false
    if (++this.#handOvers > MAX_HAND_OVERS) return false
    this.#forget(next)
    this.#leave(this.leader)
    this.leader = next
    this.#leaderIsGone = false
    next.writer = this.writer
    for (const follower of this.#followers.keys()) giveTime(next, follower)
    this.onHandOver?.(next)
    // Not from within the failure: the one that failed has to end first.
    queueMicrotask(() => {
      if (!next.over) next.lead()
    })
    return true
  }

  /** A client is gone. True when it was the leader's, and others still wait for its answer. */
  goesOnWithout(x: Exchange): boolean {
    const left = this.writer.drop(x.ownWriter)
    // It may have been the one that the others were held up by.
    if (left) x.onDrain()
    if (x === this.leader) {
      this.#leaderIsGone = true
      return left
    }
    this.#forget(x)
    // Nobody is left: the backend need not go on.
    if (!left && this.#leaderIsGone) this.leader.onClientGone()
    return false
  }

  /** The answer is complete, or failed: those who have all of it are done, the others as soon as they have. */
  end(): void {
    for (const follower of this.#followers.keys()) if (!this.writer.waitsFor(follower.ownWriter)) this.#endOne(follower)
    if (this.writer.dropStalled()) this.#watchStalled()
  }

  /** No attempt is there any more to see that a client takes nothing of what waits for it here. */
  #watchStalled(): void {
    const { wheel, limits } = this.leader.services
    const timer = new CallbackTimer(() => {
      if (this.writer.dropStalled()) wheel.arm(timer, limits.clientStallMs)
    })
    wheel.arm(timer, limits.clientStallMs)
  }
}
