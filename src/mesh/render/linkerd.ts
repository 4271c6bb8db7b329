/** Linkerd's resources for exactly one configuration: `policy.linkerd.io`, Gateway API routes. */
import type { HeddleConfig } from '../../contracts/config.ts'
import type { PeerEntryConfig } from '../../contracts/config-auth.ts'
import type { Manifest, Outside, Place, Rendered } from './parts.ts'
import { deployment, drainTimes, labels, named, networkPolicy, outsideName, outsideOf, service } from './parts.ts'
import { endpointManifests, pickerManifests } from './endpoints.ts'
import { tracePorts } from './istio.ts'

const POLICY = 'policy.linkerd.io/v1alpha1'

/** Everything outside is denied, and each provider's name allowed again. */
function egress(place: Place, outside: readonly Outside[]): readonly Manifest[] {
  const network = named(place, 'EgressNetwork', POLICY, `${place.name}-egress`, { trafficPolicy: 'Deny' })
  const routes = outside.map((call) => {
    const { host, port, tls, mode } = call
    const parentRefs = [{ group: 'policy.linkerd.io', kind: 'EgressNetwork', name: `${place.name}-egress`, port }]
    const name = outsideName(call)
    if (mode === 'connect-proxy')
      return named(place, 'TCPRoute', 'gateway.networking.k8s.io/v1alpha2', name, {
        parentRefs,
        rules: [{ backendRefs: [backendOf(place)] }],
      })
    return tls
      ? named(place, 'TLSRoute', 'gateway.networking.k8s.io/v1alpha2', name, {
          parentRefs,
          hostnames: [host],
          rules: [{ backendRefs: [backendOf(place)] }],
        })
      : named(place, 'HTTPRoute', 'gateway.networking.k8s.io/v1', name, {
          parentRefs,
          hostnames: [host],
          rules: [{ backendRefs: [backendOf(place)] }],
        })
  })
  return [network, ...routes]
}

const backendOf = (place: Place): object => ({
  group: 'policy.linkerd.io',
  kind: 'EgressNetwork',
  name: `${place.name}-egress`,
})

/** `sa.ns.serviceaccount.identity.linkerd.cluster.local`, or a SPIFFE id; null = Linkerd cannot say that pattern. */
function identityOf(entry: PeerEntryConfig): string | null {
  if (entry.id !== null) return /^[^*]+$|^\*(?:\..+)?$/.test(entry.id) ? entry.id : null
  const { namespace, serviceAccount, trustDomain } = entry
  if (namespace === null || /\*/.test(namespace)) return null
  const domain = trustDomain === null || trustDomain.includes('*') ? 'linkerd.cluster.local' : trustDomain
  const account = serviceAccount === null || serviceAccount === '*' ? '*' : serviceAccount
  if (account !== '*' && account.includes('*')) return null
  return `${account}.${namespace}.serviceaccount.identity.${domain}`
}

/** A Server without an AuthorizationPolicy denies all: there are both, or the default of the cluster holds. */
function access(config: HeddleConfig, place: Place, notes: string[]): readonly Manifest[] {
  const server = named(place, 'Server', 'policy.linkerd.io/v1beta3', place.name, {
    podSelector: { matchLabels: labels(place) },
    port: 'http-llm',
    proxyProtocol: 'HTTP/1',
  })
  const { auth } = config
  const entries = auth?.peers?.map ?? []
  const identities = entries.map(identityOf)
  const onlyPeers =
    entries.length > 0 &&
    auth !== null &&
    auth.keys.length === 0 &&
    auth.jwt.length === 0 &&
    auth.signedKeys === null &&
    !auth.anonymous.allowed
  if (!onlyPeers) {
    notes.push('No AuthorizationPolicy: who may call, Heddle decides by keys or tokens, which the mesh does not know.')
    return []
  }
  if (identities.includes(null)) {
    notes.push(
      'No AuthorizationPolicy: a pattern of `auth.peers.map` is one that Linkerd cannot express; Heddle itself enforces it.',
    )
    return []
  }
  return [
    server,
    named(place, 'MeshTLSAuthentication', POLICY, place.name, { identities: [...new Set(identities)] }),
    named(place, 'AuthorizationPolicy', POLICY, place.name, {
      targetRef: { group: 'policy.linkerd.io', kind: 'Server', name: place.name },
      requiredAuthenticationRefs: [{ group: 'policy.linkerd.io', kind: 'MeshTLSAuthentication', name: place.name }],
    }),
  ]
}

export function renderLinkerd(config: HeddleConfig, place: Place): Rendered {
  const { propagation, max } = drainTimes(config)
  const outside = outsideOf(config)
  const notes: string[] = []
  for (const { host, mode } of outside) {
    if (mode === 'mesh-originate')
      notes.push(
        `Linkerd starts no TLS for ${host}: use \`egress.mode: direct-tls\`, or the key would cross the network in clear.`,
      )
    if (mode === 'egress-gateway') notes.push(`Linkerd has no egress gateway: ${host} is called directly.`)
  }
  if (config.server.policy !== null)
    notes.push(
      'Linkerd’s proxies ask no policy service: it is for an ingress in front, such as Envoy Gateway (`--target envoy-gateway`).',
    )
  if (config.mesh.linkerdHeaders)
    notes.push('`mesh.linkerd_headers` needs the control plane to run with `--allow-l5d-request-headers`.')
  return {
    manifests: [
      // A fast 429 counts as a good answer otherwise, and draws more traffic.
      service(config, place, { 'balancer.alpha.linkerd.io/penalize-failures': 'true' }),
      ...egress(place, outside),
      ...access(config, place, notes),
      ...endpointManifests(config, place, 'linkerd', notes),
      ...pickerManifests(config, place, notes),
      networkPolicy(config, place, {
        inbound: [{ port: 4143 }, { port: 4190 }, { port: 4191 }],
        outbound: [{ port: 4143 }, { port: 8080 }, { port: 8086 }, { port: 8090 }, ...tracePorts(config)],
      }),
    ],
    patch: deployment(config, place, {
      annotations: {
        'linkerd.io/inject': 'enabled',
        'config.linkerd.io/proxy-await': 'enabled',
        'config.linkerd.io/shutdown-grace-period': `${propagation + max}s`,
      },
    }),
    notes,
  }
}
