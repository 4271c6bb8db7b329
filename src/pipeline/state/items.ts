import type { Json, JsonObject } from '../../contracts/canonical.ts'
import { unpackOpaque } from '../../protocol/canonical/opaque.ts'
import { isObject } from '../../protocol/canonical/read.ts'
import { inputItemId } from './ids.ts'

/** The input of a request as items with ids, as the API lists them (openai-openapi `ItemResource`). What is no item stays as it is. */
export function inputItems(input: Json | undefined, id: string): Json[] {
  const list: readonly Json[] =
    typeof input === 'string' ? [{ type: 'message', role: 'user', content: input }] : Array.isArray(input) ? input : []
  return list.map((item, i) => (isObject(item) ? withId(item, id, i) : item))
}

function withId(item: JsonObject, id: string, index: number): JsonObject {
  const type = typeof item['type'] === 'string' ? item['type'] : 'message'
  const own = typeof item['id'] === 'string' ? item['id'] : inputItemId(type, id, index)
  if (type !== 'message') return { ...item, type, id: own }
  const { content } = item
  const part = item['role'] === 'assistant' ? 'output_text' : 'input_text'
  const parts: Json = typeof content === 'string' ? [{ type: part, text: content }] : (content ?? [])
  return { ...item, type, id: own, status: item['status'] ?? 'completed', content: parts }
}

/**
 * What a backend that speaks the Responses API itself takes of items that we made: it knows none of our ids, and cannot
 * read what other backends have sealed.
 */
export const forProvider = (items: readonly Json[]): Json[] =>
  items.flatMap((item): Json[] => {
    if (!isObject(item)) return [item]
    const { id: _id, status: _status, ...rest } = item
    if (rest['type'] !== 'reasoning') return [rest]
    const sealed = rest['encrypted_content']
    if (typeof sealed !== 'string' || sealed === '') return []
    const { by, value } = unpackOpaque(sealed, 'openai.responses')
    return by === 'openai.responses' && value === sealed ? [rest] : []
  })

export interface Page {
  readonly after: string | null
  /** 1 to 100. */
  readonly limit: number
  readonly order: 'asc' | 'desc'
}

/** One page of a list as the API has it (openai-openapi `ResponseItemList`); null = what it is to begin after is not there. */
export function pageOf(all: readonly { readonly id: string }[], page: Page): JsonObject | null {
  const ordered = page.order === 'asc' ? all : all.toReversed()
  const at = page.after === null ? 0 : ordered.findIndex(({ id }) => id === page.after) + 1
  if (at === 0 && page.after !== null) return null
  const data = ordered.slice(at, at + page.limit)
  return {
    object: 'list',
    data: data as unknown as Json[],
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: ordered.length > at + page.limit,
  }
}
