import type { Target } from '../contracts/routing.ts'
import type { Usage } from '../contracts/usage.ts'
import type { FailureOrigin } from '../routing/failure.ts'

/** What the log, explain and metrics say of one attempt. */
export interface AttemptRecord {
  readonly target: string
  readonly model: string
  /** Of several addresses behind the target the one that had it last, `host:port`; '' = there is one. */
  endpoint: string
  /** Why that one was chosen, when the caller asked for it; else ''. */
  endpointNote: string
  readonly hedge: boolean
  /** Ms after the request's start. */
  readonly startMs: number
  ms: number
  status: number
  /** Ms from the attempt's start to its first semantic token or byte; -1 = none. */
  firstTokenMs: number
  /** `ok`, `cancelled`, or the failure's reason. */
  result: string
  /** What it cost, billionths of a US dollar; -1 = not yet counted. */
  nanoUsd: number
  /** What it used, as counted or estimated; null = nothing. */
  usage: Usage | null
  /** The tokens were counted by Heddle, or the price was assumed. */
  estimated: boolean
  /** No price is known for it. */
  unpriced: boolean
  /** Of its span, 16 hex characters; '' = the request has no trace. */
  readonly spanId: string
  /** Whose failure it was; '' = it did not fail, or was given up. */
  origin: '' | FailureOrigin
  /** Of a failure in the mesh: what OpenTelemetry's `error.type` says, such as `mesh.overflow`; else ''. */
  errorType: string
  /** What the proxy next to the backend says that the backend took, ms (`x-envoy-upstream-service-time`); -1 = nothing. */
  proxyMs: number
}

/** Another address of the target than this one can take a call: a failure is that of the address, not of the target. */
export const hasOthers = ({ provider }: Target, endpoint = ''): boolean =>
  (provider.upstream.others?.(endpoint) ?? 0) > 0
