import type { Json, JsonObject, Message, Part, TextPart } from '../../contracts/canonical.ts'
import { badField, isObject, listAt, maybeText, objectAt } from '../canonical/read.ts'

/**
 * Documents to answer from. No other vendor has them in a field of their own, so that they are texts which say what they
 * are; each keeps what it was in its citation, by which Cohere's wire makes a document of it again.
 */

const DIALECT = 'cohere.chat'
const MARK = 'document'

/** cohere-ai `V2ChatRequestDocumentsItem`: a text, or `{id, data}`. index: among its neighbours, for those without an id. */
export function documentPart(value: Json, index: number, at: string): TextPart {
  if (typeof value === 'string') return part(value, `doc:${index}`, value, {})
  const document = objectAt(value, at)
  const id = maybeText(document['id'], `${at}.id`) ?? `doc:${index}`
  const { data } = document
  if (typeof data === 'string') return part(value, id, data, {})
  if (!isObject(data)) throw badField(`${at}.data`, 'an object')
  return part(value, id, told(data), data)
}

const told = (data: JsonObject): string =>
  Object.entries(data)
    .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('\n')

const QUOTES = /["<>\n]/g

function part(value: Json, id: string, text: string, { title, url }: JsonObject): TextPart {
  return {
    type: 'text',
    text: `<document id="${id.replace(QUOTES, ' ')}">\n${text}\n</document>`,
    citations: [
      {
        ...(typeof url === 'string' ? { url } : {}),
        ...(typeof title === 'string' ? { title } : {}),
        native: { by: DIALECT, value: { type: MARK, [MARK]: value } },
      },
    ],
  }
}

/** What the client sent as a document; null = the part is something else. */
export function documentIn(value: Part): Json | null {
  if (value.type !== 'text') return null
  const native = value.citations?.[0]?.native
  return native?.by === DIALECT && native.value['type'] === MARK ? (native.value[MARK] ?? null) : null
}

/** With the documents of a request before what its user said last: there they are what the question is about. */
export function withDocuments(messages: readonly Message[], sent: Json | undefined): Message[] {
  const documents =
    sent === undefined || sent === null
      ? []
      : listAt(sent, 'documents').map((value, i) => documentPart(value, i, `documents[${i}]`))
  if (documents.length === 0) return [...messages]
  const at = messages.findLastIndex(({ role }) => role === 'user')
  const asked = messages[at]
  if (asked === undefined) return [...messages, { role: 'user', parts: documents }]
  return messages.with(at, { ...asked, parts: [...documents, ...asked.parts] })
}
