/**
 * Revisions of the Model Context Protocol. Up to 2025-11-25 a session begins with `initialize`; from 2026-07-28 on each
 * request says by itself what it needs (specification/2026-07-28/basic/versioning).
 */

export const MODERN = '2026-07-28'
/** Newest first. */
const HANDSHAKES = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'] as const
export const NEWEST_HANDSHAKE = HANDSHAKES[0]
/** Of requests that say none (2025-11-25, transports). */
export const UNSAID = '2025-03-26'

/** All that are spoken here, newest first. */
export const REVISIONS: readonly string[] = [MODERN, ...HANDSHAKES]

export const isHandshake = (revision: string): boolean => (HANDSHAKES as readonly string[]).includes(revision)

/** What is answered to a client that asks for a revision (2025-11-25, lifecycle): that one, or our newest. */
export const agreed = (asked: string): string => (isHandshake(asked) ? asked : NEWEST_HANDSHAKE)

/** Only 2025-03-26 has batches; servers of it must take them. */
export const hasBatches = (revision: string): boolean => revision === '2025-03-26'

/** Keys of `_meta` (schema/2026-07-28). */
export const META = {
  revision: 'io.modelcontextprotocol/protocolVersion',
  clientInfo: 'io.modelcontextprotocol/clientInfo',
  clientCapabilities: 'io.modelcontextprotocol/clientCapabilities',
  serverInfo: 'io.modelcontextprotocol/serverInfo',
  subscription: 'io.modelcontextprotocol/subscriptionId',
} as const
