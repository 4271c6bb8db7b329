import type { Discovery, Endpoint } from '../../contracts/cluster.ts'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'
import { isHost, isPort } from '../../core/host-port.ts'
import { deduped, endpointOf, wordOf } from './address.ts'
import { listOf, mapOf, textOf, type Json } from './json.ts'
import { kubeAccess, type KubeAccess } from './kube-client.ts'
import { KubeWatch } from './kube-watch.ts'
import type { DiscoveryParts, Told } from './parts.ts'

type PoolConfig = Extract<DiscoveryConfig, { type: 'inference_pool' }>

export interface Pool {
  /** A label selector for the API; '' = the pool has none. */
  readonly selector: string
  readonly ports: readonly number[]
}

/** Most that the API allows (inference.networking.k8s.io/v1 InferencePoolSpec.targetPorts). */
const MAX_PORTS = 8

export function readPool(object: Json): Pool {
  const spec = mapOf(object['spec'])
  const labels = Object.entries(mapOf(mapOf(spec['selector'])['matchLabels']))
  const selector = labels.flatMap(([name, value]) => (typeof value === 'string' ? [`${name}=${value}`] : []))
  const ports = listOf(spec['targetPorts']).map((port) => mapOf(port)['number'])
  return {
    selector: selector.length === labels.length ? selector.sort().join(',') : '',
    ports: [...new Set(ports.filter(isPort))].slice(0, MAX_PORTS),
  }
}

export interface Pod {
  readonly host: string
  readonly name: string
  readonly zone: string
  readonly state: Endpoint['state']
}

/** null = it serves nobody. */
export function readPod(object: Json): Pod | null {
  const metadata = mapOf(object['metadata'])
  const status = mapOf(object['status'])
  const host = (textOf(status['podIP']) || textOf(mapOf(listOf(status['podIPs'])[0])['ip'])).toLowerCase()
  const ready = listOf(status['conditions'])
    .map(mapOf)
    .some(({ type, status }) => type === 'Ready' && status === 'True')
  // What has ended may still say that it was ready.
  if (!ready || !isHost(host) || status['phase'] === 'Succeeded' || status['phase'] === 'Failed') return null
  return {
    host,
    name: wordOf(metadata['name']),
    // Newer API servers copy it from the node.
    zone: wordOf(mapOf(metadata['labels'])['topology.kubernetes.io/zone']),
    state: typeof metadata['deletionTimestamp'] === 'string' ? 'draining' : 'ready',
  }
}

/** Each pod at each port of the pool. */
export const membersOf = (pods: readonly (Pod | null)[], ports: readonly number[]): readonly Endpoint[] =>
  deduped(
    pods.flatMap((pod) =>
      pod === null
        ? []
        : ports.map((port) =>
            endpointOf({ host: pod.host, port }, { name: pod.name, zone: pod.zone, state: pod.state }),
          ),
    ),
  )

/** Pods of an InferencePool of the Gateway API Inference Extension: the pool is watched, and the pods that it selects. */
export class InferencePoolDiscovery implements Discovery {
  readonly #config: PoolConfig
  readonly #parts: DiscoveryParts
  #access: KubeAccess | null = null
  #pools: KubeWatch<Pool> | null = null
  #pods: KubeWatch<Pod | null> | null = null
  #pool: Pool = { selector: '', ports: [] }
  /** Null = not listed yet. */
  #found: readonly (Pod | null)[] | null = null

  constructor(config: PoolConfig, parts: DiscoveryParts) {
    this.#config = config
    this.#parts = parts
  }

  start(on: Told): void {
    const { namespace, name } = this.#config
    this.#access = kubeAccess(this.#config, this.#parts.version)
    this.#pools = new KubeWatch(
      {
        access: this.#access,
        path: `/apis/inference.networking.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/inferencepools`,
        query: { fieldSelector: `metadata.name=${name}` },
        read: readPool,
        on: {
          objects: (pools) => this.#take(pools[0] ?? null, on),
          alive: () => on.alive(),
          error: (reason, detail) => on.error(reason, detail),
          skipped: (reason, detail) => on.skipped(reason, detail),
        },
      },
      this.#parts,
    )
  }

  close(): void {
    this.#pools?.close()
    this.#pods?.close()
  }

  #take(pool: Pool | null, on: Told): void {
    // A pool that is gone says nothing of its pods: they serve on.
    if (pool === null) return on.error('not_found', `there is no InferencePool ${this.#config.name}`)
    if (pool.selector === '' || pool.ports.length === 0)
      return on.error('invalid', `InferencePool ${this.#config.name} has no selector or no port`)
    const same = pool.selector === this.#pool.selector && this.#pods !== null
    this.#pool = pool
    if (same) {
      if (this.#found !== null) on.endpoints(membersOf(this.#found, pool.ports))
      return
    }
    this.#pods?.close()
    this.#found = null
    this.#pods = this.#watchPods(pool.selector, on)
  }

  #watchPods(selector: string, on: Told): KubeWatch<Pod | null> {
    const pods = new KubeWatch<Pod | null>(
      {
        access: this.#access!,
        path: `/api/v1/namespaces/${encodeURIComponent(this.#config.namespace)}/pods`,
        query: { labelSelector: selector },
        read: readPod,
        on: {
          objects: (found) => {
            if (this.#pods !== pods) return
            this.#found = found
            on.endpoints(membersOf(found, this.#pool.ports))
          },
          alive: () => on.alive(),
          error: (reason, detail) => on.error(reason, detail),
          skipped: (reason, detail) => on.skipped(reason, detail),
        },
      },
      this.#parts,
    )
    return pods
  }
}
