import type { MeshKind } from '../contracts/config-mesh.ts'
import { fetchSmall as fetchOverHttp, type FetchedAnswer, type FetchOptions } from '../core/http-client.ts'
import type { MeshPorts } from './detect.ts'

const ASK_MS = 2000

export interface ShutdownOptions {
  /** `auto` = whichever proxy is there. */
  readonly kind: MeshKind | 'auto'
  readonly ports: MeshPorts
  readonly fetchSmall?: (url: string, options?: FetchOptions) => Promise<FetchedAnswer>
}

/**
 * Ends the proxy of the pod: one that is no native sidecar would run on when a Job's work is done, and the pod with it.
 * Istio: pilot-agent's `/quitquitquit`. Linkerd: `/shutdown` of the proxy, which must allow it
 * (`config.linkerd.io/proxy-admin-shutdown`). Resolves with what was ended; null = nobody obeyed. Never rejects.
 */
export async function endProxy(options: ShutdownOptions): Promise<'istio' | 'linkerd' | null> {
  const { kind, ports, fetchSmall = fetchOverHttp } = options
  const ask = async (url: string): Promise<boolean> => {
    try {
      return (await fetchSmall(url, { method: 'POST', timeoutMs: ASK_MS })).status === 200
    } catch {
      return false
    }
  }
  if ((kind === 'istio' || kind === 'auto') && (await ask(`http://127.0.0.1:${ports.istioAgent}/quitquitquit`)))
    return 'istio'
  if ((kind === 'linkerd' || kind === 'auto') && (await ask(`http://127.0.0.1:${ports.linkerdAdmin}/shutdown`)))
    return 'linkerd'
  return null
}
