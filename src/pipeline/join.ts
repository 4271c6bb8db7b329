import type { OpenMember } from '../core/open-list.ts'
import type { Exchange } from './exchange.ts'
import { TeeWriter } from './tee-writer.ts'

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
    if (leader.clients === null) {
      leader.clients = new Clients(leader)
      leader.writer = leader.clients.writer
    }
    x.clients = leader.clients
    x.clients.add(x)
    giveTime(leader, x)
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

/** All whose answer one request is getting: its own client, and those of later tries. */
export class Clients {
  readonly leader: Exchange
  readonly writer: TeeWriter
  readonly #followers = new Set<Exchange>()
  #leaderIsGone = false

  constructor(leader: Exchange) {
    this.leader = leader
    this.writer = new TeeWriter(leader.ownWriter)
  }

  add(follower: Exchange): void {
    this.#followers.add(follower)
    this.writer.add(follower.ownWriter)
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
    this.#followers.delete(x)
    // Nobody is left: the backend need not go on.
    if (!left && this.#leaderIsGone) this.leader.onClientGone()
    return false
  }

  /** The answer is complete, or failed. */
  end(): void {
    for (const follower of this.#followers) follower.endAs(this.leader)
    this.#followers.clear()
  }
}
