import type { Signals } from '../contracts/trace.ts'
import { NO_SIGNALS } from './signals.ts'

/** Nobody waits longer: a larger value says nothing. */
const MAX_MS = 24 * 3600 * 1000

/** `gRPC over HTTP2`: at most eight digits and a unit. */
const GRPC = /^(\d{1,8})([HMSmun])$/
const GRPC_UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

const plain = (value: string | undefined, unitMs: number): number =>
  value !== undefined && /^\d{1,10}(?:\.\d{1,6})?$/.test(value) ? Number(value) * unitMs : 0

const grpc = (value: string | undefined): number => {
  const match = value === undefined ? null : GRPC.exec(value)
  return match === null ? 0 : Number(match[1]) * GRPC_UNIT_MS[match[2]!]!
}

const least = (a: number, b: number): number => (b <= 0 || b > MAX_MS ? a : Math.min(a, b))

/**
 * How long the caller, its SDK and the proxies between give the request, ms from its receipt: the least of what they say;
 * Infinity = nobody says anything. Zero, as Envoy writes for no timeout, and what is no number say nothing.
 */
export function callerBudgetMs(signals: Signals): number {
  if (signals === NO_SIGNALS) return Infinity
  let budget = Infinity
  budget = least(budget, plain(signals.expectedTimeoutMs, 1))
  budget = least(budget, grpc(signals.grpcTimeout))
  budget = least(budget, plain(signals.requestTimeoutMs, 1))
  budget = least(budget, plain(signals.sdkTimeout, 1000))
  return least(budget, plain(signals.sdkReadTimeout, 1000))
}

/** A proxy or an SDK sends the request again: an earlier try of it may still be under way, here or elsewhere. */
export const isRepeated = (signals: Signals): boolean =>
  signals !== NO_SIGNALS && (count(signals.attemptCount) > 1 || count(signals.sdkRetryCount) > 0)

const count = (value: string | undefined): number =>
  value !== undefined && /^\d{1,6}$/.test(value) ? Number(value) : 0
