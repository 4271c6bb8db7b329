/**
 * Envoy takes an endpoint out at once when an answer holds this, where it checks health actively (router filter,
 * `x-envoy-immediate-health-check-fail`); its value does not count.
 */
const DRAINING_H2: readonly string[] = ['x-envoy-immediate-health-check-fail', '1']
/** HTTP/2 has GOAWAY in place of `connection`, which it forbids (RFC 9113 8.2.2). */
const DRAINING: readonly string[] = [...DRAINING_H2, 'connection', 'close']
const CLOSING: readonly string[] = ['connection', 'close']
const NOTHING: readonly string[] = []

export interface Ending {
  /** This instance is about to end. */
  readonly draining: boolean
}

/** What an answer says of its connection, flat. last: the connection ends with this answer in any case. */
export function endHeaders(
  ending: Ending,
  req: { readonly httpVersionMajor: number },
  last: boolean,
): readonly string[] {
  const http2 = req.httpVersionMajor > 1
  if (ending.draining) return http2 ? DRAINING_H2 : DRAINING
  return last && !http2 ? CLOSING : NOTHING
}
