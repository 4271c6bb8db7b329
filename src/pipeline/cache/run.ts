import type { Exchange } from '../exchange.ts'

/** What the cache knows of one request. */
export interface CacheRun {
  /** Once, when the request is over. */
  end(x: Exchange): void
}
