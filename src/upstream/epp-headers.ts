/** Names of the protocol between gateways and endpoint pickers (GIE proposal 004, and llm-d-router's pkg/epp/metadata). */
import type { PickHints } from '../contracts/cluster.ts'

export const DESTINATION = 'x-gateway-destination-endpoint'
export const SERVED = 'x-gateway-destination-endpoint-served'
export const SUBSET_SPACE = 'envoy.lb.subset_hint'
export const SUBSET = 'x-gateway-destination-endpoint-subset'
export const DROPPED_REASON = ['x-llm-d-request-dropped-reason', 'x-gateway-request-dropped-reason'] as const

/** What pickers have renamed: who is sent one is sent the other as well. */
const PAIRS = [
  ['x-llm-d-inference-objective', 'x-gateway-inference-objective'],
  ['x-llm-d-inference-fairness-id', 'x-gateway-inference-fairness-id'],
  ['x-llm-d-model-name-rewrite', 'x-gateway-model-name-rewrite'],
  ['x-llm-d-slo-ttft-ms', 'x-slo-ttft-ms'],
  ['x-llm-d-slo-tpot-ms', 'x-slo-tpot-ms'],
] as const
const TWINS: ReadonlyMap<string, string> = new Map(
  PAIRS.flatMap(([now, before]) => [[now, before] as const, [before, now] as const]),
)

/** The picker needs no key, and a vendor may call its key what it likes. */
const SECRET = /auth|cookie|key|token|secret|passw|credential|signature/
const NO_SECRETS = new Set(['idempotency-key', 'x-session-token'])
const isSecret = (name: string): boolean => SECRET.test(name) && !NO_SECRETS.has(name)
/** Not for a picker to set: of the connection, of the credentials, and the choice itself. */
const NOT_TO_SET = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'upgrade',
  'te',
  'trailer',
  'expect',
  DESTINATION,
])

/** Headers of the call as the picker sees it, keys left out. headers: flat. */
export function headersFor(hints: PickHints, headers: readonly string[]): { key: string; rawValue: Buffer }[] {
  const all = new Map<string, string>([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/v1/chat/completions'],
  ])
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase()
    if (!isSecret(name)) all.set(name, headers[i + 1]!)
  }
  if (hints.session !== '' && !all.has('x-session-id')) all.set('x-session-id', hints.session)
  for (const [name, value] of all) {
    const twin = TWINS.get(name)
    if (twin !== undefined && !all.has(twin)) all.set(twin, value)
  }
  return [...all].map(([key, value]) => ({ key, rawValue: Buffer.from(value, 'latin1') }))
}

/** May stand on the call when the picker sets it. */
export const maySet = (name: string): boolean => !name.startsWith(':') && !NOT_TO_SET.has(name) && !isSecret(name)
