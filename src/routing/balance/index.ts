// Which address of a cluster gets a call: by its cache, its queue, its load, its zone.
// Knows members and what is measured of them; no requests, no connections.
// Contract: ../../contracts/cluster.ts
import type { ClusterSource } from '../../contracts/cluster.ts'
import type { BalancingConfig } from '../../contracts/config-cluster.ts'
import type { WorkerPlace } from '../health.ts'
import { ScoredPicker } from './picker.ts'

export { ClusterMemory } from './cluster-memory.ts'
export type { ScoredPicker } from './picker.ts'

/** One a worker and cluster. place: of the worker; its row of the cluster's memory is written by it alone. */
export const createPicker = (source: ClusterSource, balancing: BalancingConfig, place: WorkerPlace): ScoredPicker =>
  new ScoredPicker(source, balancing, place)
