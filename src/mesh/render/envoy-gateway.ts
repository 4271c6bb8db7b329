/** Resources of an Envoy Gateway in front of Heddle: Gateway API, `gateway.envoyproxy.io/v1alpha1`. */
import type { HeddleConfig } from '../../contracts/config.ts'
import type { Place, Rendered } from './parts.ts'
import { deployment, labels, named, networkPolicy, service } from './parts.ts'
import { endpointManifests, pickerManifests } from './endpoints.ts'
import { policyGateway } from './policy-gateway.ts'
import { tracePorts } from './istio.ts'

const API = 'gateway.envoyproxy.io/v1alpha1'

export function renderEnvoyGateway(config: HeddleConfig, place: Place): Rendered {
  const target = { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', name: place.name }
  const gateway = `${place.name}-gateway`
  const notes = [
    `The gateway’s class is called \`eg\` here; Heddle’s pods carry the label ${JSON.stringify(labels(place))}.`,
  ]
  return {
    manifests: [
      service(config, place),
      named(place, 'Gateway', 'gateway.networking.k8s.io/v1', gateway, {
        gatewayClassName: 'eg',
        listeners: [{ name: 'http', protocol: 'HTTP', port: 80 }],
      }),
      named(place, 'HTTPRoute', 'gateway.networking.k8s.io/v1', place.name, {
        parentRefs: [{ name: gateway }],
        rules: [
          {
            matches: [{ path: { type: 'PathPrefix', value: '/v1' } }],
            // Zero is none: Envoy's own fifteen seconds would cut streams.
            timeouts: { request: '0s' },
            backendRefs: [{ name: place.name, port: 80 }],
          },
        ],
      }),
      named(place, 'BackendTrafficPolicy', API, place.name, {
        targetRefs: [target],
        retry: { numRetries: 0 },
        timeout: { http: { requestTimeout: '0s', connectionIdleTimeout: '3600s' } },
        healthCheck: {
          active: {
            type: 'HTTP',
            interval: '2s',
            timeout: '1s',
            unhealthyThreshold: 1,
            healthyThreshold: 1,
            http: { path: '/healthz/ready', expectedStatuses: [200] },
          },
          passive: { consecutive5XxErrors: 5, interval: '10s', baseEjectionTime: '30s', maxEjectionPercent: 50 },
        },
      }),
      named(place, 'ClientTrafficPolicy', API, gateway, {
        targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: gateway }],
        // Names of callers are the gateway's to give, not theirs.
        headers: { xForwardedClientCert: { mode: 'Sanitize' } },
        timeout: { http: { streamIdleTimeout: '0s' } },
      }),
      ...policyGateway(config, place, notes),
      ...endpointManifests(config, place, 'envoy-gateway', notes),
      ...pickerManifests(config, place, notes),
      networkPolicy(config, place, { inbound: [], outbound: tracePorts(config) }),
    ],
    patch: deployment(config, place, { annotations: {} }),
    notes,
  }
}
