// Calls backends: connections, TLS, faults told apart. One Upstream per origin.
// Does not know requests, targets, retries or bodies; timers belong to the attempt.
// Contract: ../contracts/upstream.ts
export { UndiciUpstream, type UndiciUpstreamOptions } from './undici-upstream.ts'
