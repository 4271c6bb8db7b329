import type { Member, PickOptions } from '../../contracts/cluster.ts'
import type { BalancingConfig } from '../../contracts/config-cluster.ts'
import { GatewayError } from '../../core/errors.ts'
import { MAX_ENDPOINTS, type ClusterMemory } from './cluster-memory.ts'

/** Above all priorities that a registry can give. */
const DRAINING = 2 ** 33
const FAILED = 2 ** 34
const RESTING = 2 ** 35
/** What members tell of their load counts against them for so long, ms. */
const SATURATED_MS = 5000
const RETRY_MS = 1000

/** Who of a cluster's members may get a call. Holds what it last found. */
export class Candidates {
  /** Indexes of members; the first `count` hold. */
  readonly indexes = new Int32Array(MAX_ENDPOINTS)
  count = 0
  readonly #memory: ClusterMemory
  readonly #saturation: BalancingConfig['saturation']
  readonly #keys = new Float64Array(MAX_ENDPOINTS)

  constructor(memory: ClusterMemory, saturation: BalancingConfig['saturation']) {
    this.#memory = memory
    this.#saturation = saturation
  }

  /**
   * Those of the lowest priority that are ready and well; if there are none, those that drain; if there are none either,
   * those that have failed this very call before; and last those that rest after failures: a wrong verdict on all must not
   * end everything. priority < 0: may be refused.
   * Throws GatewayError `upstream_unavailable`, `overloaded`.
   */
  find(members: readonly Member[], options: PickOptions, priority: number): void {
    const { subset, tried, failed, now } = options
    let best = Infinity
    for (let i = 0; i < members.length; i++) {
      const member = members[i]!
      let key = Infinity
      if ((tried === undefined || !tried.includes(member.slot)) && (subset == null || subset.has(member.address))) {
        key = member.priority
        if (member.state === 'draining') key += DRAINING
        if (failed !== undefined && failed.includes(member.address)) key += FAILED
        if (this.#memory.resting(member.slot, now)) key += RESTING
      }
      this.#keys[i] = key
      if (key < best) best = key
    }
    if (best === Infinity) throw none(members, options)
    this.count = 0
    let saturated = 0
    for (let i = 0; i < members.length; i++) {
      if (this.#keys[i] !== best) continue
      this.indexes[this.count++] = i
      if (this.saturated(members[i]!.slot, now)) saturated++
    }
    if (saturated === 0) return
    if (saturated === this.count) {
      if (priority >= 0) return
      throw new GatewayError('overloaded', 'All endpoints of the model are saturated; this request may wait.', {
        retryAfterMs: RETRY_MS,
        detail: `${saturated} endpoints are saturated, and the call's priority is ${priority}`,
      })
    }
    let kept = 0
    for (let at = 0; at < this.count; at++) {
      const i = this.indexes[at]!
      if (!this.saturated(members[i]!.slot, now)) this.indexes[kept++] = i
    }
    this.count = kept
  }

  saturated(slot: number, now: number): boolean {
    const memory = this.#memory
    return (
      (memory.queue(slot) > this.#saturation.queue && now - memory.queueAt(slot) < SATURATED_MS) ||
      (memory.kv(slot) > this.#saturation.kv && now - memory.kvAt(slot) < SATURATED_MS)
    )
  }
}

function none(members: readonly Member[], { subset, tried }: PickOptions): GatewayError {
  let detail = 'no endpoint of the cluster is known'
  if (members.length > 0)
    detail =
      tried !== undefined && tried.length > 0
        ? `all endpoints were tried: ${tried.length} of ${members.length}`
        : `none of ${members.length} endpoints is one of the ${subset?.size ?? 0} that may be picked`
  return new GatewayError('upstream_unavailable', 'No endpoint of the model can take the request now.', {
    retryAfterMs: RETRY_MS,
    detail,
  })
}
