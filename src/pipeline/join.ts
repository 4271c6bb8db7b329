import type { OpenMember } from '../core/open-list.ts'
import type { Exchange } from './exchange.ts'
import { TeeWriter } from './tee-writer.ts'

/**
 * An earlier try of the same request that is still waiting for its answer: same id, same caller, same bytes. Proxies and
 * SDKs send a request again while the first is at work; both get its one answer, and it is paid for once. Only asked for
 * requests that say that they are repeated: it looks at all that is open.
 */
export function earlierTry(x: Exchange): Exchange | null {
  for (let member: OpenMember | null = x.nextOpen; member !== null && member !== x; member = member.nextOpen) {
    const other = member as Partial<Exchange>
    if (other.joinable === true && isSame(member as Exchange, x)) return member as Exchange
  }
  return null
}

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
