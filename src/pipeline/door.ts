import type { Target } from '../contracts/routing.ts'
import type { Call, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import type { Exchange } from './exchange.ts'

/**
 * Where a request comes in whose call Heddle does not make: a proxy asks what to do, and makes the call itself. All else
 * is as for any request: who may, what counts, where it goes, what the answer is worth.
 */
export type Door = DecisionDoor | CallDoor

/** Nothing comes back of the answer: with the decision the request is over. */
export interface DecisionDoor {
  readonly name: 'authz'
  /** False = it takes nothing of limits. */
  readonly counts: boolean
  /** Once: the request may go to this target, as this model. Takes over what is held of limits (`x.account.lease`). */
  readonly decide: (x: Exchange, target: Target, model: string) => void
}

/** The proxy's call takes the place of ours, and its answer comes back. */
export interface CallDoor {
  readonly name: 'ext_proc'
  readonly counts: true
  readonly decide: null
  /** The call has been handed over: there is no second one. */
  readonly used: boolean
  /** At most one of them is made: `used` tells whether this was it. */
  call(target: Target, request: UpstreamRequest, sink: UpstreamSink): Call
}
