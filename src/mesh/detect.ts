import type { MeshKind } from '../contracts/config-mesh.ts'
import { fetchSmall as fetchOverHttp, type FetchedAnswer, type FetchOptions } from '../core/http-client.ts'
import { systemClock } from '../core/clock.ts'
import { sleep } from '../core/sleep.ts'

type Env = Readonly<Record<string, string | undefined>>
type Fetch = (url: string, options?: FetchOptions) => Promise<FetchedAnswer>

/** Where the proxies of a pod answer on 127.0.0.1. */
export interface MeshPorts {
  /** pilot-agent's health port: `GET /healthz/ready`. */
  readonly istioStatus: number
  /** pilot-agent: `POST /quitquitquit`. */
  readonly istioAgent: number
  /** Envoy's own admin: `GET /server_info`. */
  readonly istioAdmin: number
  /** linkerd2-proxy: `GET /ready`, `GET /metrics`, `POST /shutdown`. */
  readonly linkerdAdmin: number
}

const PORTS: MeshPorts = { istioStatus: 15021, istioAgent: 15020, istioAdmin: 15000, linkerdAdmin: 4191 }

const portFrom = (text: string | undefined, port: number): number => {
  const given = Number(text)
  return Number.isInteger(given) && given > 0 && given < 65_536 ? given : port
}

/** The documented ports, or those that the environment names (a mesh may be installed with others). */
export const meshPorts = (env: Env): MeshPorts => ({
  istioStatus: portFrom(env['HEDDLE_MESH_ISTIO_STATUS_PORT'], PORTS.istioStatus),
  istioAgent: portFrom(env['HEDDLE_MESH_ISTIO_AGENT_PORT'], PORTS.istioAgent),
  istioAdmin: portFrom(env['HEDDLE_MESH_ISTIO_ADMIN_PORT'], PORTS.istioAdmin),
  linkerdAdmin: portFrom(env['HEDDLE_MESH_LINKERD_ADMIN_PORT'], PORTS.linkerdAdmin),
})

export type ProxyName = 'istio' | 'linkerd'

/** The proxy that stands in the pod itself; null = none does (ambient: ztunnel is on the node). */
export const proxyOf = (kind: MeshKind): ProxyName | null => (kind === 'istio' || kind === 'linkerd' ? kind : null)

export interface Detected {
  readonly kind: MeshKind
  /** The proxy beside this process; null = there is none. */
  readonly proxy: ProxyName | null
  readonly ready: boolean
  /** Its health port has answered, or the process runs where it may be about to: in Kubernetes. */
  readonly expected: boolean
  /** Of the proxy; empty = it was not ready, or does not say. */
  readonly version: string
}

export interface DetectOptions {
  readonly env: Env
  /** How long a proxy that starts beside us is looked for, ms. */
  readonly timeoutMs: number
  /** Replaced in tests. */
  readonly fetchSmall?: Fetch
  readonly ports?: Partial<MeshPorts>
  readonly now?: () => number
  readonly pause?: (ms: number) => Promise<void>
}

/** Kubelet gives this to every container. */
export const inKubernetes = (env: Env): boolean => (env['KUBERNETES_SERVICE_HOST'] ?? '') !== ''

const NOBODY: Detected = { kind: 'none', proxy: null, ready: false, expected: false, version: '' }
const PROBE_MS = 500
/** Between two looks. */
export const LOOK_MS = 100

const readyUrl = (proxy: ProxyName, ports: MeshPorts): string =>
  proxy === 'istio'
    ? `http://127.0.0.1:${ports.istioStatus}/healthz/ready`
    : `http://127.0.0.1:${ports.linkerdAdmin}/ready`

/** absent: nobody answers there, or somebody else. starting: it is there and not ready. Never rejects. */
export type ProxyState = 'absent' | 'starting' | 'ready'

export async function proxyState(
  proxy: ProxyName,
  ports: MeshPorts,
  fetchSmall: Fetch = fetchOverHttp,
): Promise<ProxyState> {
  try {
    const { status } = await fetchSmall(readyUrl(proxy, ports), { timeoutMs: PROBE_MS, maxBytes: 4096 })
    if (status === 200) return 'ready'
    return status === 503 ? 'starting' : 'absent'
  } catch {
    return 'absent'
  }
}

/** Says it where it is asked; a mesh works without our knowing its version. */
async function versionOf(proxy: ProxyName, ports: MeshPorts, fetchSmall: Fetch): Promise<string> {
  try {
    const options = { timeoutMs: PROBE_MS, maxBytes: 4 * 1024 * 1024 }
    if (proxy === 'linkerd') {
      const { body } = await fetchSmall(`http://127.0.0.1:${ports.linkerdAdmin}/metrics`, options)
      return /^proxy_build_info\{[^}\n]*\bversion="([^"\n]{1,64})"/m.exec(body)?.[1] ?? ''
    }
    const { body } = await fetchSmall(`http://127.0.0.1:${ports.istioAdmin}/server_info`, options)
    const info = JSON.parse(body) as { node?: { metadata?: { ISTIO_VERSION?: unknown } } }
    const version = info.node?.metadata?.ISTIO_VERSION
    return typeof version === 'string' ? version.slice(0, 64) : ''
  } catch {
    return ''
  }
}

/**
 * Which mesh's proxy stands beside this process. Asks nobody unless it runs in Kubernetes. An application's container
 * gets no word of the mesh by itself, so the proxies' own health ports tell (Istio 15021, Linkerd 4191). Ambient mode has
 * no proxy in the pod and cannot be told from none: it must be configured. Never rejects.
 */
export async function detectMesh(options: DetectOptions): Promise<Detected> {
  const { env, timeoutMs, fetchSmall = fetchOverHttp, now = systemClock.monotonic, pause = sleep } = options
  if (!inKubernetes(env)) return NOBODY
  const ports = { ...meshPorts(env), ...options.ports }
  const until = now() + timeoutMs
  for (;;) {
    const [istio, linkerd] = await Promise.all([
      proxyState('istio', ports, fetchSmall),
      proxyState('linkerd', ports, fetchSmall),
    ])
    if (istio !== 'absent') return found('istio', istio, ports, fetchSmall)
    if (linkerd !== 'absent') return found('linkerd', linkerd, ports, fetchSmall)
    if (now() + LOOK_MS >= until) return NOBODY
    await pause(LOOK_MS)
  }
}

async function found(proxy: ProxyName, state: ProxyState, ports: MeshPorts, fetchSmall: Fetch): Promise<Detected> {
  const ready = state === 'ready'
  return {
    kind: proxy,
    proxy,
    ready,
    expected: state !== 'absent',
    version: ready ? await versionOf(proxy, ports, fetchSmall) : '',
  }
}

/** The same for a mesh that the configuration names: its proxy is asked once, wherever the process runs. */
export async function askMesh(
  kind: MeshKind,
  { env, fetchSmall = fetchOverHttp, ports: own }: Pick<DetectOptions, 'env' | 'fetchSmall' | 'ports'>,
): Promise<Detected> {
  const proxy = proxyOf(kind)
  if (proxy === null) return { kind, proxy, ready: true, expected: false, version: '' }
  const ports = { ...meshPorts(env), ...own }
  const detected = await found(proxy, await proxyState(proxy, ports, fetchSmall), ports, fetchSmall)
  return { ...detected, expected: detected.expected || inKubernetes(env) }
}
