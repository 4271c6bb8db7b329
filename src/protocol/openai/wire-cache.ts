import type { CacheMark, JsonObject } from '../../contracts/canonical.ts'

/** Anthropic's marker, which providers with a chat API pass on. */
export const cacheControl = ({ ttl }: CacheMark): JsonObject =>
  ttl === '1h' || ttl === '5m' ? { type: 'ephemeral', ttl } : { type: 'ephemeral' }
