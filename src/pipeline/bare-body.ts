import type { JsonObject } from '../contracts/canonical.ts'
import type { Exchange } from './exchange.ts'
import { isObject } from '../protocol/canonical/read.ts'
import { OPERATIONS } from '../protocol/operations.ts'
import { ANY_PROOF, FOREIGN_PROOF, mayHoldForeignProofs, withoutProofs } from '../protocol/proofs.ts'

/**
 * The body for a backend that speaks the client's dialect, without proofs of reasoning that are not its own: those that
 * Heddle itself has marked with another maker, or all of them when the backend has refused them. null = it can go as it came.
 */
export function bareBody(x: Exchange, model: string, includeUsage: boolean): Buffer | null {
  const { dialect } = OPERATIONS[x.operation]
  if (dialect === null || x.fields === null || x.counting) return null
  if (!x.stripped && !mayHoldForeignProofs(x.fields.body)) return null
  const body = withoutProofs(dialect, x.json() as JsonObject, x.stripped ? ANY_PROOF : FOREIGN_PROOF)
  if (body === null) return null
  const { stream_options: options } = body
  const asked = isObject(options) ? options : {}
  return Buffer.from(
    JSON.stringify({
      ...body,
      ...('model' in body ? { model } : {}),
      ...(includeUsage ? { stream_options: { ...asked, include_usage: true } } : {}),
    }),
  )
}

/** From now on the request goes without proofs. False = so it did already, or it cannot be sent again. */
export function stripProofs(x: Exchange): boolean {
  if (x.stripped || x.spent || x.services.loop.draining) return false
  x.stripped = true
  return true
}
