import type { Json, JsonObject } from '../../contracts/canonical.ts'

/** What is kept of one answer. */
export interface KeptRecord {
  /** As its client got it. */
  readonly response: JsonObject
  /** What its request added to the conversation, as items with ids. */
  readonly input: readonly Json[]
  /** Ids of the answers before it, oldest first. */
  readonly before: readonly string[]
  /** Of a stream made in the background: parts that its events are kept in; -1 = they are not. */
  readonly parts: number
}

const VERSION = 1

export const packRecord = (record: KeptRecord): Buffer => Buffer.from(JSON.stringify({ v: VERSION, ...record }))

/** Throws when it is none: the store is ours alone. */
export function unpackRecord(bytes: Uint8Array): KeptRecord {
  const { v, ...record } = JSON.parse(Buffer.from(bytes).toString()) as KeptRecord & { readonly v: number }
  if (v !== VERSION) throw new Error(`a record of version ${v}`)
  return record
}

export const statusOf = ({ response }: KeptRecord): string => String(response['status'])

/** Still being made in the background. */
export const isOpen = (record: KeptRecord): boolean => ['queued', 'in_progress'].includes(statusOf(record))

export const outputOf = ({ response }: KeptRecord): readonly Json[] =>
  Array.isArray(response['output']) ? response['output'] : []
