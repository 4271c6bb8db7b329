import type { Citation, Json, JsonObject } from '../../contracts/canonical.ts'
import type { Dialect } from '../../contracts/dialect.ts'
import { isObject } from '../canonical/read.ts'

/**
 * Citations in OpenAI's two forms: nested in the chat API (`{type, url_citation: {...}}`), flat in the Responses API.
 * from, to: of the text that holds the passage, for a citation that does not say which characters rest on it.
 */
export function urlCitation(citation: Citation, from: number, to: number): JsonObject | null {
  if (citation.url === undefined) return null
  return {
    url: citation.url,
    title: citation.title ?? '',
    start_index: citation.from ?? from,
    end_index: citation.to ?? to,
  }
}

/** Annotations that a client returns; what is no URL citation is left out: no backend takes it back. */
export function urlCitations(sent: Json | undefined): Citation[] {
  if (!Array.isArray(sent)) return []
  const found: Citation[] = []
  for (const item of sent) {
    if (!isObject(item) || item['type'] !== 'url_citation') continue
    const inner = isObject(item['url_citation']) ? item['url_citation'] : item
    const { url, title, start_index: from, end_index: to } = inner
    if (typeof url !== 'string') continue
    found.push({
      url,
      ...(typeof title === 'string' && title !== '' ? { title } : {}),
      ...(typeof from === 'number' ? { from } : {}),
      ...(typeof to === 'number' ? { to } : {}),
    })
  }
  return found
}

/** A citation in its maker's own words, for a client of the same dialect. */
export const nativeCitation = (citation: Citation, dialect: Dialect): JsonObject | null =>
  citation.native?.by === dialect ? citation.native.value : null
