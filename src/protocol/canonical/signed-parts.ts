import type { Message, Opaque, Part, ReasoningPart } from '../../contracts/canonical.ts'
import type { Dialect } from '../../contracts/dialect.ts'
import { unpackProof } from './proof-out.ts'
import { compact } from './read.ts'

/** Results of calls are messages of their own, before what the user says beside them. */
export function pushUser(messages: Message[], parts: readonly Part[]): void {
  const results = parts.filter((part) => part.type === 'tool_result')
  const others = parts.filter((part) => part.type !== 'tool_result')
  if (results.length > 0) messages.push({ role: 'tool', parts: results })
  if (others.length > 0 || results.length === 0) messages.push({ role: 'user', parts: others })
}

/** Readable reasoning with what proves it ('' = nothing does), which may be the proof of a call: that is noted by the call's id. */
export function pushReasoning(
  { text, signature }: { readonly text: string; readonly signature: string },
  dialect: Dialect,
  parts: Part[],
  signatures: Map<string, Opaque>,
): void {
  if (signature === '') {
    if (text !== '') parts.push({ type: 'reasoning', text })
    return
  }
  const { kind, of, opaque } = unpackProof(signature, dialect, 'signature')
  if (kind === 'call') signatures.set(of, opaque)
  else {
    const id = of === '' ? undefined : of
    parts.push(compact<ReasoningPart>({ type: 'reasoning', text, signature: opaque, redacted: undefined, id }))
  }
}

/** The calls get the proofs that were noted for them. */
export function withSignatures(parts: Part[], signatures: ReadonlyMap<string, Opaque>): Part[] {
  if (signatures.size === 0) return parts
  return parts.map((part) => {
    const signature = part.type === 'tool_call' ? signatures.get(part.id) : undefined
    return signature === undefined ? part : { ...part, signature }
  })
}
