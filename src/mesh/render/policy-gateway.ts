/** The policy service behind an Envoy Gateway: `SecurityPolicy` and `EnvoyExtensionPolicy` of its v1alpha1. */
import type { HeddleConfig } from '../../contracts/config.ts'
import type { Manifest, Place } from './parts.ts'
import { named } from './parts.ts'
import { policyMode } from './policy-envoy.ts'
import { policyNotes } from './policy-notes.ts'

const API = 'gateway.envoyproxy.io/v1alpha1'
/** Routes with this label ask; those that lead to Heddle itself must not, or each call would be decided twice. */
const LABEL = { 'heddle.policy': 'on' }

export function policyGateway(config: HeddleConfig, place: Place, notes: string[]): readonly Manifest[] {
  const { policy } = config.server
  if (policy === null) return []
  const mode = policyMode(policy)
  const targets = {
    targetSelectors: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', matchLabels: LABEL }],
  }
  const backendRefs = [{ name: place.name, namespace: place.namespace, port: policy.port }]
  notes.push(
    ...policyNotes(config, policy, mode),
    'HTTPRoutes to models ask the policy service when they have the label `heddle.policy: "on"`; leave it off those to Heddle itself, and off all that lead to no model.',
    'The rate limit service of an Envoy Gateway is its own, and `BackendTrafficPolicy.rateLimit.global` asks that one: limits of Heddle count by external processing or authorization. What a call used it can take from Heddle’s metadata (`cost.response: { from: Metadata, metadata: { namespace: heddle, key: total_tokens } }`).',
  )
  if (mode === 'decide' && policy.extProc.rewrite)
    notes.push(
      'An Envoy Gateway keeps the host of a call whatever external processing says: routes to vendors need a `URLRewrite` filter with the vendor’s host name.',
    )
  if (mode !== 'decide')
    return [
      named(place, 'SecurityPolicy', API, `${place.name}-authz`, {
        ...targets,
        extAuth: {
          grpc: { backendRefs },
          failOpen: false,
          // Larger ones get 413 of the gateway: a body that is cut cannot be judged.
          bodyToExtAuth: { maxRequestBytes: config.server.limits.body },
        },
      }),
    ]
  return [
    named(place, 'EnvoyExtensionPolicy', API, `${place.name}-ext-proc`, {
      ...targets,
      extProc: [
        {
          backendRefs,
          failOpen: false,
          messageTimeout: '30s',
          processingMode: {
            request: {
              body: 'FullDuplexStreamed',
              attributes: ['source.address', 'connection.uri_san_peer_certificate'],
            },
            response: { body: 'FullDuplexStreamed' },
          },
          metadata: { writableNamespaces: ['heddle'] },
        },
      ],
    }),
  ]
}
