import type { Received } from '../contracts/http.ts'
import type { Principal } from '../contracts/identity.ts'
import type { RequestTrace, SpanData } from '../contracts/trace.ts'
import type { Services } from '../pipeline/services.ts'
import type { Snapshot } from '../pipeline/snapshot.ts'
import type { Client, Origin } from './client.ts'
import type { McpEndpoint } from './endpoint.ts'
import type { McpMetrics } from './metrics.ts'
import type { Outlet } from './outlet.ts'
import type { View } from './shown.ts'

/** One HTTP request to the endpoint, as what answers it sees it. */
export interface Turn {
  readonly endpoint: McpEndpoint
  readonly services: Services
  readonly snapshot: Snapshot
  readonly metrics: McpMetrics
  readonly received: Received
  readonly principal: Principal
  readonly requestId: string
  /** null = no traces are configured. */
  readonly trace: RequestTrace | null
  readonly spans: SpanData[]
  /** null = it is not known yet: the request begins its session. */
  readonly client: Client | null
  readonly view: View
  readonly origin: Origin
  /** null = nothing can be answered yet. */
  readonly outlet: Outlet | null
  /** Monotonic ms. */
  now(): number
}
