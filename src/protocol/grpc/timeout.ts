const TIMEOUT = /^(\d{1,8})([HMSmun])$/
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }
/** Longer than any call. */
const LONGEST_MS = 24 * 3_600_000

/** grpc-timeout in ms (PROTOCOL-HTTP2.md, "Timeout"); Infinity = none, NaN = it is not one. */
export function timeoutMs(value: string | undefined): number {
  if (value === undefined) return Infinity
  const match = TIMEOUT.exec(value)
  if (match === null) return Number.NaN
  const ms = Number(match[1]) * UNIT_MS[match[2]!]!
  return ms > LONGEST_MS ? Infinity : ms
}
