import type { TracingConfig } from '../../contracts/config-tracing.ts'
import type { ParentContext } from './context.ts'

/** Hex characters of a trace id that decide: the upper 52 of its 56 random bits (W3C Trace Context level 2, 2.2.2.3). */
const FROM = 18
const TO = 31
const RANGE = 2 ** 52

/**
 * Whether a share of all traces has this one. Every party that asks the same id for the same share says the same, and
 * what is in a small share is in every larger one (OpenTelemetry, TraceState: Probability Sampling).
 */
export const inShare = (traceId: string, share: number): boolean =>
  share >= 1 || (share > 0 && Number.parseInt(traceId.slice(FROM, TO), 16) >= (1 - share) * RANGE)

/** With parentBased the decision of a parent is final in both directions; B3's debug is so in any case. */
export function decide(
  { ratio, parentBased }: Pick<TracingConfig, 'ratio' | 'parentBased'>,
  parent: ParentContext | null,
  traceId: string,
): boolean {
  if (parent !== null) {
    if (parent.debug) return true
    if (parentBased && parent.sampled !== undefined) return parent.sampled
  }
  return inShare(traceId, ratio)
}
