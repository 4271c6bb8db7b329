/** Istio's resources for exactly one configuration: `networking.istio.io/v1`, `security.istio.io/v1`, `telemetry.istio.io/v1`. */
import type { HeddleConfig } from '../../contracts/config.ts'
import type { PeerEntryConfig } from '../../contracts/config-auth.ts'
import type { Inside, Manifest, Outside, Place, Rendered } from './parts.ts'
import {
  deployment,
  drainTimes,
  fullName,
  insideOf,
  labels,
  named,
  networkPolicy,
  outsideName,
  outsideOf,
  resourceName,
  service,
} from './parts.ts'

import { endpointManifests, pickerManifests } from './endpoints.ts'
import { policyIstio } from './policy-istio.ts'

const NETWORKING = 'networking.istio.io/v1'

/** One layer retries: left out, Istio would try twice more. */
const NO_RETRIES = { attempts: 0 }

function outsideManifests(place: Place, outside: Outside): readonly Manifest[] {
  const { host, port, tls, mode } = outside
  const name = outsideName(outside)
  const originated = mode === 'mesh-originate'
  const entry = named(place, 'ServiceEntry', NETWORKING, name, {
    hosts: [host],
    location: 'MESH_EXTERNAL',
    resolution: 'DNS',
    exportTo: ['.'],
    ports: [
      originated
        ? { number: port, name: 'http-llm', protocol: 'HTTP', targetPort: 443 }
        : mode === 'connect-proxy'
          ? { number: port, name: 'tcp-proxy', protocol: 'TCP' }
          : { number: port, name: tls ? 'tls-llm' : 'http-llm', protocol: tls ? 'TLS' : 'HTTP' },
    ],
  })
  if (mode === 'egress-gateway') return [entry, ...throughGateway(place, outside, name)]
  if (!originated) return [entry]
  const rule = named(place, 'DestinationRule', NETWORKING, name, {
    host,
    exportTo: ['.'],
    trafficPolicy: {
      // Both written out: without them old versions verified nothing.
      portLevelSettings: [{ port: { number: port }, tls: { mode: 'SIMPLE', sni: host, subjectAltNames: [host] } }],
    },
  })
  const routes = named(place, 'VirtualService', NETWORKING, name, {
    hosts: [host],
    exportTo: ['.'],
    http: [{ route: [{ destination: { host, port: { number: port } } }], retries: NO_RETRIES }],
  })
  return [entry, rule, routes]
}

const GATEWAY_HOST = 'istio-egressgateway.istio-system.svc.cluster.local'

/** TLS passes through the gateway as it is; it routes by the name in the handshake. */
function throughGateway(place: Place, { host, port, tls }: Outside, name: string): readonly Manifest[] {
  const gateway = `${name}-egress`
  const protocol = tls ? 'TLS' : 'HTTP'
  const match = (gateways: readonly string[]): object =>
    tls ? { gateways, port, sniHosts: [host] } : { gateways, port }
  const route = (to: string, number: number): object => ({ route: [{ destination: { host: to, port: { number } } }] })
  const hops = [
    { match: [match(['mesh'])], ...route(GATEWAY_HOST, port) },
    { match: [match([gateway])], ...route(host, port) },
  ]
  return [
    named(place, 'Gateway', NETWORKING, gateway, {
      selector: { istio: 'egressgateway' },
      servers: [
        {
          port: { number: port, name: tls ? 'tls-llm' : 'http-llm', protocol },
          hosts: [host],
          ...(tls ? { tls: { mode: 'PASSTHROUGH' } } : {}),
        },
      ],
    }),
    named(place, 'VirtualService', NETWORKING, name, {
      hosts: [host],
      gateways: ['mesh', gateway],
      ...(tls ? { tls: hops } : { http: hops.map((hop) => ({ ...hop, retries: NO_RETRIES })) }),
    }),
  ]
}

/** Who retries what Heddle calls: Heddle, and so not the sidecar. */
const insideManifest = (config: HeddleConfig, place: Place, { host, port }: Inside): readonly Manifest[] =>
  config.mesh.retries.owner === 'mesh'
    ? []
    : [
        named(place, 'VirtualService', NETWORKING, resourceName(`llm-${host}-${port}`), {
          hosts: [fullName(host, place.namespace)],
          exportTo: ['.'],
          http: [
            {
              match: [{ port }],
              route: [{ destination: { host: fullName(host, place.namespace), port: { number: port } } }],
              retries: NO_RETRIES,
            },
          ],
        }),
      ]

