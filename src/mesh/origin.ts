import type { UpstreamHeaders } from '../contracts/upstream.ts'

/** What a proxy on the way did in place of the backend: the values of OpenTelemetry's `error.type` that Heddle gives it. */
export type MeshFault =
  | 'mesh.overflow'
  | 'mesh.connect'
  | 'mesh.timeout'
  | 'mesh.rate_limited'
  | 'mesh.egress_denied'
  | 'mesh.no_route'
  | 'mesh.error'

const has = (headers: UpstreamHeaders, name: string): boolean => headers[name] !== undefined

const textOf = (headers: UpstreamHeaders, name: string): string => {
  const value = headers[name]
  return typeof value === 'string' ? value : (value?.[0] ?? '')
}

/**
 * Whether an error answer was made by a proxy of the mesh, and why; null = the backend made it. Only to be asked of hops
 * on which a proxy can speak HTTP: many vendors have an Envoy of their own in front. body: the beginning of the text.
 *
 * Envoy marks what a real backend said with `x-envoy-upstream-service-time`, and gives its own answers no such header and
 * plain text, if any (`suppress_envoy_headers` of its router, Istio's `envoyDebugHeaders`, leave the mark out of all).
 * Linkerd's proxy names its reason in `l5d-proxy-error`.
 */
export function meshFault(status: number, headers: UpstreamHeaders, body: string): MeshFault | null {
  if (has(headers, 'l5d-proxy-error')) return linkerdFault(status, textOf(headers, 'l5d-proxy-error'))
  const byEnvoy = /^(?:istio-)?envoy$/.test(textOf(headers, 'server'))
  if (!byEnvoy || has(headers, 'x-envoy-upstream-service-time')) return null
  if (has(headers, 'x-envoy-overloaded')) return 'mesh.overflow'
  // Where Envoy is told to add no headers of its own the mark is missing from what backends say, too.
  if (has(headers, 'content-type') && !textOf(headers, 'content-type').startsWith('text/plain')) return null
  if (body.includes('reset reason: overflow')) return 'mesh.overflow'
  switch (status) {
    case 503:
      return 'mesh.connect'
    case 504:
    case 408:
      return 'mesh.timeout'
    case 429:
      return 'mesh.rate_limited'
    // Istio's BlackHoleCluster, and a denial by policy.
    case 502:
    case 403:
      return 'mesh.egress_denied'
    case 404:
      return 'mesh.no_route'
    default:
      return 'mesh.error'
  }
}

function linkerdFault(status: number, reason: string): MeshFault {
  if (status === 403) return 'mesh.egress_denied'
  if (/timed? ?out|timeout|deadline/i.test(reason) || status === 504) return 'mesh.timeout'
  if (/overload|queue|load ?shed|capacity|exhausted/i.test(reason)) return 'mesh.overflow'
  if (status === 429) return 'mesh.rate_limited'
  if (status === 404) return 'mesh.no_route'
  if (/connect|refused|unavailable|no route|reset|unreachable/i.test(reason) || status >= 502) return 'mesh.connect'
  return 'mesh.error'
}

/** `x-envoy-upstream-service-time` in ms; -1 = none that is a number. */
export function proxyTime(headers: UpstreamHeaders): number {
  const value = headers['x-envoy-upstream-service-time']
  return typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : -1
}
