import type { ClientDialect, Dialect } from '../contracts/dialect.ts'
import { messagesClient } from './anthropic/client-messages.ts'
import { cohereClient } from './cohere/client-chat.ts'
import { converseClient } from './bedrock/client-converse.ts'
import { generateClient } from './gemini/client-generate.ts'
import { ollamaClient } from './ollama/client-chat.ts'
import { chatClient } from './openai/client-chat.ts'
import { completionsClient } from './openai/client-completions.ts'
import { responsesClient } from './openai/client-responses.ts'

/** Those that clients speak; the others are only ever wires of backends. */
const CLIENTS: Readonly<Partial<Record<Dialect, ClientDialect>>> = {
  'ollama.chat': ollamaClient,
  'cohere.chat': cohereClient,
  'openai.chat': chatClient,
  'openai.completions': completionsClient,
  'openai.responses': responsesClient,
  'anthropic.messages': messagesClient,
  'gemini.generate': generateClient,
  'bedrock.converse': converseClient,
}

/** How clients speak a dialect. Throws for a dialect that only backends speak: no route leads there. */
export function clientDialect(dialect: Dialect): ClientDialect {
  const found = CLIENTS[dialect]
  if (found === undefined) throw new Error(`no client speaks ${dialect}`)
  return found
}
