import type { HeddleConfig } from '../contracts/config.ts'
import type { MeshKind } from '../contracts/config-mesh.ts'

/** What the mesh asks of every request. Compiled once a configuration. */
export interface MeshRules {
  readonly kind: MeshKind
  /** Heddle tries failed calls again; false = only other targets are tried. */
  readonly ownsRetries: boolean
  /** Final answers forbid proxies to ask again. */
  readonly veto: boolean
  /** A provider's 5xx goes out as 424. */
  readonly mapProviderErrors: boolean
  readonly linkerdHeaders: boolean
  readonly serverTiming: boolean
  /** Answers tell how busy we are. */
  readonly orca: boolean
}

/** `auto` that nobody resolved means none: nothing was looked for. */
export const kindOf = ({ mesh }: Pick<HeddleConfig, 'mesh'>): MeshKind => (mesh.kind === 'auto' ? 'none' : mesh.kind)

export function meshRules(config: HeddleConfig): MeshRules {
  const { mesh, server } = config
  const kind = kindOf(config)
  const inMesh = kind !== 'none'
  return {
    kind,
    ownsRetries: mesh.retries.owner === 'gateway',
    veto: inMesh && mesh.retries.veto,
    mapProviderErrors: mesh.providerFailure === 'auto' ? inMesh : mesh.providerFailure === 'mesh-safe',
    linkerdHeaders: mesh.linkerdHeaders,
    serverTiming: server.serverTiming === 'auto' ? inMesh : server.serverTiming,
    orca: mesh.orca,
  }
}

/** Endpoints of a mesh learn so late that a pod is leaving, ms. */
const PROPAGATION_MS = 5000

/** How long new requests are still taken after the end was asked for, ms. */
export function propagationOf(config: Pick<HeddleConfig, 'mesh' | 'server'>): number {
  const { propagationMs } = config.server.drain
  if (propagationMs !== 'auto') return propagationMs
  return kindOf(config) === 'none' ? 0 : PROPAGATION_MS
}

const KEEP_ALIVE_MS = 75_000

/**
 * After how long idle connections of clients are closed, ms; 0 = never. A sidecar keeps its connections for an hour: a
 * server that closes first meets some of them with a request under way, which then fails as `503 UC`.
 */
export function keepAliveOf(config: Pick<HeddleConfig, 'mesh' | 'server'>): number {
  const { keepAliveMs } = config.server
  if (keepAliveMs !== 'auto') return keepAliveMs
  return kindOf(config) === 'none' ? KEEP_ALIVE_MS : 0
}
