import type { Discovery, Endpoint } from '../../contracts/cluster.ts'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'
import { isHost, isPort } from '../../core/host-port.ts'
import { deduped, endpointOf, wordOf } from './address.ts'
import { listOf, mapOf, textOf, type Json } from './json.ts'
import { kubeAccess } from './kube-client.ts'
import { KubeWatch } from './kube-watch.ts'
import type { DiscoveryParts, Told } from './parts.ts'

type SliceConfig = Extract<DiscoveryConfig, { type: 'endpoint_slice' }>

interface SliceEndpoint {
  readonly endpoint: Endpoint
  /** Of the pod, with the port: a pod with two families stands in two slices. '' = not known. */
  readonly uid: string
  readonly family: string
}

/** wanted: name or number, '' = the first. null = the slice has no such port. */
function portIn(slice: Json, wanted: string): number | null {
  const ports = listOf(slice['ports']).map(mapOf)
  const numeric = /^\d{1,5}$/.test(wanted) ? Number(wanted) : null
  const fits = (port: Json): boolean =>
    wanted === '' || textOf(port['name']) === wanted || (numeric !== null && port['port'] === numeric)
  const found = ports.find((port) => (port['protocol'] ?? 'TCP') === 'TCP' && fits(port))?.['port']
  return isPort(found) ? found : null
}

/**
 * discovery.k8s.io/v1 EndpointConditions: what is not said counts as ready, and as serving when ready. null = it serves
 * nobody.
 */
export function stateIn(conditions: unknown): Endpoint['state'] | null {
  const { ready, serving, terminating } = mapOf(conditions)
  if (terminating === true) return (serving ?? ready ?? true) === true ? 'draining' : null
  return (ready ?? true) === true ? 'ready' : null
}

/** What one slice says. */
export function readSlice(slice: Json, wanted: string): readonly SliceEndpoint[] {
  const port = portIn(slice, wanted)
  if (port === null) return []
  return listOf(slice['endpoints']).flatMap((raw) => {
    const entry = mapOf(raw)
    const state = stateIn(entry['conditions'])
    // The addresses of one endpoint are all the same to its clients: the API's documentation says to use the first.
    const host = textOf(listOf(entry['addresses'])[0]).toLowerCase()
    if (state === null || !isHost(host)) return []
    const target = mapOf(entry['targetRef'])
    const forZones = listOf(mapOf(entry['hints'])['forZones'])
      .map((zone) => wordOf(mapOf(zone)['name']))
      .filter((zone) => zone !== '')
    const more = { state, forZones, zone: wordOf(entry['zone']), name: wordOf(target['name']) }
    return [
      { endpoint: endpointOf({ host, port }, more), uid: textOf(target['uid']), family: textOf(slice['addressType']) },
    ]
  })
}

/** All slices of a service as one: while endpoints move from one slice to another they stand in both. */
export function mergeSlices(slices: readonly (readonly SliceEndpoint[])[]): readonly Endpoint[] {
  const all = slices.flat()
  const families = new Map<string, string>()
  for (const { uid, family, endpoint } of all) {
    const pod = `${uid} ${endpoint.port}`
    // Of two families the older one: a pod is one backend, whichever way it is reached.
    if (uid !== '' && (families.get(pod) ?? family) >= family) families.set(pod, family)
  }
  const chosen = all.filter(
    ({ uid, family, endpoint }) => uid === '' || families.get(`${uid} ${endpoint.port}`) === family,
  )
  return deduped(chosen.map(({ endpoint }) => endpoint))
}

/** Endpoints of a Kubernetes Service. */
export class EndpointSliceDiscovery implements Discovery {
  readonly #config: SliceConfig
  readonly #parts: DiscoveryParts
  #watch: KubeWatch<readonly SliceEndpoint[]> | null = null

  constructor(config: SliceConfig, parts: DiscoveryParts) {
    this.#config = config
    this.#parts = parts
  }

  start(on: Told): void {
    const { namespace, service, port } = this.#config
    this.#watch = new KubeWatch(
      {
        access: kubeAccess(this.#config, this.#parts.version),
        path: `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices`,
        query: { labelSelector: `kubernetes.io/service-name=${service}` },
        read: (slice) => readSlice(slice, port),
        on: {
          objects: (slices) => on.endpoints(mergeSlices(slices)),
          alive: () => on.alive(),
          error: (reason, detail) => on.error(reason, detail),
          skipped: (reason, detail) => on.skipped(reason, detail),
        },
      },
      this.#parts,
    )
  }

  close(): void {
    this.#watch?.close()
  }
}
