import type { ClientDialect, Dialect } from '../contracts/dialect.ts'
import { messagesClient } from './anthropic/client-messages.ts'
import { chatClient } from './openai/client-chat.ts'
import { responsesClient } from './openai/client-responses.ts'

/** Those that clients speak; the others are only ever wires of backends. */
const CLIENTS: Readonly<Partial<Record<Dialect, ClientDialect>>> = {
  'openai.chat': chatClient,
  'openai.responses': responsesClient,
  'anthropic.messages': messagesClient,
}

/** How clients speak a dialect. Throws for a dialect that only backends speak: no route leads there. */
export function clientDialect(dialect: Dialect): ClientDialect {
  const found = CLIENTS[dialect]
  if (found === undefined) throw new Error(`no client speaks ${dialect}`)
  return found
}
