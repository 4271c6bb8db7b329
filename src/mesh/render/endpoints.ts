/** Endpoints that Heddle picks itself, or picks for others: how their calls stay in the mesh, and who asks it. */
import type { HeddleConfig, ProviderConfig } from '../../contracts/config.ts'
import type { Manifest, Place, RenderTarget } from './parts.ts'
import { fullName, resourceName } from './parts.ts'

/** Providers whose pods Heddle dials itself. */
const picked = ({ providers }: HeddleConfig): readonly ProviderConfig[] =>
  providers.filter(
    ({ class: kind, discovery, balancing }) =>
      kind === 'mesh' && discovery !== null && discovery.type !== 'static' && balancing?.owner === 'gateway',
  )

const serviceOf = ({ baseUrl, discovery }: ProviderConfig, place: Place): string => {
  if (discovery?.type === 'endpoint_slice')
    return fullName(`${discovery.service}.${discovery.namespace}`, place.namespace)
  return fullName(new URL(baseUrl).hostname, place.namespace)
}

/** By mesh, what makes `podIP:port` a call of the mesh. */
const HOW: Readonly<Record<RenderTarget | 'ambient', string>> = {
  istio:
    'its Service must be headless (`clusterIP: None`): only then does the sidecar know the addresses of its pods; all of them must have sidecars, as mTLS is decided for the Service and not for a pod',
  ambient:
    'addresses of pods work as they are; a waypoint of the Service is passed by, one for pods needs `istio.io/waypoint-for: workload` or `all`',
  linkerd: 'addresses of pods work as they are: the proxy knows each meshed pod by its address',
  'envoy-gateway': 'Heddle’s own pods stand behind the gateway, and dial the addresses directly',
}

/** The rule keeps mTLS on, whatever Istio makes of single pods. */
export function endpointManifests(
  config: HeddleConfig,
  place: Place,
  target: RenderTarget,
  notes: string[],
): readonly Manifest[] {
  const providers = picked(config)
  const how = target === 'istio' && config.mesh.kind === 'istio-ambient' ? 'ambient' : target
  for (const provider of providers)
    notes.push(`Heddle picks the pods of \`${provider.name}\` (${serviceOf(provider, place)}): ${HOW[how]}.`)
  if (how !== 'istio') return []
  const hosts = [...new Set(providers.map((provider) => serviceOf(provider, place)))]
  return hosts.map((host) => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: resourceName(`llm-pods-${host}`), namespace: place.namespace },
    // Of this namespace alone: others may reach it as they did.
    spec: { host, exportTo: ['.'], trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL' } } },
  }))
}

/** InferencePools that are to ask Heddle (Gateway API Inference Extension, `endpointPickerRef`). */
export function pickerManifests(config: HeddleConfig, place: Place, notes: string[]): readonly Manifest[] {
  const pickers = config.server.policy?.pickers ?? []
  const pools = pickers.flatMap(({ port, provider: name }) => {
    const discovery = config.providers.find((provider) => provider.name === name)?.discovery ?? null
    if (discovery?.type !== 'inference_pool') {
      notes.push(
        `Who asks the picker of \`${name}\` (port ${port}) is not known from its \`discovery\`: point \`endpointPickerRef\` of its pool to Service \`${place.name}\`.`,
      )
      return []
    }
    return [
      { port, pool: discovery.name, namespace: discovery.namespace === '' ? place.namespace : discovery.namespace },
    ]
  })
  if (pools.length === 0) return []
  notes.push(
    'InferencePools hold `endpointPickerRef` alone: apply them with `kubectl apply --server-side --force-conflicts`, which leaves the rest of each pool as it is.',
    'Istio obeys InferencePools only when istiod runs with ENABLE_GATEWAY_API_INFERENCE_EXTENSION=true.',
  )
  for (const { pool, namespace } of pools)
    if (namespace !== place.namespace)
      notes.push(
        `InferencePool \`${pool}\` is in the namespace \`${namespace}\`, and its picker must be as well: give that namespace a Service \`${place.name}\` that leads to these pods.`,
      )
  return pools.map(({ port, pool, namespace }) => ({
    apiVersion: 'inference.networking.k8s.io/v1',
    kind: 'InferencePool',
    metadata: { name: pool, namespace },
    spec: { endpointPickerRef: { name: place.name, port: { number: port }, failureMode: 'FailOpen' } },
  }))
}
