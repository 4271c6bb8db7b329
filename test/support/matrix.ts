/** Who can say what of a conversation, and how a cell of a matrix is judged. */
import type { ChatRequest } from '../../src/contracts/canonical.ts'
import type { Dialect } from '../../src/contracts/dialect.ts'
import { featuresIn } from '../../src/protocol/canonical/features.ts'
import { missingFor, negotiate } from '../../src/protocol/canonical/negotiate.ts'
import { clientDialect } from '../../src/protocol/client-dialects.ts'
import { wireOf } from '../../src/protocol/wires.ts'

/** All dialects that clients speak. */
export const CLIENTS: readonly Dialect[] = [
  'openai.chat',
  'openai.completions',
  'openai.responses',
  'anthropic.messages',
  'gemini.generate',
  'ollama.chat',
  'bedrock.converse',
  'cohere.chat',
]
/** A legacy completion has one text and no turns. */
const isOneText = ({ messages }: ChatRequest): boolean =>
  messages.length === 1 && messages[0]!.parts.length === 1 && messages[0]!.parts[0]!.type === 'text'

/** What the client can say of a conversation; null = not all that it is about. */
export function said(client: Dialect, request: ChatRequest): ChatRequest | null {
  const { speaks } = clientDialect(client)
  const features = featuresIn(request)
  if ([...features].some((feature) => speaks[feature] === 'no')) return null
  if (client === 'openai.completions') return isOneText(request) ? request : null
  // Converse would say it by leaving the tools away.
  if (client === 'bedrock.converse' && request.toolChoice?.mode === 'none') return null
  const wire = wireOf(client)
  return missingFor(features, wire, 'refuse') === null ? negotiate(request, features, wire, 'refuse').request : null
}

/** Says of a cell that is not what it must be which one it is, and what came. */
export function saying(where: string, check: () => void): void {
  try {
    check()
  } catch (error) {
    if (error instanceof Error) error.message = `${where}\n${error.message}`
    throw error
  }
}
