import type { Received } from '../../contracts/http.ts'

/** What a caller says of the cache; it can only ask for less of it (RFC 9111 5.2.1). */
export interface CacheControl {
  /** A fresh answer is wanted. */
  readonly fresh: boolean
  /** It is not kept. */
  readonly noStore: boolean
  /** An older answer will not do, ms; Infinity = any that is kept will. */
  readonly maxAgeMs: number
  readonly tags: readonly string[]
}

const NOTHING: CacheControl = { fresh: false, noStore: false, maxAgeMs: Infinity, tags: [] }
const MAX_TAGS = 8
const TAG = /^[\w.:/@-]{1,64}$/

/** allowed: callers have a say. */
export function cacheControl(received: Received, allowed: boolean): CacheControl {
  const said = allowed ? received.header('cache-control') : undefined
  const tagged = received.header('x-heddle-cache-tags')
  if (said === undefined && tagged === undefined) return NOTHING
  const tags = tagged === undefined ? [] : tagged.split(',', MAX_TAGS + 1).map((tag) => tag.trim())
  const directives = (said ?? '').toLowerCase().split(',', 16)
  let { fresh, noStore, maxAgeMs } = NOTHING
  for (const directive of directives) {
    const [name = '', value = ''] = directive.trim().split('=', 2)
    if (name === 'no-cache') fresh = true
    else if (name === 'no-store') fresh = noStore = true
    else if (name === 'max-age' && /^"?\d{1,9}"?$/.test(value)) maxAgeMs = Number(value.replaceAll('"', '')) * 1000
  }
  return { fresh, noStore, maxAgeMs, tags: tags.filter((tag) => TAG.test(tag)).slice(0, MAX_TAGS) }
}
