import fc from 'fast-check'
import { expect, test } from 'vitest'
import { meshFault, proxyTime } from './origin.ts'

const ENVOY = { server: 'envoy', 'content-type': 'text/plain' }

test.each([
  ['a backend behind Envoy said it', 503, { ...ENVOY, 'x-envoy-upstream-service-time': '3' }, '', null],
  ['a backend said it', 503, { server: 'uvicorn' }, '', null],
  [
    'a backend said it, and Envoy is told to add no headers',
    400,
    { server: 'istio-envoy', 'content-type': 'application/json' },
    '{"error":{}}',
    null,
  ],
  ['an error in a stream of such a backend', 200, { server: 'envoy', 'content-type': 'text/event-stream' }, '', null],
  [
    'circuit breaker, its text formatted as JSON',
    503,
    { server: 'envoy', 'content-type': 'application/json', 'x-envoy-overloaded': 'true' },
    '{}',
    'mesh.overflow',
  ],
  ['circuit breaker', 503, { ...ENVOY, 'x-envoy-overloaded': 'true' }, '', 'mesh.overflow'],
  ['circuit breaker, by its text', 503, ENVOY, 'upstream connect error … reset reason: overflow', 'mesh.overflow'],
  ['connection refused', 503, ENVOY, 'upstream connect error … reset reason: connection failure', 'mesh.connect'],
  ['no healthy upstream', 503, { server: 'istio-envoy' }, 'no healthy upstream', 'mesh.connect'],
  ['route timeout', 504, ENVOY, 'upstream request timeout', 'mesh.timeout'],
  ['local rate limit', 429, ENVOY, 'local_rate_limited', 'mesh.rate_limited'],
  ['black hole', 502, ENVOY, '', 'mesh.egress_denied'],
  ['denied', 403, ENVOY, 'RBAC: access denied', 'mesh.egress_denied'],
  ['no route', 404, ENVOY, '', 'mesh.no_route'],
  ['Linkerd: timeout', 504, { 'l5d-proxy-error': 'HTTP Balancer service in fail-fast: timed out' }, '', 'mesh.timeout'],
  ['Linkerd: denied', 403, { 'l5d-proxy-error': 'unauthorized request on route' }, '', 'mesh.egress_denied'],
  ['Linkerd: connect', 502, { 'l5d-proxy-error': 'Connection refused (os error 111)' }, '', 'mesh.connect'],
  ['Linkerd: fail fast', 503, { 'l5d-proxy-error': 'service in fail-fast' }, '', 'mesh.connect'],
] as const)('%s', (_name, status, headers, body, fault) => {
  expect(meshFault(status, headers, body)).toBe(fault)
})

test('what the proxy says that the backend took', () => {
  expect(proxyTime({ 'x-envoy-upstream-service-time': '12' })).toBe(12)
  for (const value of ['', '-1', '1e9', '12.5', 'x', '9'.repeat(20)])
    expect(proxyTime({ 'x-envoy-upstream-service-time': value })).toBe(-1)
  expect(proxyTime({ 'x-envoy-upstream-service-time': ['1', '2'] })).toBe(-1)
})

test('never an exception, whatever the headers hold', () => {
  const value = fc.oneof(fc.string(), fc.array(fc.string(), { maxLength: 2 }))
  const names = fc.constantFrom('server', 'l5d-proxy-error', 'x-envoy-overloaded', 'x-envoy-upstream-service-time')
  fc.assert(
    fc.property(fc.integer(), fc.dictionary(names, value), fc.string(), (status, headers, body) => {
      meshFault(status, headers, body)
      expect(proxyTime(headers)).toBeGreaterThanOrEqual(-1)
    }),
  )
})
