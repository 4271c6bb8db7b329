export { McpEndpoint } from './endpoint.ts'
export { McpMetrics } from './metrics.ts'
export { McpState, type Gossip, type GossipLine } from './state.ts'
export type { ClientStream } from './client-stream.ts'
