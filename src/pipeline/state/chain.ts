import type { Json } from '../../contracts/canonical.ts'
import type { Owner } from '../../store/blob-key.ts'
import { GatewayError } from '../../core/errors.ts'
import { isObject } from '../../protocol/canonical/read.ts'
import { answerOfItem } from './ids.ts'
import { isOpen, outputOf, type KeptRecord } from './record.ts'
import type { Shelf } from './shelf.ts'

/** As OpenAI says it: SDKs and frameworks look for the code. */
export const previousNotFound = (id: string): GatewayError =>
  new GatewayError('invalid_request', `Previous response with id '${id.slice(0, 100)}' not found.`, {
    param: 'previous_response_id',
    publicCode: 'previous_response_not_found',
    verbatim: true,
  })

export interface Chain {
  /** Ids of all answers, oldest first. */
  readonly ids: readonly string[]
  /** What was said so far. */
  readonly items: readonly Json[]
}

/** All that stands before an answer's request, and the answer. Throws GatewayError when a part of it is not there any more. */
export async function loadChain(shelf: Shelf, owner: Owner, id: string): Promise<Chain> {
  const { maxChain } = shelf.config
  const last = await shelf.get(owner, id, true)
  if (last === null) throw previousNotFound(id)
  if (isOpen(last))
    throw new GatewayError('invalid_request', `The response '${id}' is still being made.`, {
      param: 'previous_response_id',
    })
  const ids = [...last.before, id]
  if (ids.length > maxChain)
    throw new GatewayError('invalid_request', `The conversation has more than ${maxChain} responses.`, {
      param: 'previous_response_id',
    })
  const before = await recordsBefore(shelf, owner, last)
  return { ids, items: [...before, last].flatMap(saidIn) }
}

/** Of the answers before one, oldest first. Throws GatewayError when one of them has been deleted or is over. */
export async function recordsBefore(
  shelf: Shelf,
  owner: Owner,
  { before }: KeptRecord,
): Promise<readonly KeptRecord[]> {
  const found = await Promise.all(before.map((id) => shelf.get(owner, id, true)))
  const missing = found.indexOf(null)
  if (missing >= 0) throw previousNotFound(before[missing]!)
  return found as readonly KeptRecord[]
}

export const saidIn = (record: KeptRecord): readonly Json[] => [...record.input, ...outputOf(record)]

const referenceIn = (item: Json): string | null =>
  isObject(item) && item['type'] === 'item_reference' && typeof item['id'] === 'string' ? item['id'] : null

/** Some item of the input stands for one of ours. */
export const refersToOurs = (input: Json | undefined): boolean =>
  Array.isArray(input) && input.some((item) => answerOfItem(referenceIn(item) ?? '') !== null)

/** The input with items of ours in the place of what refers to them. Throws GatewayError when one is not there. */
export async function withReferences(shelf: Shelf, owner: Owner, input: readonly Json[]): Promise<Json[]> {
  const records = new Map<string, KeptRecord | null>()
  const out: Json[] = []
  for (const [i, item] of input.entries()) {
    const reference = referenceIn(item)
    const answer = reference === null ? null : answerOfItem(reference)
    if (answer === null) {
      out.push(item)
      continue
    }
    let record = records.get(answer)
    if (record === undefined) records.set(answer, (record = await shelf.get(owner, answer, true)))
    const found = record === null ? undefined : saidIn(record).find((one) => isObject(one) && one['id'] === reference)
    if (found === undefined)
      throw new GatewayError('invalid_request', `Item with id '${reference!.slice(0, 100)}' not found.`, {
        param: `input[${i}]`,
        verbatim: true,
      })
    out.push(found)
  }
  return out
}
