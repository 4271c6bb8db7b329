import type { JsonObject } from '../../contracts/canonical.ts'
import type { AnswerContext, AnswerEncoder } from '../../contracts/dialect.ts'
import { CollectedAnswer } from '../canonical/collect.ts'
import type { Block, TextBlock } from '../canonical/collect.ts'
import { argumentsObject, prefixed } from '../canonical/say.ts'
import { anthropicUsage } from '../canonical/usage-out.ts'
import { NO_USAGE } from '../usage.ts'
import { callSignature, citationJson, redactedData, stopReason, thinkingSignature } from './client-parts.ts'

/** A whole message (anthropic-sdk `Message`). The dialect has one choice; others are not told. */
export class MessagesAnswer extends CollectedAnswer implements AnswerEncoder {
  readonly #context: AnswerContext

  constructor(context: AnswerContext) {
    super()
    this.#context = context
  }

  body(): string {
    const { requestId, model } = this.#context
    const choice = this.at(0)
    const refused = choice.blocks.some((block) => block.type === 'refusal')
    return JSON.stringify({
      id: prefixed('msg_', this.id, requestId),
      type: 'message',
      role: 'assistant',
      model,
      content: choice.blocks.flatMap(blockJson),
      stop_reason: stopReason(choice.reason, refused),
      stop_sequence: choice.sequence === '' ? null : choice.sequence,
      usage: anthropicUsage(this.used ?? NO_USAGE),
    })
  }
}

function blockJson(block: Block): JsonObject[] {
  switch (block.type) {
    case 'text':
      return [textJson(block)]
    case 'refusal':
      return [{ type: 'text', text: block.text }]
    case 'tool_call': {
      const input = block.custom ? { raw_arguments: block.arguments } : argumentsObject(block.arguments)
      const call = { type: 'tool_use', id: block.id, name: block.name, input }
      if (block.signature === null) return [call]
      return [{ type: 'thinking', thinking: '', signature: callSignature(block.id, block.signature) }, call]
    }
    default:
      return block.redacted === null
        ? [{ type: 'thinking', thinking: block.text, signature: thinkingSignature(block) }]
        : [{ type: 'redacted_thinking', data: redactedData(block.redacted) }]
  }
}

function textJson({ text, citations }: TextBlock): JsonObject {
  const told = citations.map(citationJson).filter((citation) => citation !== null)
  return { type: 'text', text, ...(told.length > 0 ? { citations: told } : {}) }
}
