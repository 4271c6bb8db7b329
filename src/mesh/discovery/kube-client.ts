import { readFile } from 'node:fs/promises'
import type { KubeConfig } from '@kubernetes/client-node'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'
import type { HttpBase } from './http.ts'
import { DiscoveryFault } from './parts.ts'

type KubeConfigPart = Pick<Extract<DiscoveryConfig, { type: 'endpoint_slice' }>, 'api' | 'kubeconfig'>

/** Finds the API server and proves who asks; called before each request, as tokens are short-lived. Rejects with a DiscoveryFault. */
export type KubeAccess = () => Promise<HttpBase>

/** Where Kubernetes puts what a pod needs to ask its API server. */
const MOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

const read = (path: string): Promise<string> =>
  readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new DiscoveryFault('denied', `service account: ${error.code ?? 'unreadable'}`)
  })

function inCluster(agent: string, env: NodeJS.ProcessEnv, mount: string): KubeAccess {
  return async () => {
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env
    if (host === undefined || host === '')
      throw new DiscoveryFault('unreachable', 'not in a pod: set `kubeconfig` or `api`')
    // Read each time: the kubelet renews the token.
    const [token, ca] = await Promise.all([read(`${mount}/token`), read(`${mount}/ca.crt`)])
    const url = `https://${host.includes(':') ? `[${host}]` : host}:${port}`
    return { url, ca, headers: { 'user-agent': agent, authorization: `Bearer ${token.trim()}` } }
  }
}

const textIn = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : Buffer.isBuffer(value) ? value.toString('utf8') : undefined

/** Clusters, users, client certificates, exec and OIDC plugins as kubectl reads them: that is the library's part. */
function byKubeconfig(path: string, agent: string): KubeAccess {
  let loading: Promise<KubeConfig> | null = null
  const load = async () => {
    const { KubeConfig } = await import('@kubernetes/client-node').catch(() => {
      throw new DiscoveryFault(
        'failed',
        'a kubeconfig needs the package @kubernetes/client-node, which is not installed',
      )
    })
    const config = new KubeConfig()
    try {
      config.loadFromFile(path)
    } catch {
      // The reason may quote the file.
      throw new DiscoveryFault('invalid', 'the kubeconfig cannot be read')
    }
    return config
  }
  return async () => {
    loading ??= load()
    // The file may be there, or right, the next time.
    const config = await loading.catch((error: unknown) => {
      loading = null
      throw error
    })
    const cluster = config.getCurrentCluster()
    if (cluster === null) throw new DiscoveryFault('invalid', 'the kubeconfig has no current cluster')
    const options: { ca?: unknown; cert?: unknown; key?: unknown; headers?: Record<string, unknown> } = { headers: {} }
    await config.applyToHTTPSOptions(options as never).catch(() => {
      throw new DiscoveryFault('denied', 'the kubeconfig’s user gave no credentials')
    })
    const headers = Object.entries(options.headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)])
    const cert = textIn(options.cert)
    const key = textIn(options.key)
    return {
      url: cluster.server.replace(/\/+$/, ''),
      ca: textIn(options.ca) ?? null,
      headers: { 'user-agent': agent, ...Object.fromEntries(headers) },
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    }
  }
}

/** mount: of the service account, replaced in tests. */
export function kubeAccess(
  { api, kubeconfig }: KubeConfigPart,
  version: string,
  env: NodeJS.ProcessEnv = process.env,
  mount = MOUNT,
): KubeAccess {
  const agent = `heddle/${version}`
  if (api !== null) {
    const { url, token, ca } = api
    const headers = { 'user-agent': agent, ...(token === null ? {} : { authorization: `Bearer ${token}` }) }
    return async () => ({ url, ca, headers })
  }
  return kubeconfig === null ? inCluster(agent, env, mount) : byKubeconfig(kubeconfig, agent)
}
