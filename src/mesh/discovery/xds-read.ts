import { fromBinary } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import type { Endpoint } from '../../contracts/cluster.ts'
import {
  ClusterLoadAssignmentSchema,
  ClusterSchema,
  Cluster_DiscoveryType,
  HealthStatus,
  type Cluster,
  type ClusterLoadAssignment,
  type LbEndpoint,
} from '../../protocol/grpc/gen/xds_pb.ts'
import { isHost, isPort } from '../../core/host-port.ts'
import { deduped, endpointOf, weightOf, wordOf } from './address.ts'
import { DiscoveryFault } from './parts.ts'

/** What is not read is not kept. */
const LEAN = { readUnknownFields: false }

export const CDS = 'type.googleapis.com/envoy.config.cluster.v3.Cluster'
export const EDS = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment'

const unpack = <T>(any: Any, type: string, read: (bytes: Uint8Array) => T): T => {
  if (any.typeUrl !== type) throw new DiscoveryFault('invalid', `a resource of another type than ${type.split('/')[1]}`)
  try {
    return read(any.value)
  } catch {
    throw new DiscoveryFault('invalid', `bytes that are no ${type.split('.').at(-1)}`)
  }
}

/** Throws DiscoveryFault `invalid`. */
export const readClusters = (resources: readonly Any[]): readonly Cluster[] =>
  resources.map((any) => unpack(any, CDS, (bytes) => fromBinary(ClusterSchema, bytes, LEAN)))

/** Throws DiscoveryFault `invalid`. */
export const readAssignments = (resources: readonly Any[]): readonly ClusterLoadAssignment[] =>
  resources.map((any) => unpack(any, EDS, (bytes) => fromBinary(ClusterLoadAssignmentSchema, bytes, LEAN)))

/** What EDS is asked for; null = the cluster brings its endpoints itself. Throws when it has no endpoints at all. */
export function serviceOf(cluster: Cluster): string | null {
  if (cluster.type === Cluster_DiscoveryType.EDS) return cluster.edsClusterConfig?.serviceName || cluster.name
  const own = cluster.type !== Cluster_DiscoveryType.ORIGINAL_DST && cluster.loadAssignment !== undefined
  if (!own) throw new DiscoveryFault('invalid', 'the cluster has no endpoints: it is neither EDS nor static')
  return null
}

const stateOf = (health: HealthStatus): Endpoint['state'] | null => {
  if (health === HealthStatus.UNHEALTHY || health === HealthStatus.TIMEOUT) return null
  return health === HealthStatus.DRAINING ? 'draining' : 'ready'
}

const addressOf = ({ endpoint }: LbEndpoint): { readonly host: string; readonly port: number } | null => {
  const address = endpoint?.address?.address
  if (address?.case !== 'socketAddress') return null
  const { address: host, portSpecifier } = address.value
  if (portSpecifier.case !== 'portValue' || !isHost(host) || !isPort(portSpecifier.value)) return null
  return { host: host.toLowerCase(), port: portSpecifier.value }
}

/**
 * Members of an assignment. A locality's weight is divided among its members, by their own, within its priority; a
 * locality without a weight beside ones that have it gets nothing (Envoy, locality weighted load balancing).
 */
export function readEndpoints(assignment: ClusterLoadAssignment): {
  readonly endpoints: readonly Endpoint[]
  readonly skipped: number
} {
  let skipped = 0
  const weighted = new Set(
    assignment.endpoints.filter((l) => l.loadBalancingWeight !== undefined).map((l) => l.priority),
  )
  const list = assignment.endpoints.flatMap((locality) => {
    const { priority, loadBalancingWeight } = locality
    if (weighted.has(priority) && (loadBalancingWeight ?? 0) === 0) return []
    const members = locality.lbEndpoints.flatMap((entry) => {
      const at = addressOf(entry)
      const state = stateOf(entry.healthStatus)
      if (at === null) skipped++
      return at === null || state === null ? [] : [{ at, state, weight: weightOf(entry.loadBalancingWeight) }]
    })
    const sum = members.reduce((total, member) => total + member.weight, 0)
    return members.map(({ at, state, weight }) =>
      endpointOf(at, {
        state,
        priority,
        zone: wordOf(locality.locality?.zone),
        weight: loadBalancingWeight === undefined ? weight : (loadBalancingWeight * weight) / sum,
      }),
    )
  })
  return { endpoints: deduped(list), skipped }
}