/** `spiffe://td/ns/a/sa/b` without its scheme, as Istio names principals; null = it cannot say that pattern. */
function principalOf(entry: PeerEntryConfig): string | null {
  if (entry.id !== null) {
    const id = entry.id.replace(/^spiffe:\/\//, '')
    // Exact, prefix*, *suffix, or * alone.
    return /^[^*]+$|^[^*]+\*$|^\*[^*]+$|^\*$/.test(id) ? id : null
  }
  const { trustDomain, namespace, serviceAccount } = entry
  if (namespace === null || serviceAccount === null || /\*/.test(namespace + serviceAccount)) return null
  const path = `/ns/${namespace}/sa/${serviceAccount}`
  return trustDomain === null || trustDomain.includes('*') ? `*${path}` : `${trustDomain}${path}`
}

function accessManifests(config: HeddleConfig, place: Place, notes: string[]): readonly Manifest[] {
  const selector = { matchLabels: labels(place) }
  const strict = named(place, 'PeerAuthentication', 'security.istio.io/v1', place.name, {
    selector,
    mtls: { mode: 'STRICT' },
  })
  const entries = config.auth?.peers?.map ?? []
  if (entries.length === 0) {
    if (config.mesh.identity.trust === 'none') return []
    return [strict]
  }
  const keyed = config.auth!.keys.length > 0 || config.auth!.jwt.length > 0 || config.auth!.signedKeys !== null
  if (keyed || config.auth!.anonymous.allowed) {
    notes.push(
      'No AuthorizationPolicy: callers with keys or tokens are let in by Heddle, and the mesh does not know them.',
    )
    return [strict]
  }
  const principals = entries.map(principalOf).filter((principal) => principal !== null)
  const namespaces = entries
    .filter((entry) => principalOf(entry) === null && entry.id === null && entry.serviceAccount === null)
    .map(({ namespace }) => namespace)
    .filter((namespace) => namespace !== null && !namespace.includes('*'))
  const from = [
    ...(principals.length === 0 ? [] : [{ source: { principals: [...new Set(principals)] } }]),
    ...(namespaces.length === 0 ? [] : [{ source: { namespaces: [...new Set(namespaces)] } }]),
  ]
  if (principals.length + namespaces.length < entries.length) {
    notes.push(
      'No AuthorizationPolicy: a pattern of `auth.peers.map` is one that Istio cannot express; Heddle itself enforces it.',
    )
    return [strict]
  }
  const port = String(config.server.port)
  return [
    strict,
    named(place, 'AuthorizationPolicy', 'security.istio.io/v1', place.name, {
      selector,
      action: 'ALLOW',
      rules: [
        { from, to: [{ operation: { ports: [port] } }] },
        // Probes come from the node, without an identity.
        { to: [{ operation: { ports: [port], paths: ['/healthz/*'] } }] },
        { to: [{ operation: { ports: [String(config.server.adminPort)], paths: ['/metrics', '/livez', '/readyz'] } }] },
      ],
    }),
  ]
}

const telemetry = (config: HeddleConfig, place: Place): Manifest =>
  named(place, 'Telemetry', 'telemetry.istio.io/v1', place.name, {
    selector: { matchLabels: labels(place) },
    tracing: [
      {
        providers: [{ name: config.tracing.istioProvider === 'zipkin' ? 'zipkin' : 'otel-tracing' }],
        randomSamplingPercentage: Math.round(config.tracing.ratio * 10_000) / 100,
      },
    ],
  })

export function renderIstio(config: HeddleConfig, place: Place): Rendered {
  const ambient = config.mesh.kind === 'istio-ambient'
  const { propagation, max } = drainTimes(config)
  const notes = [
    'Telemetry names an extension provider of MeshConfig (`otel-tracing` or `zipkin`): it must exist there.',
  ]
  const host = `${place.name}.${place.namespace}.svc.cluster.local`
  const own = named(place, 'VirtualService', NETWORKING, place.name, {
    hosts: [host],
    // No timeout: Istio would count it to the end of a stream.
    http: [{ route: [{ destination: { host, port: { number: 80 } } }], retries: NO_RETRIES }],
  })
  const rule = named(place, 'DestinationRule', NETWORKING, place.name, {
    host,
    trafficPolicy: {
      connectionPool: { http: { idleTimeout: '3600s' } },
      // A gateway that says 5xx of itself is ill; what its providers say goes out as 424.
      outlierDetection: { consecutive5xxErrors: 5, interval: '10s', baseEjectionTime: '30s', maxEjectionPercent: 50 },
    },
  })
  if (config.mesh.providerFailure === 'passthrough')
    notes.push(
      '`mesh.provider_failure: passthrough` lets a failing provider eject healthy gateways by outlier detection: leave it out, or leave `mesh-safe`.',
    )
  if (ambient)
    notes.push(
      'Ambient: VirtualService, DestinationRule and AuthorizationPolicy by path need a waypoint (`istioctl waypoint apply`).',
    )
  const proxyConfig = [
    // Without native sidecars SIGTERM reaches proxy and Heddle at once; five seconds are the default.
    `terminationDrainDuration: ${propagation + max}s`,
    'holdApplicationUntilProxyStarts: true',
    'proxyMetadata:',
    '  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"',
    '',
  ].join('\n')
  const workload = ambient
    ? deployment(config, place, { annotations: {}, labels: { 'istio.io/dataplane-mode': 'ambient' } })
    : deployment(config, place, {
        annotations: { 'proxy.istio.io/config': proxyConfig },
        labels: { 'sidecar.istio.io/inject': 'true' },
      })
  const ports = ambient
    ? { inbound: [{ port: 15008 }], outbound: [{ port: 15008 }] }
    : {
        inbound: [{ port: 15008 }, { port: 15020 }, { port: 15021 }, { port: 15090 }],
        outbound: [{ port: 15012 }, { port: 15008 }, ...tracePorts(config)],
      }
  return {
    manifests: [
      service(config, place),
      own,
      rule,
      ...outsideOf(config).flatMap((outside) => outsideManifests(place, outside)),
      ...insideOf(config).flatMap((inside) => insideManifest(config, place, inside)),
      ...accessManifests(config, place, notes),
      telemetry(config, place),
      ...policyIstio(config, place, notes),
      ...endpointManifests(config, place, 'istio', notes),
      ...pickerManifests(config, place, notes),
      networkPolicy(config, place, ports),
    ],
    patch: workload,
    notes,
  }
}

/** Where spans go. */
export const tracePorts = ({ tracing }: HeddleConfig): readonly { readonly port: number }[] => {
  const url = tracing.traces === null ? null : new URL(tracing.traces.endpoint)
  return url === null ? [] : [{ port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80) }]
}
