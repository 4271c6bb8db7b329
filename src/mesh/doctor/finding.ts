/** One thing that the doctor has looked at. */
export interface Finding {
  /** Stable name: dashboards and scripts match on it. */
  readonly id: FindingId
  /** fault: calls will fail, leak, or be paid for twice. warning: worth knowing. ok: looked at and well. skipped: could not be looked at. */
  readonly state: 'fault' | 'warning' | 'ok' | 'skipped'
  /** What was found. */
  readonly message: string
  /** What to do about it; '' = nothing. */
  readonly advice: string
}

export const FINDINGS = {
  config: 'the configuration can be used',
  mesh: 'which mesh this is',
  'proxy-ready': 'the proxy is there and ready',
  'kind-mismatch': '`mesh.kind` says what is there',
  'reserved-port': 'no port of ours is the proxy’s',
  'keep-alive': 'idle connections outlive those of the proxy',
  drain: 'the pod lives as long as its streams',
  heartbeat: 'silent streams are kept awake',
  'provider-failure': 'a failing provider ejects no gateway',
  'retry-owner': 'one layer retries',
  'plaintext-key': 'no key crosses the network in clear',
  'identity-trust': 'identity headers are believed from proxies only',
  headers: 'which headers the way through the mesh takes away',
  'xfcc-forgeable': 'nobody can write x-forwarded-client-cert',
  'l5d-forgeable': 'nobody can write l5d-client-id',
  'request-id': 'request ids stay what they are',
  tracer: 'traces go by the headers that the proxies write',
  'route-timeout': 'no proxy cuts streams',
  'retries-amplified': 'no proxy repeats final answers',
  'policy-port': 'the policy service answers',
  'policy-port-name': 'proxies speak HTTP/2 to the policy service',
  svid: 'the certificate of this workload comes, and lasts',
  discovery: 'where endpoints come from answers',
  epp: 'pickers of pools answer',
} as const

export type FindingId = keyof typeof FINDINGS

export const fault = (id: FindingId, message: string, advice: string): Finding => ({
  id,
  state: 'fault',
  message,
  advice,
})
export const warning = (id: FindingId, message: string, advice: string): Finding => ({
  id,
  state: 'warning',
  message,
  advice,
})
export const ok = (id: FindingId, message: string): Finding => ({ id, state: 'ok', message, advice: '' })
export const skipped = (id: FindingId, message: string): Finding => ({ id, state: 'skipped', message, advice: '' })
