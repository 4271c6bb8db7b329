import type { MappingConfig } from '../contracts/config-mapping.ts'
import type { Dialect, Wire } from '../contracts/dialect.ts'
import { GatewayError } from '../core/errors.ts'
import { anthropicMessagesWire } from './anthropic/wire.ts'
import { bedrockConverseWire } from './bedrock/wire.ts'
import { cohereChatWire } from './cohere/wire.ts'
import { geminiGenerateWire } from './gemini/wire.ts'
import { ollamaChatWire } from './ollama/wire.ts'
import { openaiChatWire } from './openai/wire-chat.ts'
import { openaiResponsesWire } from './openai/wire-responses.ts'
import { tgiGenerateWire } from './tgi/wire.ts'
import { isMapped, mappedWireOf } from './templates/wires.ts'

const WIRES: ReadonlyMap<Dialect, Wire> = new Map<Dialect, Wire>([
  ['anthropic.messages', anthropicMessagesWire],
  ['gemini.generate', geminiGenerateWire],
  ['openai.responses', openaiResponsesWire],
  ['bedrock.converse', bedrockConverseWire],
  ['cohere.chat', cohereChatWire],
  ['ollama.chat', ollamaChatWire],
  ['tgi.generate', tgiGenerateWire],
])

/**
 * How backends of a dialect are spoken to. type: of the provider (`ProviderConfig.type`), on which the table of the chat
 * API depends; '' = like most. mapping: of a provider that is a model server, null = none in particular. Throws GatewayError for a dialect that only clients speak.
 */
export function wireOf(dialect: Dialect, type = '', mapping: MappingConfig | null = null): Wire {
  if (isMapped(dialect)) return mappedWireOf(dialect, mapping)
  const wire = dialect === 'openai.chat' ? openaiChatWire(type) : WIRES.get(dialect)
  if (wire === undefined) throw new GatewayError('internal', `No backend is spoken to in ${dialect}.`)
  return wire
}
