import type { Received } from '../../contracts/http.ts'
import type { RouteTable } from '../../routing/table.ts'
import type { Exchange } from '../exchange.ts'
import { endpointOf, type Endpoint } from '../operation.ts'
import { isSafePath } from '../safe-path.ts'
import { PROVIDER_PATHS } from '../provider-path.ts'

const REALTIME: ReadonlySet<string> = new Set(['/v1/realtime', '/realtime', '/v1/v1/realtime', '/v1/realtime/'])
/** ai.google.dev/api/live: its model stands in the first message. */
const GEMINI_LIVE =
  /^\/ws\/google\.ai\.generativelanguage\.v[a-z0-9]+\.GenerativeService\.BidiGenerateContent[A-Za-z]*$/

/** A path at which WebSockets can be opened. */
export const isUpgradePath = (path: string): boolean =>
  REALTIME.has(path) || path.startsWith(PROVIDER_PATHS) || GEMINI_LIVE.test(path)

/** What a request asks for; null = there is nothing. */
export const endpointFor = ({ upgrade, received, snapshot }: Exchange): Endpoint | null =>
  upgrade === null ? endpointOf(received.method, received.path) : upgradeEndpoint(received, snapshot.table)

/** What an upgrade asks for; null = no such path. */
function upgradeEndpoint({ path, query }: Received, table: RouteTable): Endpoint | null {
  const named = new URLSearchParams(query).get('model') ?? ''
  if (REALTIME.has(path)) return { kind: 'call', operation: 'realtime', upstreamPath: '/realtime', named }
  if (GEMINI_LIVE.test(path) && isSafePath(path)) {
    const gemini = table.providers.find(
      ({ config: { type, operations } }) => type === 'gemini' && operations.includes('passthrough'),
    )
    if (gemini === undefined) return null
    const own = { provider: gemini.name, path, model: '', as: 'realtime', whole: true } as const
    return { kind: 'call', operation: 'passthrough', upstreamPath: path, own }
  }
  const endpoint = path.startsWith(PROVIDER_PATHS) ? endpointOf('GET', path) : null
  return endpoint?.kind === 'call' ? { ...endpoint, named } : null
}
