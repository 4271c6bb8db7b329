import type { MeshKind } from '../contracts/config-mesh.ts'

type Reserved = ReadonlyMap<number, string>

/** istio.io "Ports used by Istio", of the sidecar; in ambient mode ztunnel's, which listen in the pod's network. */
const ISTIO: Reserved = new Map([
  [15000, 'Envoy’s admin API'],
  [15001, 'outbound traffic of the sidecar'],
  [15002, 'the failure detection of the sidecar'],
  [15004, 'the debug API of the agent'],
  [15006, 'inbound traffic of the sidecar'],
  [15008, 'HBONE'],
  [15020, 'metrics and health of the agent'],
  [15021, 'the health check of the sidecar'],
  [15053, 'DNS of the sidecar'],
  [15090, 'metrics of Envoy'],
])
const AMBIENT: Reserved = new Map([
  [15001, 'outbound traffic of ztunnel'],
  [15006, 'inbound traffic of ztunnel'],
  [15008, 'HBONE'],
  [15053, 'DNS of ztunnel'],
])
const LINKERD: Reserved = new Map([
  [4140, 'outbound traffic of the proxy'],
  [4143, 'inbound traffic of the proxy'],
  [4190, 'the control API of the proxy'],
  [4191, 'the admin API of the proxy'],
])

const RESERVED: Readonly<Record<MeshKind, Reserved | null>> = {
  none: null,
  istio: ISTIO,
  'istio-ambient': AMBIENT,
  linkerd: LINKERD,
}

const NAMES: Readonly<Record<MeshKind, string>> = {
  none: '',
  istio: 'Istio',
  'istio-ambient': 'Istio (ambient)',
  linkerd: 'Linkerd',
}

/** Why a port cannot be listened on in this mesh; null = it can. */
export function reservedPort(kind: MeshKind, port: number): string | null {
  const what = RESERVED[kind]?.get(port)
  return what === undefined
    ? null
    : `${NAMES[kind]} uses port ${port} for ${what}: the pod’s proxy would not start, or its traffic would end here`
}

export const isMeshKind = (text: string | undefined): text is MeshKind =>
  text !== undefined && Object.hasOwn(RESERVED, text)

/** How the process that reads the configuration learns which mesh was found, when the file says `auto`. */
export const FOUND_MESH = 'HEDDLE_FOUND_MESH'
